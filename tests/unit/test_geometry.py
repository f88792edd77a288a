"""Similarity transforms and what is cut out along them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facesketch.geometry import (
    Outside,
    cut_out,
    fit_similarity,
    inverse,
    move,
    roll_of,
    scale_of,
)


def similarity(scale: float, roll: float, x: float, y: float) -> np.ndarray:
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


def centred(scale: float, roll: float, image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """A similarity that puts the middle of the picture into the middle of the result."""
    turned = move(similarity(scale, roll, 0, 0), np.array(image.size) / 2)
    return similarity(scale, roll, *(np.array(size) / 2 - turned))


def ramp(width: int, height: int) -> Image.Image:
    """A picture whose value tells the place: 2 grey levels a pixel to the right, 1 downwards."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray((2 * x + y).astype(np.uint8))


@given(
    scale=st.floats(0.05, 20),
    roll=st.floats(-3, 3),
    x=st.floats(-1000, 1000),
    y=st.floats(-1000, 1000),
)
def test_the_fit_finds_the_similarity_that_moved_the_points(
    scale: float, roll: float, x: float, y: float
) -> None:
    points = np.array([(0.0, 0.0), (10.0, 1.0), (4.0, 9.0)])
    matrix = similarity(scale, roll, x, y)
    fitted = fit_similarity(points, move(matrix, points), (4, 4, 1))
    assert fitted == pytest.approx(matrix, abs=1e-6)
    assert scale_of(fitted) == pytest.approx(scale)
    assert roll_of(fitted) == pytest.approx(roll, abs=1e-6)
    assert move(inverse(fitted), move(matrix, points)) == pytest.approx(points, abs=1e-6)


def test_points_of_no_weight_do_not_count() -> None:
    points = np.array([(0.0, 0.0), (10.0, 0.0), (5.0, 5.0)])
    target = np.array([(0.0, 0.0), (20.0, 0.0), (999.0, -999.0)])
    assert fit_similarity(points, target, (1, 1, 0)) == pytest.approx(similarity(2, 0, 0, 0))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_picture_itself_is_cut_out_unchanged(mode: str) -> None:
    image = ramp(60, 40).convert(mode)
    result = cut_out(image, similarity(1, 0, 0, 0), image.size)
    assert result.mode == mode
    assert np.array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_every_pixel_comes_from_where_the_matrix_says(scale: float) -> None:
    image = ramp(100, 50)
    matrix = centred(scale, 0.4, image, (24, 20))
    result = np.asarray(cut_out(image, matrix, (24, 20)), dtype=float)
    x, y = move(inverse(matrix), np.array([(11.5, 9.5)]))[0] - 0.5
    assert result[9, 11] == pytest.approx(2 * x + y, abs=2.5)


def test_a_fine_pattern_becomes_grey_and_no_moire() -> None:
    checkers = np.indices((400, 400)).sum(axis=0) % 2 * 255
    image = Image.fromarray(checkers.astype(np.uint8))
    size = (24, 20)
    grey = np.asarray(cut_out(image, centred(0.1, 0.3, image, size), size))
    assert np.abs(grey.astype(int) - 127).max() < 12


@pytest.mark.parametrize(("outside", "tone"), [("black", 0), ("paper", 240), ("mirror", 240)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_lies_outside_is_filled(outside: Outside, tone: int, mode: str) -> None:
    image = Image.new("L", (40, 40), 240)
    image.paste(0, (18, 18, 22, 22))
    result = cut_out(image.convert(mode), similarity(1, 0, 40, 40), (120, 120), outside=outside)
    pixels = np.asarray(result.convert("L"))
    assert abs(int(pixels[2, 2]) - tone) <= 12
    assert pixels[59, 59] < 20  # the known part stays
    assert abs(int(pixels[45, 45]) - 240) <= 6


def test_a_mirrored_mark_does_not_look_like_a_second_one() -> None:
    image = Image.new("L", (100, 100), 200)
    image.paste(0, (8, 40, 20, 60))
    result = cut_out(image, similarity(1, 0, 60, 0), (160, 100), outside="mirror")
    pixels = np.asarray(result)
    assert pixels[50, 73] < 10
    assert pixels[50, 46] > 60


def test_a_rectangle_beside_the_picture_is_filled_too() -> None:
    result = cut_out(
        Image.new("L", (10, 10), 99), similarity(1, 0, -50, -50), (8, 8), outside="paper"
    )
    assert set(np.asarray(result).ravel()) == {99}
