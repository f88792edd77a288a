"""Pictures of kinds that are not read here, and what would read them."""

from __future__ import annotations

import os
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import IO

READS_HEIC = find_spec("pillow_heif") is not None  # the extra `heic`
READS_AVIF = find_spec("PIL._avif") is not None  # Pillow 11.3 and later, as most are built

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
HEIC_SIGNATURE = re.compile(rb"....ftyp(?:hei|hev|mif1|msf1)", re.DOTALL)
HEIC_COMMAND = "pip install 'facesketch[heic]'"

UNREAD_SUFFIXES = (
    frozenset({".jxl", ".jp2", ".tga", ".psd", ".xcf", ".svg", ".pdf", ".dng"})
    | {".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
    | (frozenset() if READS_HEIC else HEIC_SUFFIXES)
    | (frozenset() if READS_AVIF else {".avif"})
)
"""File name endings of such pictures, lower case."""


def suffix_of(name: str) -> str:
    """Return the ending of a file name, lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  # strings: there may be millions


def tell_unread(suffixes: Counter[str]) -> str:
    """Tell which of some files are such pictures, by their endings: "2 .psd, 1 .svg", or ""."""
    return ", ".join(
        f"{count:,} {suffix}{f' ({HEIC_COMMAND})' if suffix in HEIC_SUFFIXES else ''}"
        for suffix, count in suffixes.most_common()
        if suffix in UNREAD_SUFFIXES
    )


def is_unread_heic(source: Path | str | bytes | IO[bytes], name: str) -> bool:
    """Say whether a picture is of the kind of iPhones and nothing here reads that.

    Args:
        source: Path, encoded bytes or binary file; it could be opened.
        name: What people know it by.
    """
    if READS_HEIC:
        return False
    if suffix_of(name) in HEIC_SUFFIXES:
        return True
    if isinstance(source, Path | str):
        with Path(source).open("rb") as file:
            source = file.read(12)
    return isinstance(source, bytes) and HEIC_SIGNATURE.match(source) is not None
