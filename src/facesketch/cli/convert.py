"""`facesketch convert`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from facesketch.errors import UsageError
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from facesketch.convert.plan import Plan
    from facesketch.convert.task import Task
    from facesketch.weights_info import Direction

MAX_LINES = 20
"""Up to so many pictures get a line each; more get a summary."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option(
    "--to",
    type=click.Choice(["sketch", "photo"]),
    help="What to make of all of them.  [default: sketches of photos, photos of sketches]",
)
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="A folder, or a .png, .jpg or .webp file for one picture; - for standard output.  "
    "[default: NAME_sketch.png or NAME_photo.png beside each picture]",
)
@click.option(
    "--weights",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Generators of your own, as `facesketch export` writes them.  [default: shipped ones]",
)
@click.option(
    "--style",
    metavar="NAME",
    help="How sketches are drawn; photos are made of drawings in any style. Shipped: "
    f"{', '.join(available_styles(SHIPPED_WEIGHTS))}.  [default: the first]",
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(min=1),
    help="Shorter side of the results.  [default: the size of each picture]",
)
@click.option(
    "--align",
    type=click.Choice(["portrait", "whole"]),
    help="Find the face first: an upright portrait of it, or the whole picture with the face at "
    "the scale the generators learned.",
)
@click.option(
    "--faces",
    type=click.Choice(["largest", "all"]),
    help="Which of several faces --align goes by.  [default: largest]",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="cpu, openvino (the extra fast), cuda, coreml, directml or the name of an ONNX Runtime "
    "provider.",
)
@click.option("--overwrite", is_flag=True, help="Make results again that are there already.")
def convert(
    *,
    paths: tuple[str, ...],
    to: Literal["sketch", "photo"] | None,
    out: Path | None,
    weights: Path | None,
    style: str | None,
    size: int | None,
    align: Literal["portrait", "whole"] | None,
    faces: Literal["largest", "all"] | None,
    device: str,
    overwrite: bool,
) -> None:
    """Turn photos into sketches and sketches into photos.

    PATHS are pictures, folders (with all below them), patterns like 'faces/*.jpg', or - for
    standard input. Results that are there already are kept; run again to continue.
    """
    from facesketch.console import progress_bar  # noqa: PLC0415
    from facesketch.convert.as_is import convert_jobs  # noqa: PLC0415
    from facesketch.convert.by_faces import Request, convert_faces  # noqa: PLC0415
    from facesketch.convert.plan import STREAM, plan_jobs  # noqa: PLC0415
    from facesketch.translator import Translator  # noqa: PLC0415

    if faces and not align:
        raise UsageError("--faces says which faces --align goes by; give --align too.")
    if style is not None and to == "photo":
        raise UsageError("--style is how sketches are drawn; leave it away with --to photo.")
    direction: Direction | None = None
    if to is not None:
        direction = "photo2sketch" if to == "sketch" else "sketch2photo"
    plan = plan_jobs(paths, direction=direction, output=out, overwrite=overwrite)
    to_stream = any(STREAM in targets.values() for targets in plan.jobs.values())
    if to_stream and sys.stdout.isatty():
        raise UsageError("A picture would fill the terminal; send it to a file with -o or >.")
    translator = Translator(weights, style=style, device=device)
    if align:
        request = Request(align, faces or "largest", size)
        converted = convert_faces(plan.jobs, translator, request)
    else:
        converted = convert_jobs(plan.jobs, translator, size=size)
    tasks: list[Task] = []
    with progress_bar() as progress:
        bar = progress.add_task("Converting", total=len(plan.jobs))
        for task in converted:
            tasks.append(task)
            progress.advance(bar)
    for line in _report(plan, tasks, faces):
        click.echo(line, err=to_stream)
    failed = [task for task in tasks if task.error]
    for task in failed:
        click.echo(f"facesketch: {task.error}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _report(
    plan: Plan, tasks: list[Task], faces: Literal["largest", "all"] | None
) -> Iterator[str]:
    """Say what became of the pictures: one line each, or in short where they are many."""
    converted = [task for task in tasks if task.result]
    if len(tasks) + len(plan.done) <= MAX_LINES:
        for task in converted:
            yield _line(task, faces)
        for source, result in plan.done.items():
            yield f"{source}: skipped, {result} is there (--overwrite makes it again)"
    else:
        num_sketches = sum(task.direction == "photo2sketch" for task in converted)
        yield (
            f"{len(tasks) + len(plan.done):,} pictures: {num_sketches:,} drawn as sketches, "
            f"{len(converted) - num_sketches:,} turned into photos, {len(plan.done):,} skipped "
            f"(their results are there), {len(tasks) - len(converted):,} failed"
        )
        for task in converted:
            if task.note or (task.guess and not task.guess.is_sure):
                yield _line(task, faces)
    if plan.left_out:
        yield f"{len(plan.left_out):,} more left out: they are results of an earlier run"
    if len(plan.left_out) <= MAX_LINES:
        yield from (f"  {path}" for path in plan.left_out)


def _line(task: Task, faces: Literal["largest", "all"] | None) -> str:
    """Say what a picture was taken for, how sure that is if it is not, and what came of it."""
    taken_for = ""
    if task.guess:
        unsure = "" if task.guess.is_sure else f" (unsure: {task.guess.probability:.0%})"
        taken_for = f": {task.guess.domain}{unsure}"
    results = ", ".join(str(path) for path in [task.result, *task.others])
    return f"{task.source}{taken_for} -> {results}{_faces(task, faces)}"


def _faces(task: Task, faces: Literal["largest", "all"] | None) -> str:
    """Say how many faces were found, where they were looked for, and if only one was taken."""
    if task.note:
        return f" ({task.note})"
    if not task.num_faces:
        return ""
    if task.num_faces == 1:
        return " (1 face)"
    return f" ({task.num_faces} faces{'' if faces == 'all' else ', the largest taken'})"
