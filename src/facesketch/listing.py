"""Which files below a folder are images: one rule for all commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from facesketch.errors import DataError
from facesketch.images import is_image_name

OF_SYSTEMS = frozenset({"lost+found", "@eadir", "#recycle", "$recycle.bin", "__macosx"})
"""Folders that disks, NAS and archives put among people's own, in lower case: left out."""

_log = logging.getLogger(__name__)


def walk(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield every file below a folder and whether its name is an image's, in no set order.

    Hidden files and folders are left out, and those of `OF_SYSTEMS`; links to folders are
    followed. A folder below that must not be read is left out with a warning.

    Args:
        root: Folder.

    Yields:
        Path relative to `root`, and whether it ends like a picture's.

    Raises:
        DataError: If `root` must not be read, or a disk fails.
    """
    pending = [""]
    seen: set[tuple[int, int]] = set()
    while pending:
        inside = pending.pop()
        folder = os.path.join(root, inside)  # noqa: PTH118  # strings: there may be millions
        subfolders = []
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = os.path.join(inside, entry.name)  # noqa: PTH118
                    if entry.name.startswith("."):
                        continue
                    if not _is_folder(entry):
                        yield name, is_image_name(entry.name)
                    elif entry.name.lower() not in OF_SYSTEMS:
                        subfolders.append(name)
        except OSError as error:
            if not inside or not isinstance(error, PermissionError):
                raise DataError(f"{root} cannot be listed ({error}); make it readable.") from error
            say_once(f"{folder} is left out, as it cannot be listed ({error.strerror}).")
        # Sorted: of two links to one folder the same one counts on every disk.
        pending += sorted(subfolders, reverse=True)


@cache
def say_once(sentence: str) -> None:
    """Warn of something that several listings of a folder would tell again."""
    _log.warning("%s", sentence)


def holds_images(folder: Path) -> bool:
    """Say whether there is an image anywhere below a folder."""
    return folder.is_dir() and any(is_image for _, is_image in walk(folder))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
