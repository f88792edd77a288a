"""Skin tone from the pixels, to see whether some people are served worse than others.

The individual typology angle of the cheeks (Chardon et al. 1991):

    ITA = atan((L* - 50) / b*) * 180 / pi

in bins of Del Bino et al. (2006). Of a photo it is a rough measure, as the light of the room counts
too: a bin holds photos that look alike, not people of one kind.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from facesketch.faces import Face

BINS: dict[str, float] = {
    "very light": 55,
    "light": 41,
    "intermediate": 28,
    "tan": 10,
    "brown": -30,
    "dark": -91,
}
"""Tones from light to dark, and the ITA in degrees above which each begins."""

PATCH = 0.12
"""Half the side of the square taken of a cheek, in distances between the eyes."""


def skin_tone(photo: Image.Image, face: Face) -> str:
    """Name the skin tone of a face: a key of `BINS`.

    Args:
        photo: RGB.
        face: Where the face is in it.
    """
    angle = typology_angle(photo, face)
    return next(name for name, above in BINS.items() if angle > above)


def typology_angle(photo: Image.Image, face: Face) -> float:
    """Individual typology angle of both cheeks, degrees from -90 (dark) to 90 (light).

    Medians over a square below each eye, at the height of the tip of the nose, so that a strand of
    hair or a highlight does not count.
    """
    eyes, nose = np.asarray(face.keypoints[:2]), np.asarray(face.keypoints[2])
    reach = max(1.0, PATCH * float(np.linalg.norm(eyes[1] - eyes[0])))
    pixels = []
    for eye in eyes:
        x, y = eye[0], nose[1]
        box = (round(x - reach), round(y - reach), round(x + reach), round(y + reach))
        pixels.append(np.asarray(photo.crop(box)).reshape(-1, 3))
    lightness, _, yellow = np.median(rgb2lab(np.concatenate(pixels)[None] / 255)[0], axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-6))))
