"""`facesketch data download | draw | check | pack`."""

from __future__ import annotations

import click

from facesketch.cli import LazyGroup

COMMANDS = {
    "download": (
        "facesketch.cli.data_download:download",
        "Fetch the Person Face Sketches set from Kaggle.",
    ),
    "draw": ("facesketch.cli.data_draw:draw", "Make the sketches for a folder of photos."),
    "check": ("facesketch.cli.data_check:check", "Look for what would spoil a training."),
    "pack": ("facesketch.cli.data_pack:pack", "Put a data set into few large files."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """Download, draw, check and pack training data."""
