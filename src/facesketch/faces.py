"""Finds faces: BlazeFace (Bazarevsky et al. 2019) in ONNX Runtime, at several scales, no torch.

The network was trained on selfies: 128 px views that a face fills by a fifth or more. It has no
part that is bound to that size, so it also sees the whole picture larger, where smaller faces have
that size. Each face that is found there gets a second look of its own, turned upright: that makes
its points exact and drops most of what is no face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from facesketch.geometry import Matrix, cut_out, inverse, move, scale_of
from facesketch.images import Uint8Array, normalise, to_mode
from facesketch.onnx_runtime import shipped_session

WEIGHTS_FILE = "face_detector.onnx"

FAR_SIZE = 128
"""Longer side of the picture in its first view, pixels: it shows faces of an eighth and more."""

NEAR_PIXELS = (320 * 320, 640 * 640)
"""Most pixels of its second view, which shows faces of a thirtieth and more; and of the one that
is looked at only where nothing was found, because it takes four times as long."""

THINNING = 2.0
"""A larger picture than so many times that view is thinned first: averaging all of it is slow."""

LOOK_SIZE = 128
"""Side of the view in which a candidate gets its second look: that of the training."""

LOOK_MARGIN = 2.0
"""Side of that view, in units of the candidate's box."""

FIRST_SCORE = 0.5
"""From this score on something is looked at again."""

SURE_SCORE = 0.8
"""From this score on, at the second look, it is a face. At 0.7 one in twenty pictures without
a face has one; at 0.85 a sixth of the drawn faces is missed."""

MAX_CANDIDATES = 24
"""So many get a second look, the surest first."""

SAME_AT_FIRST = 0.3
"""Anchors that share more than this (intersection over union) saw the same."""

SAME_FACE = 0.5
"""Faces of which the smaller lies within the larger by more than this share are one."""

MAX_ASPECT = 16
"""In a longer strip than this no face can be seen, and its view would grow without bound."""

SIZE_MULTIPLE = 16
STRIDES = ((8, 2), (16, 6))  # pixels between the places of a grid, anchors at each

Shapes = npt.NDArray[np.float64]
"""Centre, size (width and height), six keypoints: shape (N, 8, 2)."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face, in pixels of the picture; parts of it may lie outside.

    Attributes:
        box: Left, top, width and height: brows to chin, without the hair.
        keypoints: Eye, eye, tip of the nose, mouth, ear, ear as (x, y); the left one in the
            picture first where the face is upright.
        score: How sure the detector is, 0 to 1.
    """

    box: tuple[float, float, float, float]
    keypoints: tuple[tuple[float, float], ...]
    score: float

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return self.box[2] * self.box[3]

    def scaled(self, factor: float) -> Face:
        """Return the face in pixels of the picture at another size."""
        left, top, width, height = (factor * value for value in self.box)
        points = tuple((factor * x, factor * y) for x, y in self.keypoints)
        return Face((left, top, width, height), points, self.score)


class FaceDetector:
    """Finds faces; one instance may be shared by threads."""

    def __init__(self) -> None:
        """Load the network that the package ships.

        Raises:
            WeightsError: If the file is missing or broken.
        """
        self._session = shipped_session(WEIGHTS_FILE)

    def find(self, image: Image.Image) -> list[Face]:
        """Find the faces in a picture.

        Args:
            image: Picture of any mode and size, upright.

        Returns:
            The faces, largest first; none in a strip longer than `MAX_ASPECT`.
        """
        if max(image.size) > MAX_ASPECT * min(image.size):
            return []
        image = image if image.mode == "RGB" else to_mode(image, "RGB")
        for number, near_pixels in enumerate(NEAR_PIXELS):
            if number and image.width * image.height <= NEAR_PIXELS[number - 1]:
                break  # it was seen whole
            shapes = self._candidates(image, near_pixels)
            if len(shapes):
                shapes, scores = self._look_again(image, shapes)
                kept = _without_repeats(shapes, scores)
                faces = [_face(shapes[index], scores[index]) for index in kept]
                if faces:
                    return sorted(faces, key=lambda face: face.area, reverse=True)
        return []

    def _candidates(self, image: Image.Image, near_pixels: int) -> Shapes:
        """Look at the whole picture from far and from near."""
        near = min(1.0, math.sqrt(near_pixels / (image.width * image.height)))
        far = FAR_SIZE / max(image.size)
        view = _thinned(image, near * THINNING)
        found: list[tuple[Shapes, Shapes]] = []
        for scale in (near, far) if near > far else (far,):
            size = [max(1, round(side * scale)) for side in image.size]
            view = view.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
            shapes, scores = self._run(_on_canvas(np.asarray(view))[None])
            chosen = scores[0] >= FIRST_SCORE
            found.append((shapes[0][chosen] / scale, scores[0][chosen]))
        shapes, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return _merged(shapes, scores)[0][:MAX_CANDIDATES]

    def _look_again(self, image: Image.Image, shapes: Shapes) -> tuple[Shapes, Shapes]:
        """Look at each candidate alone, turned upright; drop what is no face after all."""
        views = [_upright_view(shape) for shape in shapes]
        size = (LOOK_SIZE, LOOK_SIZE)
        bilinear = Image.Resampling.BILINEAR
        cuts = [cut_out(image, view, size, shrinking=bilinear) for view in views]
        pixels = np.stack([np.asarray(cut) for cut in cuts])
        seen, scores = self._run(pixels)
        faces: list[Shapes] = []
        sure: list[float] = []
        for view, shape, score in zip(views, seen, scores, strict=True):
            off_centre = np.abs(shape[:, 0] - LOOK_SIZE / 2).max(axis=1)
            chosen = (score >= FIRST_SCORE) & (off_centre < LOOK_SIZE / LOOK_MARGIN / 2)
            merged, merged_scores = _merged(shape[chosen], score[chosen])
            if len(merged_scores) and merged_scores[0] >= SURE_SCORE:
                back = inverse(view)
                face = move(back, merged[0])
                face[1] = merged[0][1] * scale_of(back)
                faces.append(face)
                sure.append(merged_scores[0])
        return np.array(faces).reshape(-1, 8, 2), np.array(sure)

    def _run(self, pixels: Uint8Array) -> tuple[Shapes, Shapes]:
        """Run the network on views.

        Args:
            pixels: Shape (B, H, W, 3), sides multiples of 16.

        Returns:
            For each view and anchor its shape, (B, N, 8, 2) in pixels of the view, and score,
            (B, N), range [0, 1].
        """
        planes = np.stack([normalise(view) for view in pixels])
        offsets, logits = self._session.run(["regressors", "classificators"], {"input": planes})
        shapes = offsets.astype(np.float64).reshape(*offsets.shape[:2], 8, 2)
        centres = _anchors(*pixels.shape[1:3])
        shapes[:, :, 0] += centres
        shapes[:, :, 2:] += centres[:, None]
        return shapes, 1 / (1 + np.exp(-np.clip(logits[..., 0].astype(np.float64), -80, 80)))


@lru_cache(maxsize=16)  # a few hundred kB each, one for every size of view
def _anchors(height: int, width: int) -> Shapes:
    """Centres of all anchors, shape (N, 2), in the order of the network's outputs."""
    grids = []
    for stride, count in STRIDES:
        y, x = np.mgrid[0 : height // stride, 0 : width // stride] + 0.5
        centres = np.stack([x, y], axis=-1).reshape(-1, 2) * stride
        grids.append(np.repeat(centres, count, axis=0))
    return np.concatenate(grids)


def _thinned(image: Image.Image, scale: float) -> Image.Image:
    """Leave out pixels of a large picture."""
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST)


def _on_canvas(pixels: Uint8Array) -> Uint8Array:
    """Lay a view on black whose sides the network takes; it starts at the upper left."""
    height, width = (
        max(FAR_SIZE, -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in pixels.shape[:2]
    )
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    return canvas


def _upright_view(shape: Shapes) -> Matrix:
    """Map a candidate to the middle of its view, eyes level."""
    right_eye, left_eye = shape[2], shape[3]
    across = left_eye - right_eye
    scale = LOOK_SIZE / (LOOK_MARGIN * shape[1].max())
    turn = scale * across / max(float(np.hypot(*across)), 1e-6)
    linear = np.array([[turn[0], turn[1]], [-turn[1], turn[0]]])
    return np.column_stack([linear, LOOK_SIZE / 2 - linear @ shape[0]])


def _merged(shapes: Shapes, scores: Shapes) -> tuple[Shapes, Shapes]:
    """Average anchors that saw the same, by their scores, as BlazeFace does; surest first."""
    order = np.argsort(-scores)
    shapes, scores = shapes[order], scores[order]
    left = np.ones(len(scores), dtype=bool)
    merged: list[Shapes] = []
    best: list[float] = []
    for index in range(len(scores)):
        if left[index]:
            shared, areas = _shared_area(shapes, shapes[index])
            same = left & (shared > SAME_AT_FIRST * (areas + areas[index] - shared))
            same[index] = True
            left &= ~same
            merged.append(np.average(shapes[same], axis=0, weights=scores[same]))
            best.append(scores[index])
    return np.array(merged).reshape(-1, 8, 2), np.array(best)


def _without_repeats(shapes: Shapes, scores: Shapes) -> list[int]:
    """Choose the surest of those that lie in one another, as a mouth that was taken for a face."""
    kept: list[int] = []
    for index in np.argsort(-scores):
        shared, areas = _shared_area(shapes, shapes[index])
        within = shared / np.minimum(areas, areas[index])
        if not kept or within[kept].max() <= SAME_FACE:
            kept.append(int(index))
    return kept


def _shared_area(shapes: Shapes, one: Shapes) -> tuple[Shapes, Shapes]:
    """Areas that boxes share with one of them, and their own."""
    low = np.maximum(shapes[:, 0] - shapes[:, 1] / 2, one[0] - one[1] / 2)
    high = np.minimum(shapes[:, 0] + shapes[:, 1] / 2, one[0] + one[1] / 2)
    return np.clip(high - low, 0, None).prod(axis=1), shapes[:, 1].prod(axis=1)


def _face(shape: Shapes, score: float) -> Face:
    left, top = shape[0] - shape[1] / 2
    width, height = shape[1]
    points = tuple((float(x), float(y)) for x, y in shape[2:])
    return Face((float(left), float(top), float(width), float(height)), points, float(score))


@cache
def face_detector() -> FaceDetector:
    """Return the one that a process shares."""
    return FaceDetector()
