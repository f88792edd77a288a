"""Which pictures are measured, and how: squares of one size, read when they are needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFilter

from facesketch import images
from facesketch.data.pairs import find_photo
from facesketch.errors import DataError, ImageError
from facesketch.images import Domain
from facesketch.listing import walk

T = TypeVar("T")

BATCH_SIZE = 16
"""Pictures in memory at a time."""

JPEG_QUALITY = 75
BLUR_RADIUS = 1.0  # px


@dataclass(frozen=True)
class PictureSet:
    """Photos and sketches, sorted by name, and which of them show the same.

    Attributes:
        photos: Files.
        sketches: Files.
        partners: The sketch of a photo and the photo of a sketch, where they have one name.
        size: Side in px that all are brought to.
    """

    photos: list[Path]
    sketches: list[Path]
    partners: dict[Path, Path]
    size: int

    def paths(self, domain: Domain) -> list[Path]:
        """Return the files of one domain."""
        return self.photos if domain == "photo" else self.sketches

    def read(self, path: Path, domain: Domain) -> Image.Image:
        """Read a picture, shorter side to `size`, its middle; RGB for photos, L for sketches.

        Raises:
            DataError: If it cannot be read: a figure over other pictures would mislead.
        """
        try:
            image = images.open_image(path, "RGB" if domain == "photo" else "L")
        except ImageError as error:
            raise DataError(
                f"{error} Mend it or take it out, then run the same command again."
            ) from error
        image = images.resize_cover(image, self.size)
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))

    def partner(self, path: Path, domain: Domain) -> Image.Image | None:
        """Read the real picture of the other domain that shows the same, if there is one."""
        other = self.partners.get(path)
        if other is None:
            return None
        return self.read(other, "sketch" if domain == "photo" else "photo")

    @property
    def num_pairs(self) -> int:
        """Number of photos that have a sketch."""
        return sum(path in self.partners for path in self.photos)


def find_pictures(
    photos: Path, sketches: Path, *, size: int, limit: int | None, needed: int
) -> PictureSet:
    """List what is to be measured.

    Args:
        photos: Folder of photos.
        sketches: Folder of sketches; what belongs to which photo says `find_photo`.
        size: Side in px that all are brought to.
        limit: Take so many of each folder, spread evenly over the sorted names, and of sketches
            first the partners of the photos; None takes all.
        needed: Images that each folder must have.

    Raises:
        DataError: If a folder is missing or has too few.
    """
    chosen, offered = _choose(_list(photos), limit), _list(sketches)
    by_stem = {_stem(photos, path): path for path in chosen}
    photo_of = {path: find_photo(_stem(sketches, path), by_stem) for path in offered}
    sketch_of: dict[Path, Path] = {}
    for sketch, photo in photo_of.items():
        if photo is not None:
            sketch_of.setdefault(photo, sketch)
    if limit is not None and limit < len(offered):
        paired = set(sketch_of.values())
        others = [path for path in offered if path not in paired]
        offered = sorted([*paired, *_choose(others, limit - len(paired))])
    found = chosen, offered
    for folder, paths in zip((photos, sketches), found, strict=True):
        if len(paths) < needed:
            limited = f" (--limit {limit})" if limit == len(paths) else ""
            raise DataError(
                f"{folder} gives {len(paths):,} images{limited}, and {needed:,} are needed: two "
                "halves of a KID subset each; add images or lower --subset-size."
            )
    partners = {path: photo for path in offered if (photo := photo_of[path]) is not None}
    partners |= sketch_of
    return PictureSet(found[0], found[1], partners, size)


def _list(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one that holds images.")
    return sorted(folder / name for name, is_image in walk(folder) if is_image)


def _choose(paths: list[Path], limit: int | None) -> list[Path]:
    if limit is None or limit >= len(paths):
        return paths
    return [paths[index * len(paths) // limit] for index in range(limit)]


def _stem(folder: Path, path: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield as many items at a time as may be in memory."""
    for start in range(0, len(items), BATCH_SIZE):
        yield items[start : start + BATCH_SIZE]


def degrade(picture: Image.Image) -> Image.Image:
    """Take away what a generator could hide in a picture: a blur of 1 px, then JPEG 75."""
    blurred = picture.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))
    encoded = images.encode(blurred, "JPEG", quality=JPEG_QUALITY)
    return images.open_image(io.BytesIO(encoded), "L" if picture.mode == "L" else "RGB")


def pencil(photo: Image.Image) -> Image.Image:
    """The pencil filter of picture editors (colour dodge): gray divided by its blur.

    One is added to both, so that plain black becomes white paper like every plain ground.
    """
    gray = photo.convert("L")
    blur = gray.filter(ImageFilter.GaussianBlur(gray.width / 50))
    share = (np.asarray(gray, np.float32) + 1) / (np.asarray(blur, np.float32) + 1)
    return Image.fromarray(np.clip(np.rint(share * 255), 0, 255).astype(np.uint8))
