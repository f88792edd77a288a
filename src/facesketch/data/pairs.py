"""Which photos and sketches go together, and which of them training cannot crop alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

SIDE_PX = 256
"""Shorter side at which the shapes of a pair are compared."""

PAIR_TOLERANCE = 2
"""Pixels that the sides of a pair may differ by at that size."""

Sizes: TypeAlias = dict[str, tuple[int, int]]
"""Width and height of images that decode, upright, by path."""

Photo = TypeVar("Photo")


@dataclass(frozen=True)
class PairReport:
    """Which photos and sketches of a split go together: equal relative path but for the suffix.

    Sketches in a folder of their style go with the photos that have their path below it.

    Attributes:
        split: "train", "val" or "test".
        num_pairs: Sketches that have a photo.
        photos_without_sketch: Photos that no sketch goes with.
        sketches_without_photo: Sketches that go with no photo.
        other_shapes: Pairs, photo first, that training cannot crop alike.
    """

    split: str
    num_pairs: int
    photos_without_sketch: list[str]
    sketches_without_photo: list[str]
    other_shapes: list[tuple[str, str]]


def find_photo(sketch: str, photos: Mapping[str, Photo], separator: str = "/") -> Photo | None:
    """Find the photo that a sketch goes with, here and in training; None if there is none.

    Args:
        sketch: Path below the folder of sketches, without suffix. Where no photo has all of it, the
            first folder is taken for one of a style.
        photos: By their path below the folder of photos, without suffix.
        separator: Of folders in paths.
    """
    photo = photos.get(sketch)
    return photos.get(sketch.partition(separator)[2]) if photo is None else photo


def tolerance_at(size: int) -> float:
    """Return the pixels that sides of a pair may differ by where the shorter one is `size` px.

    As many as `find_pairs` allows, and as many again for rounding and what JPEG decoders leave out.
    """
    return PAIR_TOLERANCE * (1 + size / SIDE_PX)


def find_pairs(
    split: str, photos: tuple[str, list[str]], sketches: tuple[str, list[str]], sizes: Sizes
) -> PairReport:
    """Match photos and sketches of a split by their path without suffix.

    Args:
        split: "train", "val" or "test".
        photos: A folder, and the images in it.
        sketches: Likewise.
        sizes: Of all images.
    """
    photo_of = _stems(*photos)
    partners = {  # by sketch
        path: find_photo(stem, photo_of, os.sep) for stem, path in _stems(*sketches).items()
    }
    pairs = [(photo, path) for path, photo in partners.items() if photo is not None]
    paired = {photo for photo, _ in pairs}
    return PairReport(
        split,
        len(pairs),
        [photo for photo in photo_of.values() if photo not in paired],
        [path for path, photo in partners.items() if photo is None],
        [pair for pair in pairs if not _is_one_shape(*map(sizes.get, pair))],
    )


def _stems(folder: str, paths: list[str]) -> dict[str, str]:
    """Return the paths by what they are below the folder, without suffix."""
    start = 0 if folder == os.curdir else len(os.path.join(folder, ""))  # noqa: PTH118
    return {os.path.splitext(path)[0][start:]: path for path in paths}  # noqa: PTH122


def _is_one_shape(a: tuple[int, int] | None, b: tuple[int, int] | None) -> bool:
    """Say whether training can crop two pictures alike; None is one that it cannot read."""
    if a is None or b is None:
        return True
    pairs = zip(a, b, strict=True)
    return all(SIDE_PX * abs(x / min(a) - y / min(b)) <= PAIR_TOLERANCE for x, y in pairs)
