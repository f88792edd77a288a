"""Whose turn it is to draw: the sketches of each style, and the photos they were drawn from."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from facesketch.config import TrainConfig
from facesketch.data.files import ImageList
from facesketch.data.pairs import find_photo
from facesketch.data.sampler import Pen
from facesketch.errors import DataError


def make_pens(photos: ImageList, sketches: ImageList, config: TrainConfig) -> list[Pen]:
    """List the sketches by style, one pen for each turn that the settings name.

    Args:
        photos: The photo domain.
        sketches: The sketch domain; with styles, a folder of it for each.
        config: `styles` and `lambda_paired`.

    Raises:
        DataError: If a style has no sketches, or pairs are asked for and there is none.
    """
    by_style = numbers_by_style(sketches, config)
    partners = None
    if config.lambda_paired:
        partners = _find_photos(photos, sketches)
        if all(partners[numbers].max() < 0 for numbers in by_style):
            raise DataError(
                f"lambda_paired needs pairs, and no image in {sketches.root} that training draws "
                f"from has the name of one in {photos.root}; name partners alike, or leave "
                "lambda_paired at 0."
            )
    return [
        Pen(style, by_style[style], None if partners is None else partners[by_style[style]])
        for style in config.style_turns
    ]


def numbers_by_style(sketches: ImageList, config: TrainConfig) -> list[npt.NDArray[np.int32]]:
    """Return the numbers of each style's sketches, of all of them where no style is named.

    Raises:
        DataError: If a style has none.
    """
    if not config.styles:
        return [np.arange(len(sketches), dtype=np.int32)]
    names = config.style_names
    tops = [sketches.name(index).partition("/")[0] for index in range(len(sketches))]
    top_of = np.array([names.index(top) if top in names else -1 for top in tops], dtype=np.int8)
    found = [np.flatnonzero(top_of == style).astype(np.int32) for style in range(len(names))]
    for name, numbers in zip(names, found, strict=True):
        if not len(numbers):
            raise DataError(
                f"{sketches.root}/{name} holds no images; --styles wants a folder of sketches for "
                f"each style there."
            )
    return found


def has_all_styles(sketches: ImageList, config: TrainConfig) -> bool:
    """Say whether there are sketches of each style that the settings name."""
    try:
        numbers_by_style(sketches, config)
    except DataError:
        return False
    return True


def _find_photos(photos: ImageList, sketches: ImageList) -> npt.NDArray[np.int32]:
    """Return the number of each sketch's photo, shape (len(sketches),), -1 where there is none."""
    by_name = {_stem(photos, index): index for index in range(len(photos))}
    found = (find_photo(_stem(sketches, index), by_name) for index in range(len(sketches)))
    numbers = (-1 if number is None else number for number in found)
    return np.fromiter(numbers, np.int32, len(sketches))


def _stem(folder: ImageList, index: int) -> str:
    return str(PurePosixPath(folder.name(index)).with_suffix(""))
