"""`facesketch evaluate`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesketch.errors import DataError, MissingExtraError, UsageError
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from facesketch.evaluation.evaluate import Evaluation

SHIPPED = "shipped"
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option(
    "--weights",
    metavar="DIR",
    multiple=True,
    default=[SHIPPED],
    help="Generators as `facesketch export` writes them, or `shipped`; give it several times to "
    "see them side by side.  [default: shipped]",
)
@click.option(
    "--style",
    "styles",
    metavar="NAME",
    multiple=True,
    help="How sketches are drawn; give it several times to see styles side by side. Shipped: "
    f"{', '.join(available_styles(SHIPPED_WEIGHTS))}.  [default: the first]",
)
@click.option("--data", metavar="ROOT", type=FOLDER, help="Data set with SPLIT/{photos,sketches}.")
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    help="Part of --data. Make choices by val, and look at test once.  [default: test]",
)
@click.option("--photos", metavar="DIR", type=FOLDER, help="Real photos, instead of --data.")
@click.option(
    "--sketches",
    metavar="DIR",
    type=FOLDER,
    help="Real sketches; those with the name of a photo are taken for its pair.",
)
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/evaluation"),
    show_default=True,
    help="Folder for metrics.json, sheet.png and report.html.",
)
@click.option("--identity", is_flag=True, help="Measure who is found again (extra: identity).")
@click.option(
    "--inception",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The standard weights of FID, pt_inception-2015-12-05-6726825d.pth: adds KID by them and, "
    "from 2,048 images a folder on, FID.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Take N images of each folder, spread evenly over the names.  [default: all]",
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(min=64, max=2048),
    default=256,
    show_default=True,
    help="Side that all images are brought to.",
)
@click.option(
    "--subset-size",
    metavar="N",
    type=click.IntRange(min=10),
    default=100,
    show_default=True,
    help="Images in each of the 100 random subsets of KID; each folder needs twice as many.",
)
def evaluate(
    *,
    weights: tuple[str, ...],
    styles: tuple[str, ...],
    data: Path | None,
    split: str | None,
    photos: Path | None,
    sketches: Path | None,
    out: Path,
    identity: bool,
    inception: Path | None,
    limit: int | None,
    size: int,
    subset_size: int,
) -> None:
    """Measure how good generators are, in figures, pictures and a report.

    \b
    facesketch evaluate --weights weights --data sketches-set
    facesketch evaluate --weights shipped --weights mine --photos faces --sketches drawings
    """  # noqa: D301  # click wants the character itself
    photos, sketches = _folders(data, split, photos, sketches)
    if (out / "metrics.json").exists():
        raise UsageError(f"{out} holds an evaluation; choose another folder with --out.")
    try:
        import jinja2  # noqa: F401, PLC0415
        import skimage  # noqa: F401, PLC0415
        import torchmetrics  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch evaluate", "evaluate") from error
    from facesketch.evaluation import evaluate as evaluation  # noqa: PLC0415

    request = evaluation.Request(
        weights=[None if folder == SHIPPED else Path(folder) for folder in weights],
        photos=photos,
        sketches=sketches,
        styles=styles or (None,),
        size=size,
        subset_size=subset_size,
        limit=limit,
        identity=identity,
        inception=inception,
    )
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):  # now, not after all the work
        raise UsageError(f"{there} cannot be written to; choose another folder with --out.")
    done = evaluation.evaluate(request, shlex.join(["facesketch", *sys.argv[1:]]))
    _print(done)
    try:
        _write(done, out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror}); figures are above."
        ) from error
    click.echo(f"{out / 'report.html'}  (metrics.json and sheet.png beside it)")


def _folders(
    data: Path | None, split: str | None, photos: Path | None, sketches: Path | None
) -> tuple[Path, Path]:
    """Say where photos and sketches are: one way or the other, not both."""
    if data is not None:
        if photos or sketches:
            raise UsageError("--data names both folders; leave --photos and --sketches away.")
        from facesketch.data.pack_index import INDEX_NAME  # noqa: PLC0415

        if (data / INDEX_NAME).is_file():
            raise UsageError(f"{data} is a pack; evaluate on the folder that it was packed from.")
        root = data / (split or "test")
        return root / "photos", root / "sketches"
    if split:
        raise UsageError("--split is a part of --data; give --data too.")
    if photos is None or sketches is None:
        raise UsageError("say where the images are: --data ROOT, or --photos DIR --sketches DIR.")
    return photos, sketches


def _write(done: Evaluation, out: Path) -> None:
    """Write the three files, metrics.json last: where it is, the evaluation is whole."""
    from facesketch.evaluation.report import render  # noqa: PLC0415
    from facesketch.evaluation.sheet import draw_sheets, make_sheets  # noqa: PLC0415
    from facesketch.images import encode  # noqa: PLC0415
    from facesketch.writing import write_whole  # noqa: PLC0415

    sheets = make_sheets(done)
    with write_whole(out / "sheet.png") as partial:
        partial.write_bytes(encode(draw_sheets(sheets), "PNG", generated_photo=True))
    with write_whole(out / "report.html") as partial:
        partial.write_text(render(done.results, sheets), encoding="utf-8")
    with write_whole(out / "metrics.json") as partial:
        partial.write_text(done.results.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _print(done: Evaluation) -> None:
    """Print the figures of the generators, one a line."""
    from facesketch.evaluation.results import GROUPS, METRICS  # noqa: PLC0415

    for column in done.results.columns:
        if column.kind != "weights":
            continue
        click.echo(column.name)
        for group, title in GROUPS.items():
            click.echo(f"  {title}")
            for name, value in column.values[group].items():
                metric = METRICS[name]
                factor = 100 if metric.unit == "%" else 1
                shown = [
                    f"{factor * v:.{metric.decimals}f}" for v in (value.value, *value.interval)
                ]
                unit = f" {metric.unit}" if metric.unit else ""
                click.echo(
                    f"    {metric.label:<30} {shown[0]:>8}{unit}  ({shown[1]} to {shown[2]}, "
                    f"n = {value.n:,})"
                )
    for note in done.results.notes:
        click.echo(note)
