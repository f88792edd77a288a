"""Where a photo calls for lines: the edge tangent flow and two filters along it.

Tones and responses are float32 arrays of shape (H, W), tones in [0, 1], responses as relative
contrast (0.1: a tenth darker than what is around).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from facesketch.images import Float32Array

Maps: TypeAlias = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]

FLOW_SIGMA = 2.5  # smoothing of the structure tensor, px
ALONG_SIGMA = 4.0  # smoothing of the responses along the flow, px
EDGE_SIGMA = 1.2  # centre Gaussian of the FDoG, px; the surround is 1.6 times as wide
VALLEY_SIGMA, VALLEY_OFFSET = 2.2, 7  # brows, lips: dark bands up to about twice the offset, px


@dataclass(frozen=True)
class Flow:
    """The edge tangent flow and where to sample along and across it.

    Attributes:
        tangent: Unit vectors (x, y) along the edges, float32, shape (H, W, 2).
        along: `along[s]` holds the pixels s + 1 steps down the flow, one entry per direction.
        across: `across[s]` holds the pixels s + 1 steps along the normal, one entry per side.
    """

    tangent: Float32Array
    along: list[tuple[Maps, Maps]]
    across: list[tuple[Maps, Maps]]


@dataclass(frozen=True)
class Lines:
    """What `find_lines` finds; all arrays have the shape (H, W).

    Attributes:
        flow: Direction of the lines.
        edges: Response to fine lines and edges, as relative contrast, at least 0; float32.
        clear: `edges` less what lines around it answer: isolated lines stand out of texture.
        valleys: Response to dark bands, as relative contrast; float32.
    """

    flow: Flow
    edges: Float32Array
    clear: Float32Array
    valleys: Float32Array


def edge_tangent_flow(grey: Float32Array) -> Flow:
    """Directions along the edges: minor eigenvectors of the smoothed structure tensor.

    J = G_sigma * (g g^T), g = gradient (Kyprianidis & Doellner 2008, Eq. 1-4); a closed form of the
    iterated flow of Kang, Lee & Chui (2007).

    Args:
        grey: float32, shape (H, W), range [0, 1].

    Returns:
        The flow with sampling positions for the filters below.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    gx = cv2.Scharr(smooth, cv2.CV_32F, 1, 0)
    gy = cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    tensor = cv2.GaussianBlur(np.dstack([gx * gx, gx * gy, gy * gy]), (0, 0), FLOW_SIGMA)
    xx, xy, yy = cv2.split(tensor)
    theta = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the gradient
    tangent = np.dstack([-np.sin(theta), np.cos(theta)]).astype(np.float32)
    return Flow(
        tangent, _maps_along(tangent, round(2 * ALONG_SIGMA)), _maps_across(tangent, VALLEY_OFFSET)
    )


def _grid(shape: tuple[int, ...]) -> Float32Array:
    """Pixel positions (x, y), float32, shape (H, W, 2)."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.dstack([x, y]).astype(np.float32)


def _fixed(position: Float32Array) -> Maps:
    """Positions in the fixed-point form that cv2.remap reads fastest."""
    maps = cv2.convertMaps(position, None, cv2.CV_16SC2)  # type: ignore[call-overload]
    return maps[0], maps[1]


def _maps_across(tangent: Float32Array, steps: int) -> list[tuple[Maps, Maps]]:
    """Positions 1 to `steps` px along both normals."""
    grid = _grid(tangent.shape)
    normal = np.dstack([-tangent[..., 1], tangent[..., 0]])
    return [
        (_fixed(grid + np.float32(s) * normal), _fixed(grid - np.float32(s) * normal))
        for s in range(1, steps + 1)
    ]


def _maps_along(tangent: Float32Array, steps: int) -> list[tuple[Maps, Maps]]:
    """Positions 1 to `steps` px down the stream lines both ways (Euler steps of 1 px)."""
    ways: list[list[Maps]] = []
    for sign in (1, -1):
        position, direction = _grid(tangent.shape), tangent * np.float32(sign)
        way = []
        for _ in range(steps):
            position = position + direction
            maps = _fixed(position)
            way.append(maps)
            ahead = sample(tangent, maps, cv2.INTER_NEAREST)
            # A tangent has no sign: take the one that goes on, not the one that turns back.
            direction = ahead * np.copysign(np.float32(1), dot(ahead, direction))[..., None]
        ways.append(way)
    return list(zip(*ways, strict=True))


def dot(a: Float32Array, b: Float32Array) -> Float32Array:
    """Scalar product of two vector fields, shape (H, W)."""
    product: Float32Array = a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]
    return product


def sample(field: Float32Array, maps: Maps, interpolation: int = cv2.INTER_LINEAR) -> Float32Array:
    """Values of a field at the positions of `maps`, mirrored at the border."""
    sampled = cv2.remap(field, *maps, interpolation, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(sampled, np.float32)


def gaussian_mean(
    field: Float32Array,
    maps: list[tuple[Maps, Maps]],
    sigma: float,
    tolerance: float | None = None,
) -> Float32Array:
    """Gaussian mean along or across the flow, bilateral if a tolerance is given.

    sum_s G_sigma(s) G_tol(f(s) - f(0)) f(s) / sum_s G_sigma(s) G_tol(f(s) - f(0)):
    Kang, Lee & Chui (2009), Eq. 7 and 9; without the second factor the line integral of Eq. 5.

    Args:
        field: float32, shape (H, W).
        maps: `Flow.along` or `Flow.across`.
        sigma: Width of the Gaussian, px.
        tolerance: Difference of tone that still counts as the same surface.

    Returns:
        float32, shape (H, W).
    """
    total, weight = field.copy(), np.ones_like(field)
    # Along strokes there are maps for two sigma only; beyond, weights are below a seventh.
    for s, pair in enumerate(maps[: int(np.ceil(2.7 * sigma))], 1):
        gauss = np.float32(np.exp(-(s * s) / (2 * sigma * sigma)))
        for side in pair:
            value = sample(field, side)
            if tolerance is None:
                total += gauss * value
                weight += gauss
            else:
                near = gauss * cv2.exp((value - field) ** 2 * np.float32(-0.5 / tolerance**2))
                total += near * value
                weight += near
    mean: Float32Array = total / weight
    return mean


def flow_dog(grey: Float32Array, flow: Flow) -> Float32Array:
    """Dark lines and the dark side of edges: difference of Gaussians across the flow.

    H = (G_1.6s * f - G_s * f) / (G_1.6s * f + eps), averaged along the flow: Kang, Lee & Chui
    (2007), Eq. 5-8, as relative contrast, which is what their threshold on the ratio of the two
    Gaussians amounts to (Winnemoeller, Kyprianidis & Olsen 2012).

    Args:
        grey: float32, shape (H, W), range [0, 1].
        flow: Its edge tangent flow.

    Returns:
        float32, shape (H, W); positive where a line belongs.
    """
    centre = gaussian_mean(grey, flow.across, EDGE_SIGMA)
    surround = gaussian_mean(grey, flow.across, 1.6 * EDGE_SIGMA)
    contrast: Float32Array = (surround - centre) / (surround + np.float32(0.08))
    return gaussian_mean(contrast, flow.along, ALONG_SIGMA)


def valleys(grey: Float32Array, flow: Flow) -> Float32Array:
    """Dark bands with light on both sides: brows, lashes, the line between the lips.

    V = (min(left, right) - centre) / (min(left, right) + eps), averaged along the flow. The smaller
    of the two sides leaves out edges (Koller, Gerig, Szekely & Dettwiler 1995, Eq. 9).

    Args:
        grey: float32, shape (H, W), range [0, 1].
        flow: Its edge tangent flow.

    Returns:
        float32, shape (H, W); positive inside a band.
    """
    centre = np.asarray(cv2.GaussianBlur(grey, (0, 0), VALLEY_SIGMA), np.float32)
    left, right = (sample(centre, side) for side in flow.across[VALLEY_OFFSET - 1])
    sides: Float32Array = np.minimum(left, right)
    contrast: Float32Array = (sides - centre) / (sides + np.float32(0.1))
    return gaussian_mean(contrast, flow.along, ALONG_SIGMA * 1.25)


def find_lines(grey: Float32Array) -> Lines:
    """Measure everywhere how much a line is called for.

    Texture answers everywhere at once; half of the mean answer around a pixel is taken off
    (surround suppression, Grigorescu, Petkov & Westenberg 2003).

    Args:
        grey: float32, shape (H, W), range [0, 1].

    Returns:
        The responses.
    """
    flow = edge_tangent_flow(grey)
    smooth: Float32Array = grey
    for _ in range(2):
        smooth = gaussian_mean(smooth, flow.along, 3.0, tolerance=0.2)
        smooth = gaussian_mean(smooth, flow.across, 1.0, tolerance=0.08)
    edges: Float32Array = np.maximum(flow_dog(smooth, flow), np.float32(0))
    around = cv2.GaussianBlur(np.minimum(edges, np.float32(0.05)), (0, 0), 12.0)
    return Lines(flow, edges, edges - np.float32(0.5) * around, valleys(grey, flow))
