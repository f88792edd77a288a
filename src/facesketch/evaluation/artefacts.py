"""What goes wrong with generated pictures as such: checkerboards and shifted colours."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from facesketch.evaluation.statistics import FloatArray

PERIODS = 4
"""Checkerboards come from upsampling by 2, once or twice: they repeat every 2 or 4 px."""

PEAK = 1
"""Bins on each side of such a frequency that count as its peak (a Hann window spreads it)."""

BESIDE = (4, 5, 6)
"""Bins away from it that show what the picture would have there anyway."""

FLOOR = 1e-6
"""Added to all powers, about that of rounding to 8 bits: an empty picture has no pattern."""


def mean_colour(picture: Image.Image) -> FloatArray:
    """Mean colour in CIELAB (D65), shape (3,)."""
    lab = rgb2lab(np.asarray(picture.convert("RGB")))
    result: FloatArray = lab.mean(axis=(0, 1))
    return result


def checkerboard_energy(picture: Image.Image) -> float:
    """Power at the frequencies of checkerboards over the power beside them, in dB.

    Args:
        picture: Sides of at least 64 px.

    Returns:
        Mean over the frequencies of period 2 and 4 px, across, down and both: about 0 where there
        is no pattern, 10 where it is ten times as strong as the picture around it.
    """
    luma = np.asarray(picture.convert("L"), np.float64) / 255
    height, width = (side // PERIODS * PERIODS for side in luma.shape)
    luma = luma[:height, :width]
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    spectrum = np.fft.fft2((luma - luma.mean()) * window)
    power = np.abs(spectrum) ** 2 / window.sum() + FLOOR
    ratios = []
    for v, u in itertools.product(range(PERIODS // 2 + 1), range(PERIODS)):
        if (v, u) == (0, 0) or (v in (0, PERIODS // 2) and u > PERIODS // 2):  # mean; mirrored
            continue
        row, column = v * height // PERIODS, u * width // PERIODS
        ratios.append(10 * np.log10(_peak(power, row, column) / _beside(power, row, column)))
    return float(np.mean(ratios))


def _peak(power: FloatArray, row: int, column: int) -> float:
    """Mean power at a frequency."""
    near = range(-PEAK, PEAK + 1)
    rows = [(row + distance) % power.shape[0] for distance in near]
    columns = [(column + distance) % power.shape[1] for distance in near]
    return float(power[np.ix_(rows, columns)].mean())


def _beside(power: FloatArray, row: int, column: int) -> float:
    """Mean power beside a frequency, along the axis it lies on: axes are strong in all pictures."""
    height, width = power.shape
    values = []
    for distance, side in itertools.product((*BESIDE, *(-d for d in BESIDE)), (-1, 0, 1)):
        if row:
            values.append(power[(row + distance) % height, (column + side) % width])
        if column:
            values.append(power[(row + side) % height, (column + distance) % width])
    return float(np.mean(values))
