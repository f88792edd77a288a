"""Pictures with faces for tests: the shipped sample, which shows nobody, on larger canvases."""

from __future__ import annotations

from importlib import resources

import numpy as np
from PIL import Image

from facesketch.faces import Face

GREY = (140, 130, 120)


def sample(side: int = 256) -> Image.Image:
    """The shipped face in the framing of the generators."""
    path = resources.files("facesketch").joinpath("samples", "photo_1.jpg")
    with path.open("rb") as file, Image.open(file) as image:
        return image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def scene(size: tuple[int, int], *placed: tuple[int, int, int], roll: float = 0) -> Image.Image:
    """Lay the sample on grey: left, top and side of each copy, which may end outside."""
    canvas = Image.new("RGB", size, GREY)
    for left, top, side in placed:
        face = sample(side).rotate(roll, Image.Resampling.BICUBIC, fillcolor=GREY)
        canvas.paste(face, (left, top))
    return canvas


def eyes(face: Face) -> np.ndarray:
    """Both eyes, shape (2, 2)."""
    return np.array(face.keypoints[:2])


def eyes_of_sample(left: float, top: float, side: float) -> np.ndarray:
    """Where the eyes of a copy of the sample are, as a person would mark them."""
    return np.array([(0.377, 0.478), (0.611, 0.478)]) * side + (left, top)
