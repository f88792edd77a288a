"""Is it still the same person? dlib's face embedding finds the photo among all photos."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facesketch.errors import MissingExtraError
from facesketch.evaluation.statistics import FloatArray
from facesketch.faces import Face, FaceDetector

MODELS = "face_recognition_models"
LANDMARKS_FILE = "shape_predictor_5_face_landmarks.dat"
EMBEDDING_FILE = "dlib_face_recognition_resnet_model_v1.dat"

CHIP_SIZE, CHIP_PADDING = 150, 0.25
"""Framing that the embedding learned."""

BLOCK = 256
"""Queries whose distances to all photos are in memory at a time."""


def _models_folder() -> Path:
    spec = find_spec(MODELS)  # never imported: its code needs the old pkg_resources
    for folder in (spec.submodule_search_locations or []) if spec else []:
        models = Path(folder) / "models"
        if (models / EMBEDDING_FILE).is_file():
            return models
    raise MissingExtraError("facesketch evaluate --identity", "identity")


class Identity:
    """128 numbers a face (King 2017), of a picture in the framing of its photo's landmarks."""

    def __init__(self) -> None:
        """Load dlib and its two models.

        Raises:
            MissingExtraError: If dlib-bin or face_recognition_models is not installed.
        """
        models = _models_folder()
        try:
            import dlib  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise MissingExtraError("facesketch evaluate --identity", "identity") from error
        self._dlib: Any = dlib
        self._detector = FaceDetector()
        self._landmarks = dlib.shape_predictor(str(models / LANDMARKS_FILE))
        self._embedding = dlib.face_recognition_model_v1(str(models / EMBEDDING_FILE))

    def find(self, photo: Image.Image) -> Face | None:
        """Find the largest face; None without a face."""
        return next(iter(self._detector.find(photo)), None)

    def landmarks(self, photo: Image.Image, face: Face) -> Any:
        """Find the corners of the eyes and the nose of a face."""
        left, top, width, height = face.box
        box = self._dlib.rectangle(*map(round, (left, top, left + width, top + height)))
        return self._landmarks(np.asarray(photo), box)

    def embed(self, pictures: Sequence[Image.Image], landmarks: Sequence[Any]) -> FloatArray:
        """Describe faces.

        Args:
            pictures: Photos, or what was made of them, of the photos' size.
            landmarks: Those of the photos.

        Returns:
            Shape (N, 128).
        """
        chips = [
            self._dlib.get_face_chip(
                np.asarray(picture.convert("RGB")), shape, size=CHIP_SIZE, padding=CHIP_PADDING
            )
            for picture, shape in zip(pictures, landmarks, strict=True)
        ]
        if not chips:
            return np.empty((0, 128))
        return np.array(self._embedding.compute_face_descriptor(chips), np.float64)


def found_first(queries: FloatArray, gallery: FloatArray) -> npt.NDArray[np.bool_]:
    """Say for each query whether the photo of the same index is nearer than all the others.

    Args:
        queries: Embeddings of what was made of the photos, shape (N, D).
        gallery: Those of the photos, shape (N, D).

    Returns:
        Booleans, shape (N,); a tie is no hit.
    """
    squares = (gallery**2).sum(axis=1)
    result = np.empty(len(queries), dtype=np.bool_)
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        distances = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ gallery.T  # (B, N)
        own = distances.diagonal(start).copy()
        np.fill_diagonal(distances[:, start:], np.inf)
        result[start : start + BLOCK] = own < distances.min(axis=1)
    return result
