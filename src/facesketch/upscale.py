"""Enlarge a drawing so that its strokes stay as crisp as the network drew them.

An ordinary enlargement turns the two pixels over which a stroke meets the paper into twenty grey
ones. Here each doubling is followed by a shock filter: a pixel moves towards the darkest or the
lightest value near it, whichever side of the stroke's edge it lies on (Kramer and Bruckner 1975;
Osher and Rudin 1990), but never beyond, so nothing rings. In the first doubling the picture is
also smoothed along its strokes, never across them, as coherence-enhancing filters do (Kyprianidis
and Kang 2011), so that stairs and grain become lines with smooth contours. Where there are no
strokes, shading stays an ordinary, soft enlargement.

All lengths below are in pixels of the smaller picture unless a comment says otherwise.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from facesketch.images import Float32Array, Uint8Array

STRIP_ROWS = 128  # rows of the result that are in memory as floats at a time
MARGIN_ROWS = 12  # rows around a strip that its filters may look at

EDGE_SMOOTHING = 0.5  # sigma before edges are located; wiggles shorter than this vanish
EDGE_GAIN = 3.0  # how much steeper a doubling makes an edge; keeps it near 1.6 px at any size
NO_STROKE, STROKE = 10.0, 40.0  # local contrast, grey levels: below, shading; above, a stroke
NO_FLOW, FLOW = 0.15, 0.65  # coherence of the direction: below, grain; above, a stroke

FLOW_LENGTH = 3.0  # sigma of the smoothing along strokes, in px of the larger picture
FLOW_TAPS = 5  # samples to each side
PAPER_RADIUS = 3.0  # sigma of the neighbourhood that says how light the paper is


def upscale_drawing(drawing: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize a drawing as `upscale_strokes` does; of a coloured one the lightness.

    Its colours are enlarged plainly: sharpened one by one, they would part at the edges.

    Args:
        drawing: Mode "L" or "RGB".
        size: Wanted (width, height) in pixels, of about the same aspect.

    Returns:
        A picture of the same mode.
    """
    if drawing.mode == "L":
        return Image.fromarray(upscale_strokes(np.asarray(drawing), size))
    soft = drawing.resize(size, Image.Resampling.LANCZOS)
    if size[0] <= drawing.width and size[1] <= drawing.height:
        return soft
    crisp = upscale_strokes(np.asarray(drawing.convert("L")), size)
    lighter = crisp.astype(np.int16) - np.asarray(soft.convert("L"))
    planes = (np.clip(np.asarray(plane) + lighter, 0, 255) for plane in soft.split())
    return Image.merge("RGB", [Image.fromarray(plane.astype(np.uint8)) for plane in planes])


def upscale_strokes(sketch: Uint8Array, size: tuple[int, int]) -> Uint8Array:
    """Resize a drawing; where it grows, edges of strokes stay about 1.6 px wide (10 to 90%).

    Memory beyond the result: a few copies at half the size, and float planes of one strip.

    Args:
        sketch: uint8, shape (H, W), dark strokes on light paper.
        size: Wanted (width, height) in pixels, of about the same aspect.

    Returns:
        uint8, shape (height, width).
    """
    height, width = sketch.shape
    factor = max(size[0] / width, size[1] / height)
    if factor <= 1 or min(sketch.shape) < 2:
        return np.asarray(Image.fromarray(sketch).resize(size, Image.Resampling.LANCZOS))
    num_steps = math.ceil(math.log2(factor) - 1e-6)
    step_factor = factor ** (1 / num_steps)
    result = _without_halos(sketch)
    for step in range(1, num_steps + 1):
        grown = step_factor**step
        step_size = size if step == num_steps else (round(width * grown), round(height * grown))
        result = _enlarge(result, step_size, along_strokes=step == 1)
    return result


def _without_halos(sketch: Uint8Array) -> Uint8Array:
    """Bring rims along strokes that are lighter than the paper around down to the paper.

    Scans and networks that learned from them draw such rims one pixel wide; enlarged, they glow.
    """
    values = sketch.astype(np.float32)
    # The paper counts, the strokes do not.
    weight: Float32Array = np.power(values / 255, 8, dtype=np.float32) + np.float32(1e-3)
    paper = _blur(values * weight, PAPER_RADIUS) / _blur(weight, PAPER_RADIUS)
    capped: Float32Array = np.minimum(values, paper)
    return np.rint(capped).astype(np.uint8)


def _enlarge(sketch: Uint8Array, size: tuple[int, int], *, along_strokes: bool) -> Uint8Array:
    """Enlarge up to twice and make the edges of strokes steep again, strip by strip."""
    width, height = size
    scale = height / sketch.shape[0]
    soften = ImageFilter.GaussianBlur(EDGE_SMOOTHING)
    image = Image.fromarray(sketch)
    darkest = Image.fromarray(_extreme_of_nine(sketch, np.minimum)).filter(soften)
    lightest = Image.fromarray(_extreme_of_nine(sketch, np.maximum)).filter(soften)
    tensor = _structure_tensor(sketch) if along_strokes else []
    if not along_strokes:
        image = image.filter(soften)
    margin = MARGIN_ROWS if along_strokes else 0

    def rows_of(
        source: Image.Image, resample: Image.Resampling = Image.Resampling.BILINEAR
    ) -> Float32Array:
        """Rows `first` to `last` of the enlarged picture; its filter sees the whole source."""
        box = (0, first / scale, source.width, min(last / scale, source.height))
        return np.asarray(source.resize((width, last - first), resample, box), dtype=np.float32)

    result = np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, height)
        first, last = max(0, top - margin), min(height, bottom + margin)
        extremes = rows_of(darkest), rows_of(lightest)
        values = np.clip(rows_of(image, Image.Resampling.BICUBIC), *extremes)
        located, certainty = values, np.ones_like(values)
        if along_strokes:
            tangent_x, tangent_y, coherence = _direction(*(rows_of(plane) for plane in tensor))
            length = FLOW_LENGTH * math.log2(scale) * coherence
            values = _blur_along(values, tangent_x, tangent_y, length)
            located = _blur(values, EDGE_SMOOTHING * scale)
            certainty = _ramp(coherence, NO_FLOW, FLOW)
        sharp = _shock(values, located, *extremes, certainty=certainty, scale=scale)
        result[top:bottom] = sharp[top - first : bottom - first]
    return result


def _shock(
    values: Float32Array,
    located: Float32Array,
    darkest: Float32Array,
    lightest: Float32Array,
    *,
    certainty: Float32Array,
    scale: float,
) -> Uint8Array:
    """Push values to the local extremes, by how far `located` is from the middle between them."""
    contrast = np.maximum(lightest - darkest, 1)
    gain = EDGE_GAIN ** math.log2(scale)
    position = np.clip(((located - darkest) / contrast - 0.5) * gain + 0.5, 0, 1)
    target = darkest + contrast * (position * position * (3 - 2 * position))
    strength = _ramp(contrast, NO_STROKE, STROKE) * certainty
    sharp: Float32Array = np.clip(values + (target - values) * strength, 0, 255)
    return np.rint(sharp).astype(np.uint8)


def _extreme_of_nine(sketch: Uint8Array, extreme: np.ufunc) -> Uint8Array:
    """Smallest or largest of each pixel and its eight neighbours, shape (H, W)."""
    padded = np.pad(sketch, 1, mode="edge")
    rows = extreme(extreme(padded[:-2], padded[1:-1]), padded[2:])
    result: Uint8Array = extreme(extreme(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return result


def _structure_tensor(sketch: Uint8Array) -> list[Image.Image]:
    """Smoothed products of the gradients, xx, xy and yy, as float pictures."""
    smooth = _blur(sketch.astype(np.float32), 0.6)
    grad_x: Float32Array = np.asarray(np.gradient(smooth, axis=1))
    grad_y: Float32Array = np.asarray(np.gradient(smooth, axis=0))
    products = (grad_x * grad_x, grad_x * grad_y, grad_y * grad_y)
    return [Image.fromarray(_blur(product, 1.25)) for product in products]


def _direction(
    xx: Float32Array, xy: Float32Array, yy: Float32Array
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Unit vector along the strokes (x and y) and how clear it is, 0 to 1, from the tensor."""
    across = 0.5 * np.arctan2(2 * xy, xx - yy)
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy + 4)  # 4: noise of about a grey level
    return -np.sin(across), np.cos(across), coherence


def _blur_along(
    values: Float32Array, tangent_x: Float32Array, tangent_y: Float32Array, length: Float32Array
) -> Float32Array:
    """Gaussian mean along the tangent, sigma `length` at each pixel; nearest samples do."""
    height, width = values.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    flat = values.ravel()
    total, weights = values.copy(), np.ones_like(values)
    exponent = -0.5 / np.maximum(length, 0.05) ** 2
    for offset in range(1, FLOW_TAPS + 1):
        weight = np.exp(exponent * offset**2)
        for signed in (offset, -offset):
            column = np.clip(x + signed * tangent_x + 0.5, 0, width - 1).astype(np.int32)
            row = np.clip(y + signed * tangent_y + 0.5, 0, height - 1).astype(np.int32)
            total += weight * flat[row * width + column]
        weights += 2 * weight
    mean: Float32Array = total / weights
    return mean


def _ramp(values: Float32Array, low: float, high: float) -> Float32Array:
    """0 up to `low`, 1 from `high` on, straight between."""
    ramp: Float32Array = np.clip((values - low) / (high - low), 0, 1)
    return ramp


def _blur(values: Float32Array, sigma: float) -> Float32Array:
    """Separable Gaussian of a float32 plane (H, W), edges repeated."""
    radius = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    height, width = values.shape
    padded = np.pad(values, radius, mode="edge")
    rows = sum(tap * padded[i : i + height] for i, tap in enumerate(taps))
    blurred: Float32Array = sum(tap * rows[:, i : i + width] for i, tap in enumerate(taps))
    return blurred
