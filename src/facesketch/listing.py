"""Which files below a folder are images: one rule for all commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from facesketch.errors import DataError
from facesketch.images import is_image_name


def walk(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield every file below a folder and whether its name is an image's, in no set order.

    Hidden files and folders are left out, links to folders are followed.

    Args:
        root: Folder.

    Yields:
        Path relative to `root`, and whether it ends like a picture's.

    Raises:
        DataError: If a folder cannot be listed.
    """
    pending = [""]
    seen: set[tuple[int, int]] = set()
    try:
        while pending:
            inside = pending.pop()
            folder = os.path.join(root, inside)  # noqa: PTH118  # strings: there may be millions
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
                continue
            seen.add((status.st_dev, status.st_ino))
            subfolders = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    name = os.path.join(inside, entry.name)  # noqa: PTH118
                    if _is_folder(entry):
                        subfolders.append(name)
                    else:
                        yield name, is_image_name(entry.name)
            # Sorted: of two links to one folder the same one counts on every disk.
            pending += sorted(subfolders, reverse=True)
    except OSError as error:
        raise DataError(f"{root} cannot be listed ({error}); make it readable.") from error


def holds_images(folder: Path) -> bool:
    """Say whether there is an image anywhere below a folder."""
    return folder.is_dir() and any(is_image for _, is_image in walk(folder))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
