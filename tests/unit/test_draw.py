"""The line drawing: what it draws, what it leaves white, and how strokes are made."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facesketch.data.draw import draw_folder
from facesketch.errors import MissingExtraError

pytestmark = pytest.mark.data
cv2 = pytest.importorskip("cv2")

from facesketch.data import line_drawing, strokes  # noqa: E402  # they import OpenCV


def scene(size: int) -> np.ndarray:
    """A dark disc and a black bar on a light ground, with soft edges."""
    image = Image.new("RGB", (1024, 1024), (225, 215, 205))
    draw = ImageDraw.Draw(image)
    draw.ellipse((200, 120, 824, 744), fill=(150, 100, 80))
    draw.rounded_rectangle((260, 840, 760, 864), 12, fill=(40, 30, 30))
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def pieces(drawing: np.ndarray) -> list[int]:
    """Lengths of the connected strokes, px."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(strokes.thin(drawing < 128))
    return sorted(stats[1:, cv2.CC_STAT_AREA].tolist())


def test_an_outline_is_drawn_where_it_is_and_nothing_else() -> None:
    drawing = line_drawing.draw_lines(scene(256))

    y, x = np.nonzero(drawing[:200] < 128)
    radius = np.hypot(x - 127.5, y - 107.5)
    assert np.abs(radius - 78).max() < 4
    angles = np.floor(np.degrees(np.arctan2(y - 107.5, x - 127.5)) / 10)
    assert len(set(angles)) >= 34  # of 36 sectors: the circle is closed but for the pen's lift


def test_a_dark_bar_is_one_stroke_and_not_two_outlines() -> None:
    drawing = line_drawing.draw_lines(scene(256))

    assert len(pieces(drawing[200:])) == 1
    rows = np.nonzero((drawing[200:, 100:156] < 128).any(axis=1))[0] + 200
    assert abs(rows.mean() - 212.5) < 2


def test_strokes_are_few_and_long_where_the_raw_recipe_gives_speckle() -> None:
    noise = np.random.default_rng(0).normal(0, 6, (256, 256, 3))
    photo = np.clip(scene(256) + noise, 0, 255).astype(np.uint8)

    ours = pieces(line_drawing.draw_lines(photo))
    raw = pieces(np.asarray(line_drawing.rough_drawing(Image.fromarray(photo))))
    assert len(ours) < len(raw) / 3
    assert np.median(ours) > 4 * np.median(raw)


@pytest.mark.parametrize("gray", [0, 128, 255])
def test_an_empty_photo_gives_white_paper(gray: int) -> None:
    drawing = line_drawing.draw_lines(np.full((64, 80, 3), gray, np.uint8))
    assert drawing.min() == 255


def test_there_is_no_frame() -> None:
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    photo = np.dstack([np.broadcast_to(ramp, (256, 256))] * 3)
    drawing = line_drawing.draw_lines(photo)
    edge = [drawing[:3], drawing[-3:], drawing[:, :3].T, drawing[:, -3:].T]
    assert np.concatenate(edge).min() == 255


def test_a_photo_gets_the_same_drawing_at_every_size() -> None:
    small, middle, large = (
        np.asarray(Image.fromarray(line_drawing.draw_lines(scene(size))).resize((256, 256)))
        for size in (256, 512, 1024)
    )
    ink = [float((255.0 - drawing).mean()) for drawing in (small, middle, large)]
    assert max(ink) < 1.1 * min(ink)
    apart = np.abs(small.astype(float) - large.astype(float)).mean()
    assert apart < 0.35 * ink[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (3, 2), (333, 257)])
def test_a_drawing_has_the_size_of_its_photo(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    drawing = line_drawing.draw_lines(photo)
    assert drawing.shape == shape
    assert drawing.dtype == np.uint8


def test_drawing_twice_gives_the_same_pixels() -> None:
    assert np.array_equal(line_drawing.draw_lines(scene(128)), line_drawing.draw_lines(scene(128)))


def test_long_photos_are_worked_on_within_bounded_memory() -> None:
    for height, width in [(100, 100_000), (20_000, 3), (8_000, 12_000)]:
        scale = line_drawing.work_scale(height, width)
        assert height * width * scale**2 <= line_drawing.MAX_WORK_PIXELS * 1.001
        assert max(height, width) * scale <= line_drawing.MAX_WORK_SIDE


def test_thinning_keeps_every_piece_and_leaves_lines_one_pixel_wide() -> None:
    mask = np.zeros((60, 90), bool)
    mask[5:15, 5:80] = True
    mask[30:50, 10:16] = True
    mask[25:55, 40:80] = True
    mask[35:45, 50:70] = False  # a ring
    thinned = strokes.thin(mask)

    assert cv2.connectedComponents(thinned)[0] == cv2.connectedComponents(mask.astype(np.uint8))[0]
    assert not (thinned.astype(bool) & ~mask).any()
    solid = cv2.filter2D(thinned, cv2.CV_16S, np.ones((2, 2), np.float32))
    assert solid.max() < 4


def test_a_ring_is_traced_as_one_curve() -> None:
    ring = cv2.circle(np.zeros((80, 80), np.uint8), (40, 40), 25, 1, 1)
    (curve,) = strokes.trace(strokes.thin(ring))
    assert len(curve) == strokes.thin(ring).sum()


def test_a_fork_is_passed_straight_on() -> None:
    skeleton = np.zeros((60, 60), np.uint8)
    skeleton[30, 5:55] = 1
    skeleton[31:55, 30] = 1
    curves = sorted(strokes.link(strokes.trace(strokes.thin(skeleton))), key=len)
    assert len(curves) == 2
    assert np.ptp(curves[1][:, 0]) == 49  # the horizontal line, from end to end


def test_gaps_are_closed_only_where_a_line_goes_on() -> None:
    def line(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return np.linspace((x0, y0), (x1, y1), 30).astype(np.float32)

    assert len(strokes.link([line(0, 0, 29, 0), line(34, 1, 63, 2)])) == 1
    assert len(strokes.link([line(0, 0, 29, 0), line(33, 4, 33, 33)])) == 2  # a corner
    assert len(strokes.link([line(0, 0, 29, 0), line(60, 0, 89, 0)])) == 2  # too far


def test_smoothing_keeps_the_ends_and_takes_the_steps_out() -> None:
    x = np.arange(60)
    stairs = np.stack([x, x // 3], axis=1).astype(np.float32)
    smooth = strokes.smooth_curve(stairs)
    assert np.allclose(smooth[[0, -1]], stairs[[0, -1]], atol=1e-3)
    slope = np.arctan2(*np.diff(smooth[8:-8], axis=0).T[::-1])
    assert np.abs(slope - np.arctan(1 / 3)).max() < 0.1


def test_a_missing_opencv_is_answered_with_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'facesketch\[data\]'"):
        draw_folder(tmp_path / "photos", tmp_path / "sketches")
