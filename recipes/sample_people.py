"""The two people of recipes/sample_drawing.py: shapes in pixels of the 512-pixel picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Curve: TypeAlias = Floats | Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Hair:
    """A sheet of strands between guides that run from root to tip.

    Attributes:
        guides: Curves, neighbours next to each other.
        strands: How many to draw.
        tone: Pressure.
        shine: Where along the strands light falls, 0 to 1, or None.
        locks: Number of darker locks across the sheet.
        tips: Number of locks into which the strands gather at their ends.
        edges: Draw the first and the last guide as outlines.
        covers: Rub out what lies below.
    """

    guides: tuple[Curve, ...]
    strands: int
    tone: float = 0.62
    shine: float | None = 0.4
    locks: int = 9
    tips: int = 7
    edges: tuple[bool, bool] = (True, True)
    covers: bool = True


@dataclass(frozen=True)
class Person:
    """What tells one portrait from another.

    Attributes:
        seed: Of everything left to chance.
        turn: Pixels by which a slight turn of the head moves nose and mouth to the right.
        lashes: Number of lashes of an eye.
        lid: Opening of the eyes, 1 is middling.
        brow_weight: Width and darkness of the brows.
        brow_arch: Height of the arch, 1 is high.
        brow_drop: Pixels between the brow and its usual place, downwards.
        mouth_half_width: Pixels.
        smile: Pixels by which the corners of the mouth rise.
        lip: Fullness of the lips.
        face: Outline from the left temple round the chin to the right temple.
        ears: Where the upper ends of the left and the right ear meet the face, if they show.
        neck: Lines of neck, collar and shoulders.
        hair: Sheets of hair, the hindmost first.
    """

    seed: int
    turn: float
    lashes: int
    lid: float
    brow_weight: float
    brow_arch: float
    brow_drop: float
    mouth_half_width: float
    smile: float
    lip: float
    face: Curve
    ears: tuple[tuple[float, float], ...]
    neck: tuple[Curve, ...]
    hair: tuple[Hair, ...]


# fmt: off
WOMAN = Person(
    seed=3,
    turn=5.0,
    lashes=8,
    lid=0.9,
    brow_weight=0.85,
    brow_arch=0.9,
    brow_drop=1.0,
    mouth_half_width=46.0,
    smile=7.0,
    lip=1.2,
    face=[(136, 170), (131, 230), (135, 295), (147, 352), (172, 402), (208, 441), (246, 457),
          (266, 458), (302, 445), (338, 408), (363, 358), (376, 300), (381, 235), (378, 170)],
    ears=(),
    neck=(
        [(180, 412), (184, 446), (178, 480), (150, 498), (96, 512)],
        [(338, 410), (335, 446), (344, 478), (376, 497), (430, 510)],
        [(170, 488), (200, 504), (226, 512)],
        [(352, 484), (322, 502), (290, 512)],
    ),
    hair=(
        Hair(
            guides=(
                [(302, 78), (338, 104), (366, 146), (382, 200), (388, 262), (378, 330),
                 (392, 392), (374, 448)],
                [(300, 66), (348, 80), (392, 128), (410, 196), (418, 270), (410, 336),
                 (428, 400), (404, 470)],
                [(300, 58), (350, 60), (404, 104), (430, 180), (440, 262), (434, 330),
                 (458, 400), (440, 474)],
                [(298, 50), (352, 42), (412, 80), (448, 162), (460, 255), (456, 325),
                 (486, 400), (480, 462)],
            ),
            strands=150,
            shine=0.42,
        ),
        Hair(
            guides=(
                [(304, 78), (262, 116), (200, 152), (152, 196), (134, 262), (140, 330),
                 (120, 396), (134, 462)],
                [(302, 66), (240, 84), (166, 128), (122, 196), (108, 280), (110, 340),
                 (86, 410), (104, 486)],
                [(300, 58), (226, 50), (142, 92), (92, 176), (76, 270), (80, 340), (54, 410),
                 (70, 492)],
                [(298, 50), (218, 26), (124, 66), (70, 160), (54, 262), (56, 340), (26, 400),
                 (34, 470)],
            ),
            strands=190,
            shine=0.38,
        ),
    ),
)

MAN = Person(
    seed=8,
    turn=-4.0,
    lashes=0,
    lid=0.78,
    brow_weight=1.25,
    brow_arch=0.5,
    brow_drop=4.0,
    mouth_half_width=48.0,
    smile=2.5,
    lip=0.95,
    face=[(132, 165), (126, 225), (130, 295), (139, 356), (160, 412), (204, 456), (238, 468),
          (262, 468), (304, 456), (346, 412), (371, 356), (382, 295), (387, 225), (380, 165)],
    ears=((127, 228), (386, 226)),
    neck=(
        [(150, 394), (153, 440), (149, 472)],
        [(360, 396), (360, 440), (367, 472)],
        [(149, 452), (172, 482), (208, 512)],
        [(149, 452), (130, 468), (122, 490), (134, 512)],
        [(366, 450), (346, 480), (306, 512)],
        [(366, 450), (388, 466), (398, 488), (384, 512)],
        [(206, 508), (232, 500), (258, 511)],
        [(126, 474), (80, 488), (18, 508)],
        [(393, 472), (440, 486), (502, 504)],
    ),
    hair=(
        Hair(
            guides=(
                [(160, 92), (132, 120), (118, 165), (122, 226)],
                [(170, 112), (152, 140), (142, 182), (136, 228)],
            ),
            strands=46,
            tone=0.42,
            shine=None,
            edges=(True, False),
        ),
        Hair(
            guides=(
                [(158, 100), (168, 52), (242, 20), (334, 28), (392, 78), (400, 140)],
                [(164, 106), (190, 66), (256, 40), (332, 50), (376, 92), (388, 150)],
                [(170, 114), (206, 82), (262, 64), (322, 74), (362, 108), (374, 158)],
            ),
            strands=105,
        ),
        Hair(
            guides=(
                [(164, 102), (196, 60), (258, 44), (316, 62), (352, 104)],
                [(168, 110), (206, 84), (262, 72), (312, 90), (342, 124)],
                [(172, 122), (212, 104), (264, 96), (304, 110), (326, 138)],
            ),
            strands=95,
        ),
        Hair(
            guides=(
                [(366, 122), (371, 150), (373, 186), (380, 226)],
                [(394, 96), (402, 130), (402, 170), (391, 224)],
            ),
            strands=44,
            tone=0.42,
            shine=None,
            edges=(False, True),
            covers=False,
        ),
    ),
)
# fmt: on
