"""From one-pixel curves to pen strokes: thinning, tracing, linking, smoothing, inking.

Curves are float32 arrays of shape (N, 2), positions (x, y) in pixels, centres at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from facesketch.images import Float32Array, Uint8Array

if TYPE_CHECKING:
    from collections.abc import Iterable

Curve = Float32Array

LINK_GAP = 10.0  # widest gap between two ends, px
LINK_COSINE = 0.75  # how well two ends must continue each other
CURVE_SIGMA = 2.5  # smoothing along a curve, px
INK_SIZE = 2048  # shorter side of the sheet on which strokes are inked before they are reduced
MAX_INK_PIXELS = 2**26


@dataclass(frozen=True)
class Stroke:
    """One stroke of the pen.

    Attributes:
        points: Positions (x, y), float32, shape (N, 2).
        widths: Width at each position as a factor of the line width, float32, shape (N,).
    """

    points: Float32Array
    widths: Float32Array


# Weight of each neighbour in an 8-bit code: N, NE, E, SE, S, SW, W, NW are bits 0 to 7.
_NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def _tables() -> tuple[list[Uint8Array], list[Uint8Array], Uint8Array]:
    """Look-up tables over neighbour codes.

    Returns:
        Pixels that each half-step of Zhang & Suen (1984) deletes; corners of staircases, one table
        per orientation; number of branches that leave a pixel.
    """
    code = np.arange(256)
    bit = [(code >> i & 1).astype(bool) for i in range(8)]
    branches = sum((~bit[i] & bit[(i + 1) % 8]).astype(np.uint8) for i in range(8))
    count = sum(b.astype(int) for b in bit)
    n, e, s, w = (bit[i] for i in (0, 2, 4, 6))
    edge = (count >= 2) & (count <= 6) & (branches == 1)
    halves = [edge & ~(n & e & s) & ~(e & s & w), edge & ~(n & e & w) & ~(n & s & w)]
    corners = [
        bit[i] & bit[(i + 2) % 8] & ~(bit[(i + 4) % 8] | bit[(i + 5) % 8] | bit[(i + 6) % 8])
        for i in (0, 2, 4, 6)
    ]
    as_bytes = [[t.astype(np.uint8) for t in group] for group in (halves, corners)]
    return as_bytes[0], as_bytes[1], np.asarray(branches, np.uint8)


_HALVES, _CORNERS, _BRANCHES = _tables()


def _look_up(mask: Uint8Array, table: Uint8Array) -> Uint8Array:
    """Value of a table at every pixel's neighbour code."""
    code = cv2.filter2D(mask, cv2.CV_16S, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.LUT(code.astype(np.uint8), table), np.uint8)


def thin(mask: npt.NDArray[np.bool_] | Uint8Array) -> Uint8Array:
    """Thin a mask to curves one pixel wide that keep its connections (Zhang & Suen 1984).

    Args:
        mask: Truth values, shape (H, W).

    Returns:
        0 or 1, uint8, shape (H, W).
    """
    thinned = mask.astype(np.uint8)
    changed = True
    while changed:
        changed = False
        for table in _HALVES:
            gone = _look_up(thinned, table) & thinned
            changed |= bool(gone.any())
            thinned -= gone
    for table in _CORNERS:
        thinned -= _look_up(thinned, table) & thinned
    return thinned


def trace(skeleton: Uint8Array) -> list[Curve]:
    """Follow the pixels of a skeleton, breaking it where it forks.

    Args:
        skeleton: 0 or 1, shape (H, W), one pixel wide.

    Returns:
        Curves of at least three points, a pixel apart.
    """
    padded = np.pad(skeleton, 1)
    forks = (_look_up(padded, _BRANCHES) > 2).astype(np.uint8) & padded
    # With their neighbours: branches that touch each other at a corner must part as well.
    padded &= 1 - np.asarray(cv2.dilate(forks, np.ones((3, 3), np.uint8)), np.uint8)
    row = padded.shape[1]
    ends = (_look_up(padded, _BRANCHES) <= 1) & (padded > 0)
    steps = (-1, 1, -row, row, -row - 1, -row + 1, row - 1, row + 1)
    left = bytearray(padded.tobytes())
    curves = []
    # Closed curves have no end: they are what is left once all ends are done.
    for start in [*np.flatnonzero(ends).tolist(), *np.flatnonzero(padded).tolist()]:
        if not left[start]:
            continue
        curve = [start]
        here: int | None = start
        while here is not None:
            left[here] = 0
            here = next((here + step for step in steps if left[here + step]), None)
            if here is not None:
                curve.append(here)
        if len(curve) >= 3:
            y, x = np.divmod(np.array(curve), row)
            curves.append(np.stack([x - 1, y - 1], axis=1).astype(np.float32))
    return curves


def link(curves: list[Curve]) -> list[Curve]:
    """Join curves end to end where one continues the other, the best matches first.

    Ends are joined if they are at most `LINK_GAP` apart and their directions, and that of the gap,
    agree within `LINK_COSINE`. This passes through forks and closes gaps.

    Args:
        curves: Traced curves.

    Returns:
        Fewer, longer curves.
    """
    if len(curves) < 2:
        return curves
    mate = _match_ends(*_ends(curves), len(curves))
    done = [False] * len(curves)
    linked = []
    for end in range(2 * len(curves)):
        if done[end // 2] or end in mate:
            continue
        parts = []
        entry: int | None = end
        while entry is not None:
            curve = curves[entry // 2]
            done[entry // 2] = True
            parts.append(curve if entry % 2 == 0 else curve[::-1])
            entry = mate.get(entry ^ 1)
        linked.append(np.concatenate(parts))
    return linked


def _ends(curves: list[Curve]) -> tuple[Float32Array, Float32Array]:
    """Position and outward direction of all ends: entries 2 i and 2 i + 1 belong to curve i."""
    position = np.array([c[i] for c in curves for i in (0, -1)], np.float32)
    inner = np.array(
        [c[i] for c in curves for i in (min(6, len(c) - 1), -1 - min(6, len(c) - 1))], np.float32
    )
    outward = position - inner
    return position, outward / (np.linalg.norm(outward, axis=1, keepdims=True) + 1e-6)


def _near_pairs(position: Float32Array) -> npt.NDArray[np.intp]:
    """Pairs of points at most `LINK_GAP` apart, shape (P, 2): a sweep along x."""
    order = np.argsort(position[:, 0], kind="stable")
    sweep = position[order]
    pairs = []
    for shift in range(1, len(order)):
        delta = sweep[shift:] - sweep[:-shift]
        if delta[:, 0].min() > LINK_GAP:
            break
        near = np.flatnonzero((delta**2).sum(axis=1) <= LINK_GAP**2)
        pairs.append(np.stack([order[near], order[near + shift]], axis=1))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.intp)


def _match_ends(position: Float32Array, outward: Float32Array, count: int) -> dict[int, int]:
    """Which end goes on at which other end; never closes a ring."""
    first, second = _near_pairs(position).T
    gap = position[second] - position[first]
    distance = np.linalg.norm(gap, axis=1)
    gap = gap / (distance[:, None] + 1e-6)
    straight = -(outward[first] * outward[second]).sum(axis=1)
    along = np.minimum((outward[first] * gap).sum(axis=1), -(outward[second] * gap).sum(axis=1))
    # A gap of a pixel or two is too short to have a direction.
    good = (straight > LINK_COSINE) & ((along > LINK_COSINE) | (distance < 3))
    good &= first // 2 != second // 2
    cost = distance / LINK_GAP + 2 * (1 - straight)
    mate: dict[int, int] = {}
    chain = list(range(count))
    for i in np.flatnonzero(good)[np.argsort(cost[good], kind="stable")].tolist():
        a, b = int(first[i]), int(second[i])
        if a in mate or b in mate or _root(chain, a // 2) == _root(chain, b // 2):
            continue
        chain[_root(chain, a // 2)] = _root(chain, b // 2)
        mate[a], mate[b] = b, a
    return mate


def _root(chain: list[int], item: int) -> int:
    """Representative of an item's chain (union-find)."""
    while chain[item] != item:
        chain[item] = chain[chain[item]]
        item = chain[item]
    return item


def smooth_curve(curve: Curve) -> Curve:
    """Take the pixel steps out of a curve; its ends stay where they are.

    Args:
        curve: At least two points.

    Returns:
        Points about one pixel apart, after a Gaussian of `CURVE_SIGMA` along the curve.
    """
    step = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(step)])
    even = np.linspace(0, at[-1], max(2, round(at[-1]) + 1))
    points = np.stack([np.interp(even, at, curve[:, i]) for i in (0, 1)], axis=1)
    reach = int(3 * CURVE_SIGMA)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * CURVE_SIGMA**2))
    # Point reflection at the ends: a straight curve stays what it is.
    head = 2 * points[0] - points[np.minimum(np.arange(reach, 0, -1), len(points) - 1)]
    tail = 2 * points[-1] - points[np.maximum(len(points) - 2 - np.arange(reach), 0)]
    longer = np.concatenate([head, points, tail])
    smooth = [np.convolve(longer[:, i], kernel / kernel.sum(), "valid") for i in (0, 1)]
    return np.stack(smooth, axis=1).astype(np.float32)


def render(
    strokes: Iterable[Stroke],
    shape: tuple[int, int],
    scale: tuple[float, float],
    line_width: float,
) -> Uint8Array:
    """Ink strokes in black on white, anti-aliased.

    Small pictures are inked on a larger sheet and reduced, so that widths below a pixel count.

    Args:
        strokes: Strokes in their own pixels.
        shape: Height and width of the result.
        scale: Pixels of the strokes per pixel of the result, (x, y).
        line_width: Width of a stroke of width 1, in the strokes' pixels.

    Returns:
        uint8, shape (H, W), black on white.
    """
    height, width = shape
    enlarge = min(8, -(-INK_SIZE // min(shape)))
    while enlarge > 1 and height * width * enlarge**2 > MAX_INK_PIXELS:
        enlarge -= 1
    sheet = np.full((height * enlarge, width * enlarge), 255, np.uint8)
    zoom = enlarge / np.array(scale)
    for stroke in strokes:
        # Sub-pixel positions: cv2 takes them as integers with 4 binary digits after the point.
        points = np.rint(((stroke.points + 0.5) * zoom - 0.5) * 16).astype(int).tolist()
        thick = np.rint(stroke.widths * line_width * zoom.mean()).astype(int)
        for i, t in enumerate(np.maximum(thick[1:], thick[:-1]).tolist()):
            cv2.line(sheet, points[i], points[i + 1], 0, max(1, t), cv2.LINE_AA, 4)
    if enlarge > 1:
        sheet = np.asarray(cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA))
    return sheet
