"""Brings faces to the framing that the generators learned: that of FFHQ (Karras et al. 2019)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from facesketch.faces import Face
from facesketch.geometry import Matrix, Outside, Points, cut_out, fit_similarity

CANONICAL_KEYPOINTS: Points = np.array(
    [
        (0.3749, 0.4763),
        (0.6273, 0.4803),
        (0.4946, 0.6194),
        (0.4954, 0.7451),
        (0.2491, 0.5331),
        (0.7679, 0.5408),
    ]
)
"""Where `Face.keypoints` lie in that framing, in units of its side.

Means of what the detector finds in the 1,000 validation faces (python recipes/face_detector/
framing.py); standard deviations at 256 px, sideways: eyes 2, mouth 5, nose 9, ears 13 px. They
are a little lopsided because the detector is.
"""

FRAMING_WEIGHTS = (4.0, 4.0, 0.0, 1.0, 0.0, 0.0)
"""How much each point counts: eyes and mouth decide, as they did for FFHQ, for the nose moves as
the head turns. Measured on the 679 test faces: scale off by 4%, roll by 2.3 degrees (standard
deviations), corners by 9 of 256 px; a mouth that counts for more makes it worse, without it heads
in profile come out far too large.
"""

EYE_DISTANCE = float(np.hypot(*(CANONICAL_KEYPOINTS[1] - CANONICAL_KEYPOINTS[0])))
"""Distance of the eyes in that framing, in units of its side."""


def framing_matrix(face: Face, side: int) -> Matrix:
    """Map the picture so that a face gets the framing of the generators.

    Args:
        face: What the detector found.
        side: Side in pixels of the square that the face shall fill.

    Returns:
        Similarity from the picture to that square.
    """
    return fit_similarity(np.array(face.keypoints), CANONICAL_KEYPOINTS * side, FRAMING_WEIGHTS)


def align(
    image: Image.Image, face: Face, side: int, *, margin: int, outside: Outside
) -> Image.Image:
    """Cut a face out in the framing of the generators.

    Args:
        image: Mode "RGB" or "L", in whose pixels the face is given.
        face: What the detector found.
        side: Side in pixels of the square that the face shall fill.
        margin: How much of the picture to leave around that square.
        outside: What to put where the picture ends.

    Returns:
        A square picture of the same mode, side + 2 * margin pixels wide.
    """
    matrix = framing_matrix(face, side) + np.array([[0, 0, margin], [0, 0, margin]])
    size = side + 2 * margin
    return cut_out(image, matrix, (size, size), outside=outside)
