from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facesketch import upscale
from facesketch.images import Uint8Array
from facesketch.upscale import upscale_drawing, upscale_strokes

NATIVE = 128


def drawing(size: int = NATIVE, *, paper: int = 250, ink: int = 30) -> Uint8Array:
    """A circle, a slanted line and a thin vertical one, anti-aliased."""
    image = Image.new("L", (size * 4, size * 4), paper)
    draw = ImageDraw.Draw(image)
    unit = size * 4 / 128
    draw.ellipse([12 * unit, 12 * unit, 80 * unit, 80 * unit], outline=ink, width=round(3 * unit))
    draw.line([10 * unit, 120 * unit, 118 * unit, 92 * unit], fill=ink, width=round(2 * unit))
    draw.line([108 * unit, 8 * unit, 108 * unit, 84 * unit], fill=ink, width=round(4 * unit))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def rise(row: Uint8Array) -> float:
    """Pixels from 10 to 90% of an edge, for a row that falls from paper to ink."""
    values = row.astype(float)
    share = (values.max() - values) / (values.max() - values.min())
    x = np.arange(len(share))
    return float(np.interp(0.9, share, x) - np.interp(0.1, share, x))


def left_edge(picture: Uint8Array) -> Uint8Array:
    """A row from the paper into the middle of the vertical stroke at x = 108 of 128."""
    scale = picture.shape[1] / 128
    return picture[picture.shape[0] // 3, round(100 * scale) : round(108 * scale)]


def coloured() -> Image.Image:
    """The drawing in red ink on cream paper."""
    share = drawing(paper=255, ink=0)[..., None] / 255
    pixels = np.array([170, 40, 30]) * (1 - share) + np.array([250, 245, 230]) * share
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


@pytest.mark.parametrize("size", [160, 256, 700, 1024, 1500])
def test_edges_of_strokes_are_as_crisp_as_at_the_native_size(size: int) -> None:
    native = drawing()
    enlarged = upscale_strokes(native, (size, size))
    assert enlarged.shape == (size, size)
    assert rise(left_edge(enlarged)) < max(2.0, 1.2 * rise(left_edge(native)))


def test_a_plain_enlargement_is_not_as_crisp() -> None:
    plain = Image.fromarray(drawing()).resize((1024, 1024), Image.Resampling.LANCZOS)
    assert rise(left_edge(np.asarray(plain))) > 5


def test_strokes_stay_where_they_are_and_as_wide_as_they_are() -> None:
    truth = drawing(1024).astype(float)
    enlarged = upscale_strokes(drawing(), (1024, 1024)).astype(float)
    assert np.abs(enlarged - truth).mean() < 2.5
    assert (255 - enlarged).sum() == pytest.approx((255 - truth).sum(), rel=0.03)


def test_slanted_and_curved_strokes_have_no_stairs() -> None:
    enlarged = upscale_strokes(drawing(), (1024, 1024))
    columns = np.arange(200, 800)
    upper = np.array([np.flatnonzero(enlarged[700:, x] < 140)[0] + 700.0 for x in columns])
    wobble = upper - np.polyval(np.polyfit(columns, upper, 1), columns)
    assert np.abs(wobble).max() < 2.5  # a pixel of the drawing is 8 px here


def test_nothing_rings() -> None:
    enlarged = upscale_strokes(drawing(paper=240, ink=40), (777, 777))
    assert enlarged.max() <= 240
    assert enlarged.min() >= 39


def test_white_paper_stays_white() -> None:
    assert (upscale_strokes(np.full((40, 40), 255, np.uint8), (333, 333)) == 255).all()


def test_grey_strokes_keep_their_tone() -> None:
    enlarged = upscale_strokes(drawing(ink=150), (1024, 1024))
    assert abs(int(left_edge(enlarged)[-4]) - 150) <= 6


def test_soft_shading_stays_soft() -> None:
    ramp = np.tile(np.linspace(120, 250, 64).astype(np.uint8), (64, 1))
    enlarged = upscale_strokes(ramp, (512, 512)).astype(int)
    plain = np.asarray(Image.fromarray(ramp).resize((512, 512), Image.Resampling.BICUBIC))
    assert np.abs(enlarged - plain)[:, 16:-16].max() <= 4


def test_rims_lighter_than_the_paper_do_not_glow() -> None:
    sketch = np.full((64, 64), 235, np.uint8)
    sketch[:, 30:34] = (255, 60, 60, 255)
    enlarged = upscale_strokes(sketch, (512, 512))
    assert enlarged.max() <= 246


def test_no_seam_shows_between_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    native = drawing()
    whole = upscale_strokes(native, (450, 450)).astype(int)
    monkeypatch.setattr(upscale, "STRIP_ROWS", 20)
    difference = np.abs(upscale_strokes(native, (450, 450)) - whole)
    assert difference.max() <= 16  # without a margin around the strips: more than 200
    assert difference.mean() < 0.05


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((256, 256), (256, 256)),
        ((256, 300), (75, 64)),
        ((3, 1024), (10000, 29)),
        ((1, 1), (50, 50)),
        ((2, 2), (3, 2)),
        ((171, 256), (1000, 668)),
    ],
)
def test_any_size_gives_the_size_asked_for(shape: tuple[int, int], size: tuple[int, int]) -> None:
    sketch = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert upscale_strokes(sketch, size).shape == size[::-1]


def test_the_native_size_is_left_alone() -> None:
    native = drawing()
    assert np.array_equal(upscale_strokes(native, (NATIVE, NATIVE)), native)


@pytest.mark.parametrize("size", [160, 1024])
def test_coloured_strokes_are_as_crisp_and_keep_their_colour(size: int) -> None:
    enlarged = upscale_drawing(coloured(), (size, size))
    assert (enlarged.mode, enlarged.size) == ("RGB", (size, size))
    lightness = np.asarray(enlarged.convert("L"))
    assert rise(left_edge(lightness)) < max(2.0, 1.2 * rise(left_edge(drawing())))
    inside = enlarged.getpixel((round(108 * size / NATIVE), size // 3))
    assert np.abs(np.array(inside) - (170, 40, 30)).max() < 12


@pytest.mark.parametrize("size", [NATIVE, NATIVE // 2])
def test_a_coloured_drawing_that_does_not_grow_is_resized_plainly(size: int) -> None:
    plain = coloured().resize((size, size), Image.Resampling.LANCZOS)
    assert np.array_equal(upscale_drawing(coloured(), (size, size)), plain)


def test_gray_ink_stays_gray_in_a_coloured_drawing() -> None:
    enlarged = upscale_drawing(Image.fromarray(drawing()).convert("RGB"), (500, 500))
    assert np.array_equal(enlarged.convert("L"), upscale_strokes(drawing(), (500, 500)))
    assert np.ptp(np.asarray(enlarged), axis=2).max() == 0
