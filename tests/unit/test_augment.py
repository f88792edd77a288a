from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facesketch.data import augment

SIZE = 128


def drawing(mode: str = "L") -> np.ndarray:
    """Circles of thin black lines on white, uint8 (SIZE, SIZE) or (SIZE, SIZE, 3)."""
    image = Image.new("L", (4 * SIZE, 4 * SIZE), 255)
    for radius in (60, 120, 200):
        box = [2 * SIZE - radius, 2 * SIZE - radius, 2 * SIZE + radius, 2 * SIZE + radius]
        ImageDraw.Draw(image).ellipse(box, outline=0, width=6)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).convert(mode))


def ink(picture: np.ndarray) -> np.ndarray:
    return 1 - picture.astype(np.float32)[..., None] / 255


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_redrawn_sketches_keep_shape_and_type_and_repeat_with_the_seed(mode: str) -> None:
    picture = drawing(mode)
    before = picture.copy()
    for seed in range(20):
        seen = augment.redraw(picture, rng(seed))
        assert (seen.shape, seen.dtype) == (picture.shape, np.uint8)
        assert np.array_equal(seen, augment.redraw(picture, rng(seed)))
    assert np.array_equal(picture, before)


def test_a_fifth_of_the_sketches_stays_and_hardly_two_others_are_alike() -> None:
    picture = drawing()
    seen = [augment.redraw(picture, rng(seed)).tobytes() for seed in range(200)]
    assert 0.12 < np.mean([picture.tobytes() == one for one in seen]) < 0.35
    assert len(set(seen)) > 0.6 * len(seen)


def test_redrawn_sketches_stay_dark_lines_on_light_paper_in_the_same_places() -> None:
    picture = drawing()
    lines = picture < 128
    far = np.asarray(
        Image.fromarray(ink(picture)[..., 0] > 0).resize((16, 16), Image.Resampling.BOX)
    )
    paper = np.kron(far == 0, np.ones((8, 8), bool))  # 8 x 8 px without a line
    for seed in range(200):
        seen = augment.redraw(picture, rng(seed)).astype(float)
        assert np.median(seen[paper]) > 0.65 * 255
        assert seen[lines].mean() < np.median(seen[paper]) - 10


@pytest.mark.parametrize(("change", "thicker"), [(1.5, True), (0.7, True), (-1.0, False)])
def test_strokes_become_thicker_or_thinner(change: float, thicker: bool) -> None:
    before = ink(drawing())
    for seed in range(5):
        after = augment.stroke_width(before, change * 2, rng(seed))  # 128 px: half the width
        assert (after.sum() > 1.2 * before.sum()) == thicker
        assert (after.sum() < 0.85 * before.sum()) != thicker
        assert -1e-6 <= after.min() <= after.max() <= 1 + 1e-6


def test_a_wider_pen_makes_a_line_wider_by_that_much_on_either_side() -> None:
    line = np.zeros((64, 256, 1), np.float32)
    line[:, 100:102] = 1
    field = augment.smooth_field((64, 256), 4, rng(3))
    wide = augment.stroke_width(np.repeat(line, 4, axis=0), 2.0, rng(3))
    assert field.shape == (64, 256, 1)
    assert 2 + 2 * 1.4 < wide.sum(axis=1).mean() < 2 + 2 * 2.6


def test_a_felt_pen_leaves_hardly_any_grey() -> None:
    def grey(picture: np.ndarray) -> float:
        return float(((picture > 0.1) & (picture < 0.9)).mean())

    pencil = augment.tone(ink(drawing()), gamma=1, strength=0.6)
    assert grey(augment.harden(pencil, 0.1)) < 0.5 * grey(pencil)


def test_lines_fade_in_patches_and_stay_elsewhere() -> None:
    black = np.ones((SIZE, SIZE, 1), np.float32)
    kept = [augment.missing_lines(black, rng(seed)) for seed in range(100)]
    gone = [float((one < 0.1).mean()) for one in kept]
    assert 0.005 < np.mean(gone) < 0.1
    assert max(gone) < 0.4
    assert all((one == 1).mean() > 0.4 for one in kept)


def test_tone_makes_lines_lighter_and_leaves_paper_alone() -> None:
    faint = augment.tone(ink(drawing()), gamma=1, strength=0.5)
    assert faint.max() == pytest.approx(0.5)
    assert faint.min() == 0


def test_paper_is_light_uneven_and_grey() -> None:
    sheets = [augment.paper((SIZE, SIZE), rng(seed)) for seed in range(50)]
    assert all(sheet.dtype == np.float32 and sheet.max() <= 1 for sheet in sheets)
    means = [float(sheet.mean()) for sheet in sheets]
    assert 0.75 < min(means) < 0.85
    assert max(means) > 0.95
    assert np.mean([sheet.std() for sheet in sheets]) > 0.01
