"""How close is one picture to another that should be the same?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from facesketch.evaluation.extractor import MobileNetExtractor
from facesketch.evaluation.fsim import fsim

MAX_PSNR = 100.0
"""What equal pictures get, dB: their ratio has no bound, and an average must have one."""


def compare(
    fakes: Sequence[Image.Image], reals: Sequence[Image.Image], extractor: MobileNetExtractor
) -> dict[str, list[float]]:
    """Measure pairs of one size.

    Args:
        fakes: Generated pictures, mode "L" or "RGB".
        reals: Their counterparts, of the same mode.
        extractor: Gives the feature distance.

    Returns:
        By metric, one value a pair: SSIM (Wang et al. 2004) and FSIM of the lightness, PSNR of
        all channels in dB, feature distance.
    """
    result: dict[str, list[float]] = {"ssim": [], "psnr": [], "fsim": []}
    for fake, real in zip(fakes, reals, strict=True):
        x, y = (np.asarray(picture.convert("L")) for picture in (fake, real))
        ssim = structural_similarity(  # type: ignore[no-untyped-call]
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        result["ssim"].append(float(ssim))
        result["psnr"].append(psnr(fake, real))
        result["fsim"].append(fsim(x, y))
    return result | {f"feature_distance_{extractor.name}": extractor.distances(fakes, reals)}


def psnr(fake: Image.Image, real: Image.Image) -> float:
    """Peak signal to noise ratio in dB, of 8-bit pictures of one mode."""
    x, y = np.asarray(fake), np.asarray(real)
    if np.array_equal(x, y):
        return MAX_PSNR
    ratio = peak_signal_noise_ratio(y, x, data_range=255)  # type: ignore[no-untyped-call]
    return float(ratio)


def mean_difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of two pictures of one mode, in steps of 255."""
    x, y = (np.asarray(picture, np.float32) for picture in (first, second))
    return float(np.abs(x - y).mean())
