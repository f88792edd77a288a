"""Files appear whole or not at all: the one place that writes beside a name and then renames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = re.compile(r"\.(.+)\.(\d{1,9})\.partial")
"""What is not whole yet: name of the file to be, number of the process; a kill can leave it."""


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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
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
    """Delete what killed processes left in a folder."""
    for path in folder.glob(".*.partial"):
        remove_leftover(path)


def remove_leftover(partial: Path) -> None:
    """Delete a file that matches `UNFINISHED`, if that is allowed; it is hidden and does no harm.

    What another process of this machine may be writing stays.
    """
    found = UNFINISHED.fullmatch(partial.name)
    if found and not _is_another(int(found[2])):
        with suppress(OSError):
            partial.unlink()


def _is_another(pid: int) -> bool:
    """Say whether another process runs by this number; Windows deletes no open file by itself."""
    if os.name != "posix" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Say whether a process has ended and nobody asked how, as in containers without an init."""
    try:
        status = Path("/proc", str(pid), "stat").read_bytes()
    except OSError:  # ended just now, or a system without it
        return False
    return status.rpartition(b")")[2].split()[:1] == [b"Z"]


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
