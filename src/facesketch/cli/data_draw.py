"""`facesketch data draw`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
def draw(photos: Path, out: Path) -> None:
    """Draw every photo below PHOTOS as ink lines into OUT, under the same names.

    Sketches that are there already are skipped: after an interruption, run the same command again.
    """
    from facesketch.data.draw import draw_folder  # noqa: PLC0415  # heavy

    report = draw_folder(photos, out)
    click.echo(
        f"{report.num_drawn} drawn into {out}, {report.num_skipped} there already, "
        f"{len(report.failed)} failed."
    )
    for _, problem in report.failed:
        click.echo(problem, err=True)
    if report.failed:
        raise click.exceptions.Exit(1)
