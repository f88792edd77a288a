"""`facesketch data download`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command()
@click.argument("out", required=False, type=click.Path(file_okay=False, path_type=Path))
def download(out: Path | None) -> None:
    """Fetch the Person Face Sketches set (22,334 pairs, 512 px) from Kaggle.

    It goes to OUT/train, OUT/val and OUT/test, or without OUT to kagglehub's cache. No login is
    needed. Run again, the command goes on where it stopped; what it says on stdout is where the
    set is.
    """
    from facesketch.data.download import PERSON_FACE_SKETCHES, download_set  # noqa: PLC0415

    wanted = PERSON_FACE_SKETCHES
    click.echo(
        f"Person Face Sketches from Kaggle, version {wanted.version}: "
        f"{sum(wanted.num_pairs.values()):,} pairs. While it is unpacked, the disk needs room for "
        "twice the archive. An interrupted download goes on where it stopped.",
        err=True,
    )
    root = download_set(wanted, out)
    counts = ", ".join(f"{split} {number:,}" for split, number in wanted.num_pairs.items())
    click.echo(f"Complete, {counts} pairs: {root}")
    quoted = shlex.quote(str(root))
    click.echo(f"Look at it:  facesketch data check {quoted}", err=True)
    click.echo(f"Train on it: facesketch train --data {quoted}", err=True)
