"""Files appear whole or not at all: the one place that writes beside a name and then renames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Ending of what is not whole yet; a kill can leave such a file behind."""


@contextmanager
def write_whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file in one go: readers see the old one, none, or the whole new one.

    Args:
        path: The file; folders above it are made.
        durable: Wait until every byte and the new name are on the disk.

    Yields:
        A hidden name beside `path` to write to, another one in each process. It becomes `path`
        when the block ends well, and is deleted when it does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        yield partial
        if durable:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        partial.replace(path)
        if durable:
            _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left in a folder; nobody else may be writing there."""
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
