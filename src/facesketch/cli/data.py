"""`facesketch data download | align | draw | check | pack`."""

from __future__ import annotations

import click

from facesketch.cli import LazyGroup

COMMANDS = {
    "download": (
        "facesketch.cli.data_download:download",
        "Fetch the Person Face Sketches set from Kaggle.",
    ),
    "align": ("facesketch.cli.data_align:align", "Cut the faces out of photos, framed alike."),
    "draw": ("facesketch.cli.data_draw:draw", "Make the sketches for a folder of photos."),
    "check": ("facesketch.cli.data_check:check", "Look for what would spoil a training."),
    "pack": ("facesketch.cli.data_pack:pack", "Put a data set into few large files."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """Download, align, draw, check and pack training data."""
