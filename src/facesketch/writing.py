"""Files appear whole or not at all: the one place that writes beside a name and then renames."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

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
        with _in_use(partial):
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
    """Delete what killed processes left in a folder."""
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        remove_leftover(partial)


def remove_leftover(partial: Path) -> None:
    """Delete what a killed process left; not what is being written, nor what may not be deleted."""
    with suppress(OSError):
        if not _is_in_use(partial):
            partial.unlink()


@contextmanager
def _in_use(partial: Path) -> Iterator[None]:
    """Hold a lock on a file, which the end of the process releases, whatever that end is."""
    if sys.platform == "win32":  # deletes no open file
        yield
        return
    with partial.open("ab") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_in_use(partial: Path) -> bool:
    if sys.platform == "win32":
        return False
    with partial.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
    return False


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
