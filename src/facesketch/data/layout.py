"""Guesses what was meant by a root that is not laid out as a data set of this project."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path


def where_instead(root: Path) -> str | None:
    """Guess what was meant by a root without `train/photos` and `train/sketches`."""
    photos, sketches = root / "photos", root / "sketches"
    if photos.is_dir() and sketches.is_dir():
        return f"Use --photos {photos} --sketches {sketches} instead."
    a, b = root / "trainA", root / "trainB"
    if a.is_dir() and b.is_dir():
        return (
            "This is the layout of CycleGAN, which does not say what its domains show: use "
            f"--photos {a} --sketches {b}, or the other way round."
        )
    nested = sorted(path.parent.parent for path in root.glob("*/train/photos"))
    return f"Did you mean {nested[0]}?" if nested else None


def misnamed_split(root: Path) -> str | None:
    """Say so where the validation images are in a folder of another name than `val`."""
    for name in ("valid", "validation"):
        if (root / name).is_dir() and not (root / "val").is_dir():
            return f"{root / name} is not used; rename it to val to validate on it."
    return None


def overlap(folders: dict[str, Path]) -> str | None:
    """Say so where one folder is another one, or lies in it: its images would be of both.

    Args:
        folders: By what they are of, for instance "photos".
    """
    for (kind, a), (other, b) in permutations(folders.items(), 2):
        if a.resolve() == b.resolve():
            return f"{a} is given for {kind} and for {other}; give a folder of each."
        if a.resolve().is_relative_to(b.resolve()):
            return (
                f"{a} lies in {b}, so that its images would count as {kind} and as {other}; "
                "give two folders side by side."
            )
    return None
