"""Lists the files of a folder as training does and decodes every one of them, on all cores."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from PIL import Image

from facesketch import images
from facesketch.console import progress_bar
from facesketch.errors import ImageError
from facesketch.listing import walk
from facesketch.parallel import map_processes

MIN_IMAGES = 64
"""Images for which it pays to start another process."""


class Finding(NamedTuple):
    """One decoded file; `reason` is None where it is usable, `size` is upright, (width, height)."""

    reason: str | None
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""


Listing: TypeAlias = tuple[list[str], list[str]]
"""Paths of the images in a folder, and of its other files."""


def list_files(folder: Path) -> Listing:
    """List the files that training would read below a folder, and those it would pass over.

    Returns:
        Paths of images and of other files, each sorted.

    Raises:
        DataError: If a folder cannot be listed.
    """
    found: Listing = ([], [])
    for name, is_image in walk(folder):
        found[0 if is_image else 1].append(str(folder / name))
    return sorted(found[0]), sorted(found[1])


def inspect_all(paths: list[str]) -> Generator[Finding]:
    """Decode every file, on all cores, in order."""
    with progress_bar() as progress:
        task = progress.add_task("reading images", total=len(paths))
        for finding in map_processes(_inspect, paths, min_items=MIN_IMAGES, chunksize=32):
            progress.advance(task)
            yield finding


def _inspect(path: str) -> Finding:
    """Decode one file completely, as training does, and take down what the report needs."""
    try:
        image = images.open_image(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=images.FORMATS) as stored:
                mode = stored.mode
    except (ImageError, OSError) as error:
        if os.path.exists(path) and not os.path.getsize(path):  # noqa: PTH110, PTH202
            return Finding("is empty (0 bytes).")
        return Finding(str(error).removeprefix(f"{path} "))
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(image.tobytes())
    return Finding(None, mode, image.size, digest.digest())
