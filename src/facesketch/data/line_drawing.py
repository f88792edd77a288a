"""The line drawing of a photo: where an illustrator would put ink, and how much of it.

The published recipe of the Person Face Sketches set is a rough edge drawing (`rough_drawing`) that
a simplification network thins. Here coherent lines, found along the edge tangent flow of the
photo itself, take the place of that network: see `draw_lines` for the steps.

Lengths are in pixels of the working picture, whose shorter side is `WORK_SIZE`, so that a face
gets the same drawing whatever the size of its photo.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from facesketch.data.edge_flow import Flow, Lines, dot, find_lines, sample
from facesketch.data.strokes import Stroke, link, render, smooth_curve, thin, trace
from facesketch.images import Float32Array, Uint8Array

BoolArray: TypeAlias = npt.NDArray[np.bool_]

WORK_SIZE = 512
MAX_WORK_PIXELS = 4 * WORK_SIZE**2
MAX_WORK_SIDE = 16_384  # cv2.remap takes sides below 2^15

NOISE = 0.003  # edge response, as relative contrast, below which nothing is drawn
VALLEY_NOISE, VALLEY_PEAK = 0.05, 0.12  # hysteresis of the valleys
CLEAR_EDGE = 0.025  # an edge response that shows a fine line beyond doubt

MIN_STROKE = 20  # length of the shortest stroke
MIN_SCORE = 0.08  # see `_choose`
CELL, CELL_INK = 64, 170  # side of a cell, and length of strokes that fills it
LINE_WIDTH = 2.4  # of an ordinary stroke
TAPER = 12  # length over which a stroke thins out at its ends


def draw_lines(photo: Uint8Array) -> Uint8Array:
    """Draw a photo as ink lines on white paper.

    1. Smooth along the edges with a flow-based bilateral filter (Kang, Lee & Chui 2009).
    2. Find fine lines (flow-based difference of Gaussians) and dark bands (valleys).
    3. Thin both to curves, link curves that continue each other, drop what is short or weak.
    4. Redraw each curve as one smooth, tapered, anti-aliased stroke, wider where a band is darker.

    Args:
        photo: RGB, uint8, shape (H, W, 3).

    Returns:
        Drawing, uint8, shape (H, W): strokes 0, paper 255, no frame.
    """
    height, width = photo.shape[:2]
    scale = work_scale(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    work = photo if scale == 1 else cv2.resize(photo, size, interpolation=resampling)
    strokes = find_strokes(find_lines(tone(np.asarray(work, np.uint8))))
    return render(strokes, (height, width), (size[0] / width, size[1] / height), LINE_WIDTH)


def rough_drawing(photo: Image.Image) -> Image.Image:
    """The rough drawing of the published recipe, before simplification.

    Pillow's FIND_EDGES, BLUR and SHARPEN, inverted, contrast x 1.5 (data card of *Person Face
    Sketches*). It is what the benchmark compares with; `draw_lines` does not start from it.

    Args:
        photo: Picture of mode "RGB".

    Returns:
        Picture of mode "L", same size.
    """
    edges = photo.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.BLUR)
    rough = ImageOps.invert(edges.filter(ImageFilter.SHARPEN).convert("L"))
    return ImageEnhance.Contrast(rough).enhance(1.5)


def work_scale(height: int, width: int) -> float:
    """Factor from a photo to its working picture: by the shorter side, bounded in area."""
    scale: float = min(
        WORK_SIZE / min(height, width),
        (MAX_WORK_PIXELS / (height * width)) ** 0.5,
        MAX_WORK_SIDE / max(height, width),
    )
    return scale


def tone(photo: Uint8Array) -> Float32Array:
    """Grey tone in which lips stand out from skin: mostly green, where skin is bright.

    Args:
        photo: RGB, uint8, shape (H, W, 3).

    Returns:
        float32, shape (H, W), range [0, 1].
    """
    return np.asarray(photo @ np.array([0.25, 0.65, 0.10]) / 255, np.float32)


def find_strokes(lines: Lines) -> list[Stroke]:
    """Turn the responses into strokes, the most important first.

    Args:
        lines: Responses of one picture.

    Returns:
        Smooth strokes in pixels of the working picture; widths are factors of `LINE_WIDTH`.
    """
    curves = link(trace(_skeleton(lines)))
    strength = np.maximum(lines.clear, 0.25 * lines.valleys)
    chosen = _choose([smooth_curve(c) for c in curves if len(c) >= MIN_STROKE // 2], strength)
    return [
        Stroke(points[::3], _widths(_pick(strength, points), _pick(lines.valleys, points))[::3])
        for points in chosen
    ]


def _skeleton(lines: Lines) -> Uint8Array:
    """One-pixel curves: fine lines, and the middle of dark bands instead of their two outlines."""
    tangent = lines.flow.tangent
    fine = thin((lines.clear > NOISE) & _crest(lines.edges, lines.flow))
    doubtful = fine & (lines.edges > CLEAR_EDGE)
    to_fine = cv2.distanceTransform(1 - doubtful, cv2.DIST_L2, 5)
    bands = thin((lines.valleys > VALLEY_NOISE) & _crest(lines.valleys, lines.flow))
    count, components, stats, _ = cv2.connectedComponentsWithStats(bands)
    label = np.asarray(components, np.intp)
    on = bands > 0
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, label[on], lines.valleys[on])
    length = stats[:, cv2.CC_STAT_AREA]
    alone = np.bincount(label[on], to_fine[on] > 2, count) / length
    # A band that fine lines draw already (a lash, a nostril) stays theirs: they are more exact.
    keep = (peak > VALLEY_PEAK) & (length >= 20) & (alone > 0.3)
    keep[0] = False
    bands = keep[label].astype(np.uint8)
    return thin((fine & ~_beside(bands, tangent)) | bands)


def _crest(response: Float32Array, flow: Flow) -> BoolArray:
    """Where a response is largest across the flow (non-maximum suppression, Canny 1986)."""
    left, right = (sample(response, side) for side in flow.across[0])
    return (response >= left) & (response >= right)


def _beside(bands: Uint8Array, tangent: Float32Array) -> Uint8Array:
    """1 where a line would run along a band, closer than 8 px, or on it."""
    distance, label = cv2.distanceTransformWithLabels(
        1 - bands, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    on = bands > 0
    direction = np.zeros((int(label.max()) + 1, 2), np.float32)
    direction[label[on]] = tangent[on]
    parallel = np.abs(dot(direction[label], tangent)) > 0.8
    return np.asarray(((distance < 8) & parallel) | (distance < 2), np.uint8)


def _pick(field: Float32Array, points: Float32Array) -> Float32Array:
    """Values of a field at the pixels nearest to points (x, y), shape (N,)."""
    x, y = np.rint(points).astype(np.intp).T
    values: Float32Array = field[
        np.clip(y, 0, field.shape[0] - 1), np.clip(x, 0, field.shape[1] - 1)
    ]
    return values


def _choose(curves: list[Float32Array], strength: Float32Array) -> list[Float32Array]:
    """Keep the best curves, as far as their places have room for ink.

    The score is mean strength x length^0.7. Ink is counted in square cells: hair and leaves fill
    theirs with their best lines and leave the rest of the picture alone. Curves along the border
    of the picture are left out.
    """
    size = np.array(strength.shape[::-1], np.float32)
    ranked = []
    for points in curves:
        score = min(_pick(strength, points).mean(), 0.06) * min(len(points), 120) ** 0.7
        to_border = np.minimum(points, size - 1 - points).min(axis=1)
        if len(points) >= MIN_STROKE and score >= MIN_SCORE and np.median(to_border) >= 5:
            ranked.append((score, points))
    ranked.sort(key=lambda item: -item[0])
    columns = int(size[0]) // CELL + 1
    ink = np.zeros(columns * (int(size[1]) // CELL + 1))
    chosen = []
    for _, points in ranked:
        x, y = np.clip(np.rint(points), 0, size - 1).astype(np.intp).T // CELL
        cell = y * columns + x
        if ink[cell].mean() < CELL_INK:
            ink += np.bincount(cell, minlength=len(ink))
            chosen.append(points)
    return chosen


def _widths(strength: Float32Array, band: Float32Array) -> Float32Array:
    """Width along a stroke: more for strong lines and dark bands, thin at both ends."""
    box = np.ones(17) / 17
    line, dark = (np.convolve(np.pad(v, 8, "edge"), box, "valid") for v in (strength, band))
    width = 0.75 + 0.5 * np.clip((line - NOISE) / 0.08, 0, 1) + 5 * np.clip(dark - 0.06, 0, 0.2)
    to_end = np.minimum(np.arange(len(width)), np.arange(len(width))[::-1])
    return np.asarray(width * np.minimum(1, 0.5 + 0.5 * to_end / TAPER), np.float32)
