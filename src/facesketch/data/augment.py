"""Sketches as people draw and scan them: stroke width, tone, gaps, paper, blur, JPEG.

The drawings of a data set have one pen and one scanner. These changes stand for other ones; each is
drawn by chance, so that a picture gets some of them. NumPy and Pillow alone.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from facesketch.images import Float32Array, Uint8Array

UNTOUCHED = 0.2
"""Share of sketches that stay as they are: the look of the data must not be unlearned."""

_REFERENCE_SIDE = 256  # px; widths and blurs below are those of pictures of this size


def redraw(sketch: Uint8Array, rng: np.random.Generator) -> Uint8Array:
    """Change a sketch as another hand, pen, paper and scanner would.

    Args:
        sketch: uint8, shape (H, W) or (H, W, 3), dark lines on light paper.
        rng: Source of every choice; the same state gives the same picture.

    Returns:
        uint8, the same shape; nothing moves by more than the width of a stroke.
    """
    if rng.random() < UNTOUCHED:
        return sketch
    dark = 255 - sketch.reshape(*sketch.shape[:2], -1)  # (H, W, C)
    ink: Float32Array = np.divide(dark, 255, dtype=np.float32)
    if rng.random() < 0.7:
        ink = stroke_width(ink, rng.uniform(-0.8, 1.6), rng)
    if rng.random() < 0.3:
        ink = harden(ink, rng.uniform(0.05, 0.2))
    if rng.random() < 0.3:
        ink = missing_lines(ink, rng)
    if rng.random() < 0.6:
        ink = tone(ink, gamma=2 ** rng.uniform(-1, 0.7), strength=rng.uniform(0.45, 1))
    page = paper(ink.shape[:2], rng) if rng.random() < 0.5 else np.float32(1)
    pixels = np.clip(np.rint(255 * page * (1 - ink)), 0, 255).astype(np.uint8)
    return _scan(pixels.reshape(sketch.shape), rng)


def stroke_width(ink: Float32Array, change: float, rng: np.random.Generator) -> Float32Array:
    """Make strokes thicker or thinner, unevenly over the picture.

    Grey dilation and erosion; between whole pixels the two nearest are blended.

    Args:
        ink: float32, shape (H, W, C), 0 paper to 1 black.
        change: Mean change on either side of a stroke, in px of a 256 px picture; below 0 is
            thinner.
        rng: Source of the unevenness.
    """
    height, width = ink.shape[:2]
    unevenness = 0.5 * smooth_field((height, width), 4, rng)
    radius = (change + unevenness) * (min(height, width) / _REFERENCE_SIDE)
    result, grown = ink, ink
    for whole in range(int(np.ceil(radius.max()))):
        # A cross and a square in turn make an octagon, near enough to a round pen.
        wider = _neighbours(grown, np.maximum, square=whole % 2 == 1)
        result = result + np.clip(radius - whole, 0, 1) * (wider - grown)
        grown = wider
    if radius.min() < 0:
        thinner = _neighbours(ink, np.minimum, square=False)
        result = result + np.clip(-radius, 0, 0.8) * (thinner - ink)
    return result


def _neighbours(ink: Float32Array, extreme: np.ufunc, *, square: bool) -> Float32Array:
    """Take the extreme over the 4 neighbours of each pixel, or the 8 of them, and itself."""
    down = ink.copy()
    extreme(down[1:], ink[:-1], out=down[1:])
    extreme(down[:-1], ink[1:], out=down[:-1])
    rows = down if square else ink
    result = down.copy()
    extreme(result[:, 1:], rows[:, :-1], out=result[:, 1:])
    extreme(result[:, :-1], rows[:, 1:], out=result[:, :-1])
    return result


def harden(ink: Float32Array, threshold: float) -> Float32Array:
    """Draw with a tablet or a felt pen: black or nothing, edges of about a pixel.

    Args:
        ink: float32, shape (H, W, C), 0 paper to 1 black.
        threshold: Ink below which nothing is drawn.
    """
    result: Float32Array = np.clip((ink - np.float32(threshold)) * 3, 0, 1)
    return result


def missing_lines(ink: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Let the ink run dry in soft patches, a twentieth of the picture or so.

    Args:
        ink: float32, shape (H, W, C), 0 paper to 1 black.
        rng: Source of place and size.
    """
    field = smooth_field(ink.shape[:2], int(rng.integers(4, 12)), rng)
    kept = np.clip((field - rng.uniform(-0.9, -0.5)) * 4 + 1, 0, 1)
    result: Float32Array = ink * kept
    return result


def tone(ink: Float32Array, gamma: float, strength: float) -> Float32Array:
    """Change how dark lines are: light pencil to black pen.

    Args:
        ink: float32, shape (H, W, C), 0 paper to 1 black.
        gamma: Exponent; below 1 brings out what is faint, above 1 drops it.
        strength: Ink of the darkest lines, 0 to 1.
    """
    return np.float32(strength) * ink ** np.float32(gamma)


def paper(shape: tuple[int, int], rng: np.random.Generator) -> Float32Array:
    """Make a sheet that is not quite white: its level, uneven light, grain.

    Args:
        shape: Height and width.
        rng: Source of every choice.

    Returns:
        float32, shape (H, W, 1), 0 black to 1 white.
    """
    level = rng.uniform(0.8, 1)
    shade = rng.uniform(0, 0.08) * smooth_field(shape, int(rng.integers(2, 4)), rng)
    grain = rng.uniform(0, 0.03) * rng.standard_normal((*shape, 1), dtype=np.float32)
    result: Float32Array = np.minimum(level + shade + grain, 1, dtype=np.float32)
    return result


def _scan(pixels: Uint8Array, rng: np.random.Generator) -> Uint8Array:
    """Blur, resample and compress, each now and then."""
    image = Image.fromarray(pixels)
    size = image.size
    unit = min(size) / _REFERENCE_SIDE
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1) * unit))
    if rng.random() < 0.2:
        share = rng.uniform(0.5, 0.9)
        small = (max(1, round(size[0] * share)), max(1, round(size[1] * share)))
        image = image.resize(small, Image.Resampling.BOX).resize(size, Image.Resampling.BILINEAR)
    if rng.random() < 0.3:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(30, 91)))
        image = Image.open(file)
    return np.asarray(image)


def smooth_field(shape: tuple[int, int], num_cells: int, rng: np.random.Generator) -> Float32Array:
    """Draw values that change slowly over the picture.

    Args:
        shape: Height and width.
        num_cells: Random values along a side; few make it smooth.
        rng: Source of the values.

    Returns:
        float32, shape (H, W, 1), range [-1, 1].
    """
    values = rng.uniform(-1, 1, (num_cells, num_cells)).astype(np.float32)
    field = Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    result: Float32Array = np.clip(np.asarray(field)[..., None], -1, 1)
    return result
