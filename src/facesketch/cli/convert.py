"""`facesketch convert`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from facesketch.errors import UsageError
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from facesketch.convert.plan import Plan
    from facesketch.convert.task import Task
    from facesketch.framing import Align
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
    "--format",
    "image_format",
    type=click.Choice(["png", "jpg", "webp"]),
    help="Of results in folders; jpg is written in a tenth of png's time.  [default: png]",
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
    type=click.Choice(["auto", "none", "portrait", "whole"]),
    default="auto",
    show_default=True,
    help="Find the face first: an upright portrait of it, or the whole picture with the face at "
    "the scale the generators learned. none looks for no face and converts the picture as it is; "
    "auto does that where the face is framed already or none is found, and otherwise as whole.",
)
@click.option(
    "--faces",
    type=click.Choice(["largest", "all"]),
    help="Which of several faces --align goes by; with all, auto is whole.  [default: largest]",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="cpu, openvino (the extra fast), cuda, coreml, directml or the name of an ONNX Runtime "
    "provider.",
)
@click.option(
    "--num-workers",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="Processes for many pictures; each takes about 160 MB.  [default: one for every "
    "32 pictures, at most one a core]",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="A Ray cluster that shares the work (the extra ray): HOST:PORT of its head, or auto on a "
    "machine of it. All of them need the same files under the same paths.",
)
@click.option("--overwrite", is_flag=True, help="Make results again that are there already.")
def convert(
    *,
    paths: tuple[str, ...],
    to: Literal["sketch", "photo"] | None,
    out: Path | None,
    image_format: str | None,
    weights: Path | None,
    style: str | None,
    size: int | None,
    align: Align,
    faces: Literal["largest", "all"] | None,
    device: str,
    num_workers: int | None,
    ray: str | None,
    overwrite: bool,
) -> None:
    """Turn photos into sketches and sketches into photos.

    PATHS are pictures, folders (with all below them), patterns like 'faces/*.jpg', or - for
    standard input. Results that are there already are kept; run again to continue.
    """
    from facesketch.console import printable, progress_bar  # noqa: PLC0415
    from facesketch.convert.all_cores import Settings, convert_all  # noqa: PLC0415
    from facesketch.convert.by_faces import Request  # noqa: PLC0415
    from facesketch.convert.on_ray import convert_on_ray  # noqa: PLC0415
    from facesketch.convert.plan import STREAM, is_stream, plan_jobs  # noqa: PLC0415

    if faces and align == "none":
        raise UsageError("--faces says which faces --align goes by; leave it away with none.")
    if style is not None and to == "photo":
        raise UsageError("--style is how sketches are drawn; leave it away with --to photo.")
    if ray is not None and str(STREAM) in (*paths, str(out)):
        raise UsageError("--ray converts files; leave it away for standard input and output.")
    direction: Direction | None = None
    if to is not None:
        direction = "photo2sketch" if to == "sketch" else "sketch2photo"
    suffix = None if image_format is None else f".{image_format}"
    plan = plan_jobs(
        paths,
        direction=direction,
        output=out,
        suffix=suffix,
        overwrite=overwrite,
        all_portraits=align == "portrait" and faces == "all",
    )
    to_stream = is_stream(plan.jobs)
    if to_stream and sys.stdout.isatty():
        raise UsageError("A picture would fill the terminal; send it to a file with -o or >.")
    plan.remove_leftovers()
    by_faces = None if align == "none" else Request(align, faces or "largest", size, overwrite)
    settings = Settings(weights, style, device, size, by_faces)
    report = _Report(plan, align, all_faces=faces == "all")
    if ray is None:
        converted = convert_all(plan.jobs, settings, num_workers=num_workers)
    else:
        converted = convert_on_ray(plan.jobs, settings, ray, num_workers=num_workers)
    with closing(converted), progress_bar() as progress:
        bar = progress.add_task("Converting", total=len(plan.jobs))
        for task in converted:
            for line in report.add(task):
                click.echo(printable(line), err=to_stream)
            if task.error:
                click.echo(printable(f"facesketch: {task.error}"), err=True)
            progress.advance(bar)
    for line in report.end():
        click.echo(printable(line), err=to_stream)
    if report.num_failed:
        raise click.exceptions.Exit(1)


class _Report:
    """What is said of the pictures: one line each, or where they are many, of the doubtful ones.

    It keeps counts only, so that it does not grow with them.
    """

    def __init__(self, plan: Plan, align: Align, *, all_faces: bool) -> None:
        self.plan = plan
        self.align = align
        self.all_faces = all_faces
        self.is_short = len(plan.jobs) + len(plan.done) <= MAX_LINES
        self.num_failed = 0
        self.num_converted = {"photo2sketch": 0, "sketch2photo": 0}

    def add(self, task: Task) -> Iterator[str]:
        """Count a picture and say what there is to say of it."""
        if task.error or not task.direction:
            self.num_failed += 1
            return
        self.num_converted[task.direction] += 1
        lacks_face = task.note and self.align != "auto"
        if self.is_short or lacks_face or (task.guess and not task.guess.is_sure):
            yield f"{_line(task)}{self._faces(task)}"

    def end(self) -> Iterator[str]:
        """Sum up, when all pictures have been added."""
        num_done = len(self.plan.done)
        if self.is_short:
            for source, result in self.plan.done.items():
                yield f"{source}: skipped, {result} is there (--overwrite makes it again)"
        else:
            num_sketches, num_photos = self.num_converted.values()
            yield (
                f"{num_sketches + num_photos + num_done + self.num_failed:,} pictures: "
                f"{num_sketches:,} drawn as sketches, {num_photos:,} turned into photos, "
                f"{num_done:,} skipped (their results are there), {self.num_failed:,} failed"
            )
        if self.plan.num_left_out:
            yield f"{self.plan.num_left_out:,} more left out: they are results of an earlier run"
        if self.plan.num_left_out <= len(self.plan.left_out):
            yield from (f"  {path}" for path in self.plan.left_out)

    def _faces(self, task: Task) -> str:
        """Say how many faces were found, where they were looked for, and what was done."""
        if task.note:
            return f" ({task.note})"
        if not task.num_faces or (self.align == "auto" and task.framing == "none"):
            return ""
        count = "1 face" if task.num_faces == 1 else f"{task.num_faces} faces"
        if self.align == "auto":
            return f" ({count}, converted as by --align whole)"
        is_choice = task.num_faces > 1 and not self.all_faces
        return f" ({count}{', the largest taken' if is_choice else ''})"


def _line(task: Task) -> str:
    """Say what a picture was taken for, how sure that is if it is not, and what came of it."""
    taken_for = ""
    if task.guess:
        unsure = "" if task.guess.is_sure else f" (unsure: {task.guess.probability:.0%})"
        taken_for = f": {task.guess.domain}{unsure}"
    results = ", ".join(str(path) for path in [task.result, *task.others])
    return f"{task.source}{taken_for} -> {results}"
