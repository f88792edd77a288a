from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")

from skimage.color import lab2rgb

from facesketch.evaluation.skin_tone import BINS, skin_tone, typology_angle
from facesketch.faces import Face

pytestmark = pytest.mark.train

FACE = Face(
    box=(40, 40, 120, 120),
    keypoints=((75, 80), (125, 80), (100, 110), (100, 135), (50, 90), (150, 90)),
    score=1.0,
)


def face_of(lightness: float, yellow: float) -> Image.Image:
    """A plain face of one colour, with a black mouth and white hair."""
    lab = np.empty((200, 200, 3))
    lab[:] = (lightness, 12, yellow)
    rgb = np.round(255 * lab2rgb(lab)).astype(np.uint8)
    rgb[130:140, 80:120] = 0
    rgb[:40] = 255
    return Image.fromarray(rgb)


@pytest.mark.parametrize(
    ("lightness", "yellow", "angle", "tone"),
    [
        (75, 12, 64.4, "very light"),
        (70, 18, 48.0, "light"),
        (64, 20, 35.0, "intermediate"),
        (58, 20, 21.8, "tan"),
        (46, 18, -12.5, "brown"),
        (30, 14, -55.0, "dark"),
    ],
)
def test_tones_are_those_of_the_equation(
    lightness: float, yellow: float, angle: float, tone: str
) -> None:
    photo = face_of(lightness, yellow)
    assert typology_angle(photo, FACE) == pytest.approx(angle, abs=2)
    assert skin_tone(photo, FACE) == tone


def test_a_strand_of_hair_on_a_cheek_does_not_count() -> None:
    photo = face_of(64, 20)
    pixels = np.asarray(photo).copy()
    pixels[:, 74:77] = 0
    assert skin_tone(Image.fromarray(pixels), FACE) == "intermediate"


def test_every_angle_has_a_tone() -> None:
    for colour in ("black", "white", "blue", "yellow"):
        assert skin_tone(Image.new("RGB", (200, 200), colour), FACE) in BINS
