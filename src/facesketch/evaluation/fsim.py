"""FSIM (Zhang et al. 2011): do two pictures have their edges and features in the same places?"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facesketch.evaluation.statistics import FloatArray
from facesketch.images import Uint8Array

NUM_SCALES, NUM_ORIENTATIONS = 4, 4
MIN_WAVELENGTH = 6
SIGMA_F = 0.55
THETA_SIGMA = math.pi / NUM_ORIENTATIONS / 1.2
NOISE_DEVIATIONS = 2.0
NOISE_SCALE = 1.7
"""By so much the paper's code finds the noise overestimated for this measure."""

T1, T2 = 0.85, 160.0
"""Constants of the paper for phase congruency and gradients of pictures from 0 to 255."""

EPSILON = 1e-12


class _Filters(NamedTuple):
    """Log-Gabor filters in the frequency plane, and what white noise does to each orientation."""

    filters: FloatArray  # (orientations, scales, H, W)
    noise_gain: FloatArray  # (orientations,)


def fsim(first: Uint8Array, second: Uint8Array) -> float:
    """Compare two gray pictures by phase congruency and gradient, Eq. 4 to 7 of the paper.

    Args:
        first: uint8, shape (H, W).
        second: Of the same shape.

    Returns:
        1 for equal pictures, towards 0 for unlike ones; 1 if neither has any feature.
    """
    x, y = _thin(first), _thin(second)
    congruency_x, congruency_y = _phase_congruency(x), _phase_congruency(y)
    similarity = _similarity(congruency_x, congruency_y, T1)
    similarity *= _similarity(_gradient(x), _gradient(y), T2)
    weight = np.maximum(congruency_x, congruency_y)
    total = float(weight.sum())
    return float((similarity * weight).sum()) / total if total else 1.0


def _thin(picture: Uint8Array) -> FloatArray:
    """Average blocks, so that the shorter side has about 256 px: the scale of the constants."""
    block = max(1, round(min(picture.shape) / 256))
    height, width = (side // block for side in picture.shape)
    whole = picture[: height * block, : width * block].astype(np.float64)
    thinned: FloatArray = whole.reshape(height, block, width, block).mean(axis=(1, 3))
    return thinned


def _similarity(x: FloatArray, y: FloatArray, constant: float) -> FloatArray:
    return (2 * x * y + constant) / (x**2 + y**2 + constant)


def _gradient(plane: FloatArray) -> FloatArray:
    """Length of the Scharr gradient, black beyond the edges as in the paper's code."""
    padded = np.pad(plane, 1)
    across = padded[:, 2:] - padded[:, :-2]  # (H + 2, W)
    down = padded[2:] - padded[:-2]  # (H, W + 2)
    horizontal = (3 * across[:-2] + 10 * across[1:-1] + 3 * across[2:]) / 16
    vertical = (3 * down[:, :-2] + 10 * down[:, 1:-1] + 3 * down[:, 2:]) / 16
    return np.hypot(horizontal, vertical)


@cache
def _filters(shape: tuple[int, int]) -> _Filters:
    """Build the filters for pictures of a shape (Kovesi 1999)."""
    v, u = np.meshgrid(*(np.fft.fftfreq(side) for side in shape), indexing="ij")
    radius, theta = np.hypot(u, v), np.arctan2(-v, u)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    wavelengths = [MIN_WAVELENGTH * 2**scale for scale in range(NUM_SCALES)]
    radial = np.stack(
        [np.exp(-(np.log(radius * w) ** 2) / (2 * math.log(SIGMA_F) ** 2)) for w in wavelengths]
    )
    radial *= low_pass
    radial[:, 0, 0] = 0
    angles = [index * math.pi / NUM_ORIENTATIONS for index in range(NUM_ORIENTATIONS)]
    apart = np.stack([np.angle(np.exp(1j * (theta - angle))) for angle in angles])
    angular = np.exp(-(apart**2) / (2 * THETA_SIGMA**2))
    filters = angular[:, None] * radial[None]  # (orientations, scales, H, W)
    # Of the filters as they are in the picture: squares, and products of two scales.
    kernels = np.fft.ifft2(filters).real * math.sqrt(shape[0] * shape[1])
    squares = (kernels**2).sum(axis=(1, 2, 3))
    products = ((kernels.sum(axis=1) ** 2).sum(axis=(1, 2)) - squares) / 2
    finest = (filters[:, 0] ** 2).sum(axis=(1, 2))
    return _Filters(filters, (2 * squares + 4 * products) / finest)


def _phase_congruency(plane: FloatArray) -> FloatArray:
    """How far waves of all scales agree in phase, 0 to 1, noise taken off; shape (H, W)."""
    filters, noise_gain = _filters((plane.shape[0], plane.shape[1]))
    spectrum = np.fft.fft2(plane)
    energy, amplitude = np.zeros_like(plane), np.zeros_like(plane)
    for bank, gain in zip(filters, noise_gain, strict=True):
        responses = np.fft.ifft2(spectrum * bank)  # (scales, H, W), even + i odd
        lengths = np.abs(responses)
        energy += np.maximum(_energy(responses) - _noise(lengths[0], gain), 0)
        amplitude += lengths.sum(axis=0)
    result: FloatArray = energy / (amplitude + EPSILON)
    return result


def _energy(responses: npt.NDArray[np.complex128]) -> FloatArray:
    """Sum of An (cos - |sin|) of each response's angle to the mean one, Kovesi's Eq. 15."""
    mean = responses.sum(axis=0)
    mean /= np.abs(mean) + EPSILON
    turned = responses * mean.conj()
    result: FloatArray = (turned.real - np.abs(turned.imag)).sum(axis=0)
    return result


def _noise(finest: FloatArray, gain: float) -> float:
    """Energy that noise alone would reach, by the median response at the finest scale."""
    power = -float(np.median(finest**2)) / math.log(0.5)
    tau = math.sqrt(power * gain / 2)
    threshold = tau * (math.sqrt(math.pi / 2) + NOISE_DEVIATIONS * math.sqrt(2 - math.pi / 2))
    return threshold / NOISE_SCALE
