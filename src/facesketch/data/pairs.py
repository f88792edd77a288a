"""Which photo and which sketch show the same face: those of the same name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from facesketch.data.files import ImageFolder
from facesketch.errors import DataError


def find_partners(photos: ImageFolder, sketches: ImageFolder) -> npt.NDArray[np.int32]:
    """Match images by their path below the folder, without suffix.

    Returns:
        The number of each photo's sketch, shape (len(photos),), -1 where there is none.

    Raises:
        DataError: If no photo has one.
    """
    by_name = {_name(sketches, index): index for index in range(len(sketches))}
    found = (by_name.get(_name(photos, index), -1) for index in range(len(photos)))
    partners = np.fromiter(found, np.int32, len(photos))
    if partners.max() < 0:
        raise DataError(
            f"lambda_paired needs pairs, and no image in {photos.root} has the name of one in "
            f"{sketches.root}; name partners alike, or leave lambda_paired at 0."
        )
    return partners


def _name(folder: ImageFolder, index: int) -> Path:
    return folder.path(index).relative_to(folder.root).with_suffix("")
