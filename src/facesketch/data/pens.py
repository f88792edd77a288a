"""Whose turn it is to draw: the sketches of each style, and the photos they were drawn from."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from facesketch.config import TrainConfig
from facesketch.data.files import ImageList
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
        partners = _find_photos(photos, sketches, is_styled=bool(config.styles))
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


def _find_photos(
    photos: ImageList, sketches: ImageList, *, is_styled: bool
) -> npt.NDArray[np.int32]:
    """Match images by their path below the folder (of the style), without suffix.

    Returns:
        The number of each sketch's photo, shape (len(sketches),), -1 where there is none.

    Raises:
        DataError: If no sketch has one.
    """
    by_name = {PurePosixPath(photos.name(i)).with_suffix(""): i for i in range(len(photos))}
    names = (PurePosixPath(sketches.name(i)).with_suffix("") for i in range(len(sketches)))
    keys = (PurePosixPath(*name.parts[1:]) if is_styled else name for name in names)
    result = np.fromiter((by_name.get(key, -1) for key in keys), np.int32, len(sketches))
    if result.max() < 0:
        raise DataError(
            f"lambda_paired needs pairs, and no image in {sketches.root} has the name of one in "
            f"{photos.root}; name partners alike, or leave lambda_paired at 0."
        )
    return result
