from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from facesketch.domain import SURE_PROBABILITY, DomainClassifier, DomainGuess, luma_views

SIZES = [(64, 64), (200, 300), (1200, 1000), (2500, 3000), (900, 300)]


@pytest.fixture(scope="module")
def classifier() -> DomainClassifier:
    return DomainClassifier()


def shaded_head(width: int = 256, height: int = 256) -> Image.Image:
    """A lit ball with hair, eyes and mouth before a soft background: all shading, no lines."""
    if max(width, height) > 600:
        scale = 600 / max(width, height)
        small = shaded_head(max(1, round(width * scale)), max(1, round(height * scale)))
        return small.resize((width, height), Image.Resampling.BICUBIC)
    side = min(width, height)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = (x - width / 2) / side * 2, (y - height / 2) / side * 2

    def blob(cx: float, cy: float, rx: float, ry: float, soft: float) -> np.ndarray:
        distance = np.hypot((x - cx) / rx, (y - cy) / ry)
        return 1 / (1 + np.exp(np.clip((distance - 1) / soft, -50, 50)))

    def lay(canvas: np.ndarray, colour: tuple[float, float, float], alpha: np.ndarray, shade):
        return canvas * (1 - alpha[..., None]) + np.array(colour) * (alpha * shade)[..., None]

    canvas = np.array([0.45, 0.5, 0.55]) * (0.8 + 0.25 * np.sin(2 * x + y))[..., None]
    canvas = lay(canvas, (0.3, 0.2, 0.15), blob(0, -0.2, 0.65, 0.75, 0.06), 0.9 + 0.3 * y)
    canvas = lay(canvas, (0.25, 0.3, 0.5), blob(0, 1.2, 0.9, 0.6, 0.03), 1 - 0.3 * x)
    canvas = lay(canvas, (0.9, 0.7, 0.6), blob(0, 0, 0.5, 0.68, 0.04), 0.85 - 0.3 * x - 0.2 * y)
    for side_x in (-0.2, 0.2):
        canvas = lay(canvas, (0.15, 0.1, 0.1), blob(side_x, -0.1, 0.09, 0.05, 0.2), 1 + x)
    canvas = lay(canvas, (0.7, 0.3, 0.3), blob(0, 0.35, 0.18, 0.06, 0.2), 1 - 0.3 * x)
    canvas += np.random.default_rng(0).normal(0, 0.01, canvas.shape)
    return Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))


def line_head(width: int = 256, height: int = 256) -> Image.Image:
    """The outlines of a head, drawn on white, with some hatching for hair."""
    side = min(width, height)
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    stroke = max(1, side // 100)

    def box(cx: float, cy: float, rx: float, ry: float) -> list[float]:
        left, top = width / 2 + cx * side / 2, height / 2 + cy * side / 2
        return [
            left - rx * side / 2,
            top - ry * side / 2,
            left + rx * side / 2,
            top + ry * side / 2,
        ]

    draw.ellipse(box(0, 0, 0.5, 0.68), outline=40, width=stroke)
    draw.arc(box(0, 1.2, 0.9, 0.6), 180, 360, fill=60, width=stroke)
    for side_x in (-0.2, 0.2):
        draw.ellipse(box(side_x, -0.1, 0.1, 0.05), outline=30, width=stroke)
        draw.arc(box(side_x, -0.2, 0.14, 0.08), 190, 350, fill=30, width=stroke)
    draw.arc(box(0, 0.3, 0.2, 0.1), 20, 160, fill=30, width=stroke)
    draw.line([*box(0, 0.1, 0.03, 0.1)[:2], *box(0, 0.1, 0.03, 0.1)[2:]], fill=70, width=stroke)
    for step in range(10):
        strand = box(0, -0.05, 0.5 + step / 40, 0.7 + step / 40)
        draw.arc(strand, 190 + 3 * step, 350 - 2 * step, fill=80, width=stroke)
    return page


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_shaded_picture_is_a_photo_at_any_size_in_colour_and_black_and_white(
    classifier, size, mode
):
    guess = classifier.guess(shaded_head(*size).convert(mode))
    assert guess.domain == "photo"
    assert guess.is_sure


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_line_drawing_is_a_sketch_at_any_size(classifier, size, mode):
    guess = classifier.guess(line_head(*size).convert(mode))
    assert guess.domain == "sketch"
    assert guess.is_sure


@pytest.mark.parametrize(
    "paper", [(245, 232, 200), (190, 150, 105), (140, 165, 200), (128, 128, 128), (90, 90, 90)]
)
def test_the_paper_does_not_turn_a_drawing_into_a_photo(classifier, paper):
    assert classifier.guess(ImageOps.colorize(line_head(), "black", paper)).domain == "sketch"


@pytest.mark.parametrize("tone", [(255, 228, 180), (180, 200, 255), (128, 128, 128)])
def test_a_tint_does_not_turn_a_photo_into_a_drawing(classifier, tone):
    photo = ImageOps.colorize(shaded_head().convert("L"), "black", tone)
    assert classifier.guess(photo).domain == "photo"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_real_photo_is_a_photo(classifier, mode):
    data = pytest.importorskip("skimage.data")
    guess = classifier.guess(Image.fromarray(data.astronaut()).convert(mode))
    assert guess.domain == "photo"
    assert guess.is_sure


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 500), (4000, 10), (64, 4000)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_any_shape_gets_an_answer(classifier, size, mode):
    guess = classifier.guess(shaded_head(*size).convert(mode))
    assert guess.domain in ("photo", "sketch")
    assert 0.5 <= guess.probability <= 1


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_blank_sheet_is_not_sure(classifier, tone):
    assert not classifier.guess(Image.new("RGB", (300, 200), (tone, tone, tone))).is_sure


def test_transparency_counts_as_white_paper(classifier):
    drawing = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    drawing.putalpha(ImageOps.invert(line_head()))
    assert classifier.guess(drawing) == classifier.guess(line_head().convert("RGB"))


def test_sure_begins_at_the_threshold():
    assert DomainGuess("photo", SURE_PROBABILITY).is_sure
    assert not DomainGuess("sketch", SURE_PROBABILITY - 0.01).is_sure


def test_views_are_squares_of_luma():
    assert luma_views(shaded_head(300, 300)).shape == (2, 1, 128, 128)
    views = luma_views(line_head(300, 900))
    assert views.shape == (4, 1, 128, 128)
    assert views.min() >= 0
    assert views.max() <= 1


def test_threads_share_a_classifier(classifier):
    pictures = [shaded_head(), line_head(), shaded_head(300, 200), line_head(100, 300)] * 10
    alone = [classifier.guess(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(classifier.guess, pictures)) == alone
