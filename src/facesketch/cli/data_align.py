"""`facesketch data align`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from facesketch.data.align import AlignReport

NAMES_SHOWN = 20
"""Photos without a face that are named."""


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--size",
    type=click.IntRange(min=32, max=4096),
    default=256,
    show_default=True,
    help="Side of the portraits, pixels.",
)
def align(photos: Path, out: Path, size: int) -> None:
    """Cut the faces out of the photos below PHOTOS into OUT, all framed alike.

    Each photo gives one PNG of its name: the largest face, upright, in the framing of the shipped
    generators, the same folders around it. a.jpg beside a.png gives a.jpg.png and a.png.png.

    Portraits that are there already are skipped: after an interruption, run the same command again.
    """
    from facesketch.data.align import align_folder  # noqa: PLC0415  # heavy

    report = align_folder(photos, out, size)
    click.echo(_summary(report, out))
    for name in report.without_face[:NAMES_SHOWN]:
        click.echo(f"{photos / name} shows no face that could be found.", err=True)
    if len(report.without_face) > NAMES_SHOWN:
        click.echo(f"... and {len(report.without_face) - NAMES_SHOWN:,} more.", err=True)
    for _, problem in report.failed:
        click.echo(problem, err=True)
    if report.failed:
        raise click.exceptions.Exit(1)


def _summary(report: AlignReport, out: Path) -> str:
    """Count what became of the photos."""
    parts = [f"{report.num_cut:,} cut into {out}", f"{report.num_skipped:,} there already"]
    if report.num_several:
        parts.append(f"{report.num_several:,} with several faces (the largest taken)")
    parts.append(f"{len(report.without_face):,} without a face")
    return f"{', '.join(parts)}, {len(report.failed):,} failed."
