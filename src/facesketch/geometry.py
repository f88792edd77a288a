"""Similarity transforms, and pictures cut out along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

Points: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = npt.NDArray[np.float64]
"""Affine map of (x, y), shape (2, 3)."""
Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Above and below, left and right."""
Outside = Literal["black", "mirror", "paper"]


def fit_similarity(source: Points, target: Points, weights: Sequence[float]) -> Matrix:
    """Fit the least-squares rotation, uniform scale and shift (Umeyama 1991, Eq. 40-42).

    In the plane these are four numbers, so the fit is one complex division.

    Args:
        source: Points, shape (N, 2), not all alike.
        target: Where they should land, same shape.
        weights: How much each point counts, length N.

    Returns:
        Matrix from source to target.
    """
    weight = np.asarray(weights) / np.sum(weights)
    source_mean, target_mean = weight @ source, weight @ target
    x, y = (source - source_mean).T
    u, v = (target - target_mean).T
    turn = complex(weight @ (x * u + y * v), weight @ (x * v - y * u)) / (weight @ (x * x + y * y))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def move(matrix: Matrix, points: Points) -> Points:
    """Apply a matrix to points of shape (..., 2)."""
    moved: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def inverse(matrix: Matrix) -> Matrix:
    """Return the map back."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def scale_of(matrix: Matrix) -> float:
    """Return by how much a similarity enlarges."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def roll_of(matrix: Matrix) -> float:
    """Return by how much a similarity turns, in radians."""
    return float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def cut_out(
    image: Image.Image,
    matrix: Matrix,
    size: tuple[int, int],
    *,
    outside: Outside = "black",
    shrinking: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """Cut a turned, scaled rectangle out of a picture, without aliasing.

    Args:
        image: Mode "RGB" or "L", loaded.
        matrix: Similarity from the picture to the result; coordinates count from the corner of
            the first pixel, so that its centre is (0.5, 0.5).
        size: Width and height of the result.
        outside: What to put where the picture ends: "black"; "mirror", ever more blurred; or
            "paper", the tone of the lightest tenth of what is there.
        shrinking: Filter for what becomes smaller; bilinear takes a third of the time.

    Returns:
        A picture of that size and of the same mode.
    """
    back = inverse(matrix)
    corners = move(back, np.array([(0, 0), (size[0], 0), (0, size[1]), size], dtype=np.float64))
    margin = 2 * max(1.0, scale_of(back))
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    limit = np.array(image.size, dtype=np.float64)
    first, last = np.clip(np.floor([low, high]), 0, limit)
    first = np.minimum(first, limit - 1)  # a rectangle beside the picture still sees its edge
    last = np.maximum(last, first + 1)
    # Shrink before turning: turning looks at the four nearest pixels only.
    shrink = min(1.0, scale_of(matrix))
    part_size = np.maximum(1, np.rint((last - first) * shrink)).astype(int)
    part = image.resize(
        (int(part_size[0]), int(part_size[1])),
        shrinking,
        (*first, *last),
        reducing_gap=3.0,
    )
    zoom = part_size / (last - first)
    before = np.maximum(0, np.ceil((first - low) * zoom)).astype(int)
    after = np.maximum(0, np.ceil((high - last) * zoom)).astype(int)
    to_part = np.column_stack([back[:, :2] * zoom[:, None], (back[:, 2] - first) * zoom + before])
    pads = ((int(before[1]), int(after[1])), (int(before[0]), int(after[0])))
    padded = _extend(part, pads, outside)
    result = _turn(padded, to_part, size)
    inside = (corners >= 0).all() and (corners <= limit).all()
    if outside != "mirror" or inside:
        return result
    known = np.pad(np.full(part_size[::-1], 255, np.uint8), pads)
    return _blur_outside(result, _turn(Image.fromarray(known), to_part, size))


def _turn(image: Image.Image, back: Matrix, size: tuple[int, int]) -> Image.Image:
    data = tuple(float(value) for value in back.ravel())
    return image.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)


def _extend(part: Image.Image, pads: Pads, outside: Outside) -> Image.Image:
    """Continue a picture beyond its edges."""
    (above, below), (left, right) = pads
    pixels = np.asarray(part)
    if outside == "mirror":
        widths = (*pads, (0, 0))[: pixels.ndim]
        return Image.fromarray(np.pad(pixels, widths, "symmetric"))
    size = (left + part.width + right, above + part.height + below)
    extended = Image.new(part.mode, size)
    if outside == "paper":
        paper = np.percentile(pixels.reshape(part.width * part.height, -1), 90, axis=0)
        extended.paste(tuple(int(tone) for tone in paper), (0, 0, *size))
    extended.paste(part, (left, above))
    return extended


def _blur_outside(image: Image.Image, known: Image.Image) -> Image.Image:
    """Blur what was made up, softly at first, so that no mirrored eye looks back."""
    for share in (0.01, 0.03, 0.09):
        radius = share * max(image.size)
        # Far from the known part the blurred mask is 0, near it 255: each pass begins further out.
        near = known.filter(ImageFilter.GaussianBlur(radius)).point(lambda v: min(255, 2 * v))
        mask = ImageChops.lighter(known, near)
        image = Image.composite(image, image.filter(ImageFilter.GaussianBlur(radius)), mask)
    return image
