"""`facesketch train`: the settings of config.py as options."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from facesketch.addresses import is_remote
from facesketch.config import (
    FOLDERS,
    PRESETS,
    TrainConfig,
    build_config,
    field_extra,
    fields,
    preset_settings,
)
from facesketch.errors import MissingExtraError, UsageError
from facesketch.settings import load_toml

if TYPE_CHECKING:
    from facesketch.data.dataset import Domains
    from facesketch.distributed import Ranks
    from facesketch.training import Outcome


class SettingsCommand(click.Command):
    """Lists the settings under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group of settings, in the order of config.py."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and param.name is not None:
                group = field_extra(param.name)["group"] if param.name in fields() else "Options"
                sections.setdefault(group, []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def setting_option(name: str, info: FieldInfo) -> click.Option:
    """Turn a setting into an option; what was not given stays None."""
    flag = "--" + name.replace("_", "-")
    unit = field_extra(name)["unit"]
    default = "" if info.default in (None, "") else f"  [{info.default}]"
    text = f"{info.description}{f' ({unit})' if unit else ''}{default}"
    kinds = [a for a in get_args(info.annotation) if a is not type(None)]
    kind: Any = kinds[0] if kinds and get_origin(info.annotation) is not Literal else None
    kind = kind or info.annotation
    if info.annotation is bool:
        return click.Option([f"{flag}/--no-{name.replace('_', '-')}"], default=None, help=text)
    if get_origin(info.annotation) is Literal:
        values = {str(value): value for value in get_args(info.annotation)}
        return click.Option(
            [flag],
            type=click.Choice(list(values)),
            default=None,
            callback=lambda _ctx, _param, value: values.get(value, value),
            help=text,
        )
    metavar = {Path: "PATH", int: "N", float: "X"}.get(kind, "TEXT")
    # Values stay text here: config.py validates them, so that a file and an option get one answer.
    return click.Option([flag], default=None, metavar=metavar, help=text)


def run_train(
    preset: str | None,
    config: Path | None,
    resume: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Train both generators on two folders of images.

    Images come from --data ROOT, with {train,val}/{photos,sketches} inside, from --data ADDRESS of
    what `facesketch data pack` has written, or from --photos DIR and --sketches DIR; they need no
    pairs. Settings come from the preset, then the --config file, then the command line. Stop with
    Ctrl-C whenever you like and go on with --resume.

    \b
    facesketch train --photos faces --sketches drawings --out runs/first
    facesketch train --resume runs/first --max-minutes 60
    """  # noqa: D301  # click wants the character itself
    from_file = load_toml(config) if config is not None else {}
    preset = from_file.pop("preset", None) if preset is None else preset
    from_file.pop("preset", None)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        import torch  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch train", "train") from error
    from facesketch import checkpoint, run_folder, training  # noqa: PLC0415
    from facesketch.data.dataset import find_domains  # noqa: PLC0415
    from facesketch.devices import pick_device  # noqa: PLC0415
    from facesketch.distributed import Ranks  # noqa: PLC0415

    saved = None
    if resume is None:
        settings = build_config("compact" if preset is None else preset, from_file, given)
    else:
        saved = checkpoint.load_latest(resume, warn=False)
        # What a preset says of settings that may change, such as epochs, gives way to the run's.
        from_preset = {} if preset is None else preset_settings(preset)
        fixed = {n: v for n, v in from_preset.items() if not field_extra(n)["resume"]}
        settings = checkpoint.merge_settings(saved.settings, fixed, from_file, given)
        if "out" in from_file | given and Path(str(settings.out)).resolve() != resume.resolve():
            raise UsageError(f"--resume {resume} goes on in that folder; leave --out away.")
    if not settings.has_data():
        raise UsageError("say where the images are: --data ROOT, or --photos DIR --sketches DIR.")
    _check_folders(settings)
    ranks = Ranks.from_environment()
    ranks.check(settings)
    pick_device(settings.device, ranks)
    settings = settings.from_anywhere()
    domains = find_domains(settings)
    if saved is not None:
        training.check_images(saved, domains)
    elif settings.out is not None:
        run_folder.refuse_a_run(settings.out)
    if ranks.is_first:
        _print_settings(settings)
    if dry_run:
        if ranks.is_first:
            _print_plan(settings, domains, ranks, is_new=saved is None)
        return
    del saved  # a checkpoint may be large
    outcome = training.train(settings, resume=resume, domains=domains)
    if ranks.is_first:
        _print_outcome(outcome)


def _check_folders(settings: TrainConfig) -> None:
    """Refuse folders that are not there, before anything is printed."""
    for name in ("data", *FOLDERS):
        place: Path | str | None = getattr(settings, name)
        if place is None or is_remote(str(place)) or Path(place).is_dir():
            continue
        folder = Path(place)
        parent = folder.absolute().parent
        beside = (
            [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
        )
        close = difflib.get_close_matches(folder.name, beside, n=1)
        advice = f"did you mean {folder.with_name(close[0])}?" if close else "check the name."
        raise UsageError(f"--{name.replace('_', '-')} {folder} is not a folder; {advice}")


def _print_settings(settings: TrainConfig) -> None:
    group = ""
    for name, value in settings.model_dump(exclude_none=True).items():
        extra = field_extra(name)
        if extra["group"] != group:
            group = extra["group"]
            click.echo(f"{group}")
        click.echo(f"  {name:<18} {value} {extra['unit'] if value != '' else ''}".rstrip())


def _print_plan(settings: TrainConfig, domains: Domains, ranks: Ranks, *, is_new: bool) -> None:
    """Print what the training would be, or raise what would end it before its first step."""
    from facesketch.cyclegan import CycleGAN  # noqa: PLC0415
    from facesketch.data.pens import make_pens  # noqa: PLC0415
    from facesketch.devices import (  # noqa: PLC0415
        device_text,
        idle_text,
        pick_device,
        pick_precision,
    )
    from facesketch.init_weights import load_networks, load_teacher  # noqa: PLC0415
    from facesketch.memory import estimate_step_bytes, share_of_rank  # noqa: PLC0415
    from facesketch.train_state import schedule_text  # noqa: PLC0415
    from facesketch.training import count_steps  # noqa: PLC0415
    from facesketch.validation.plan import plan_text  # noqa: PLC0415

    num_steps = count_steps(settings, domains)
    device = pick_device(settings.device, ranks)
    model = CycleGAN(settings)
    make_pens(domains.photos, domains.sketches, settings)
    if is_new and settings.init_from is not None:
        load_networks(model, settings, settings.init_from)
    if settings.teacher is not None:
        load_teacher(settings, settings.teacher)
    click.echo("Plan")
    click.echo(f"  images             {len(domains.photos):,} photos in {domains.photos.root}")
    click.echo(
        f"                     {len(domains.sketches):,} sketches in {domains.sketches.root}"
    )
    for name, network in (model.generators() | model.discriminators()).items():
        kind = "gen" if name in model.generators() else "disc"
        count = sum(p.numel() for p in network.parameters())
        click.echo(f"  {kind + '_' + name:<18} {count:,} parameters")
    click.echo(f"  steps              {num_steps:,}")
    click.echo(f"  validation         {plan_text(settings, domains)}")
    click.echo(f"  learning rate      {schedule_text(settings, num_steps)}")
    precision = pick_precision(settings.precision, device)
    click.echo(f"  device             {device_text(device, precision)}")
    if idle := idle_text(device, ranks):
        click.echo(f"                     {idle}")
    if ranks.size > 1:
        click.echo(f"  processes          {ranks.size}, each with an equal share of the batch")
    gib = estimate_step_bytes(share_of_rank(settings, ranks.size)) / 2**30
    click.echo(f"  memory of a step   about {gib:.1f} GiB, give or take a quarter")


def _print_outcome(outcome: Outcome) -> None:
    click.echo(f"{outcome.reason}: step {outcome.step} of {outcome.num_steps}, in {outcome.run}")
    if outcome.broken:
        click.echo(f"{len(outcome.broken)} broken images were skipped:")
        for item in outcome.broken:
            click.echo(f"  {item.path}")
    run = shlex.quote(str(outcome.run))
    if outcome.reason != "finished":
        click.echo(f"Go on with:  facesketch train --resume {run}")
    click.echo(f"Export with: facesketch export {run} -o weights")
    for line in outcome.validation:
        click.echo(line)
    if outcome.validation:
        click.echo(f"Export that: facesketch export {run} --best -o weights")


train = SettingsCommand(
    "train",
    callback=run_train,
    help=run_train.__doc__,
    params=[
        click.Option(["--preset"], metavar="NAME", help=f"Starting point: {', '.join(PRESETS)}."),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            help="TOML file of settings; names as below, with _ for -.",
        ),
        click.Option(
            ["--resume"],
            type=click.Path(path_type=Path),
            metavar="RUN",
            help="Go on with the run in this folder.",
        ),
        click.Option(
            ["--dry-run"], is_flag=True, help="Print settings, sizes and memory, then stop."
        ),
        *(setting_option(name, info) for name, info in fields().items()),
    ],
)
