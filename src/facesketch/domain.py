"""Tells photos from sketches by their lines and shading: a tiny network on luma, no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from facesketch.images import Domain, Float32Array, to_mode
from facesketch.onnx_runtime import shipped_session

SURE_PROBABILITY = 0.9
"""From this probability on a guess counts as sure; chosen on validation pictures."""

VIEW_SIZE = 128
"""Side in pixels of the square views that the network judges."""

WEIGHTS_FILE = "domain.onnx"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DomainGuess:
    """What a picture was taken for.

    Attributes:
        domain: The likelier domain.
        probability: Its calibrated probability, 0.5 to 1.
    """

    domain: Domain
    probability: float

    @property
    def is_sure(self) -> bool:
        """Whether the guess can be relied on without asking."""
        return self.probability >= SURE_PROBABILITY


class DomainClassifier:
    """Judges pictures; one instance may be shared by threads."""

    def __init__(self) -> None:
        """Load the network that the package ships.

        Raises:
            WeightsError: If the file is missing or broken.
        """
        self._session = shipped_session(WEIGHTS_FILE)

    def guess(self, image: Image.Image) -> DomainGuess:
        """Tell whether a picture is a photo or a sketch.

        Args:
            image: Picture of any size; colour plays no part.

        Returns:
            The likelier domain and its probability.
        """
        (logits,) = self._session.run(None, {"luma": luma_views(image)})
        probability = float(1 / (1 + np.exp(-np.mean(logits))))
        if probability >= 0.5:
            return DomainGuess("sketch", probability)
        return DomainGuess("photo", 1 - probability)


def luma_views(image: Image.Image) -> Float32Array:
    """Cut the squares that the network judges: along the longer side, and the middle.

    Args:
        image: Picture of any mode and size.

    Returns:
        float32, shape (N, 1, 128, 128), range [0, 1], N from 1 to 4.
    """
    if image.mode not in ("RGB", "L"):
        image = to_mode(image, "RGB")
    size = (VIEW_SIZE, VIEW_SIZE)
    views = [
        image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0).convert("L")
        for box in _boxes(*image.size)
    ]
    luma = np.stack([np.asarray(view, dtype=np.float32) for view in views])
    return luma[:, None] / np.float32(255)


def _boxes(width: int, height: int) -> list[Box]:
    """Squares at the start, middle and end of the longer side, then its middle half."""
    side = min(width, height)
    boxes: dict[Box, None] = {}  # a set that keeps its order
    for share in (0.0, 0.5, 1.0):
        left, top = (width - side) * share, (height - side) * share
        boxes[left, top, left + side, top + side] = None
    if side >= 1.5 * VIEW_SIZE:  # below that the middle has nothing more to show
        left, top = (width - side / 2) / 2, (height - side / 2) / 2
        boxes[left, top, left + side / 2, top + side / 2] = None
    return list(boxes)
