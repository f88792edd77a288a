"""Draw the sample portraits of sketch-to-photo by code alone: pencil strokes, nobody's face.

    python recipes/sample_drawing.py [OUT]

Coordinates are pixels of the 512-pixel picture; the eyes and the base of the nose lie at the mean
landmarks of the framed faces (recipes/generators/prepare.py), so the drawing needs no alignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from facesketch.images import encode
from sample_people import MAN, WOMAN, Curve, Floats, Hair, Person

SIZE = 512
SUPERSAMPLING = 4

# Mean landmarks of 300 framed faces, recipes/generators, in 512-pixel coordinates.
EYE_CENTRES = ((193.5, 244.5), (316.2, 244.5))
EYE_HALF_WIDTH = 25.5
NOSE_BASE = (254.5, 335.0)
MOUTH = (256.0, 370.0)

DARKEST = 0.87
"""Ink of the softest pencil pressed hard; paper is 0."""


def spline(points: Curve, count: int) -> Floats:
    """Sample a Catmull-Rom curve through points, evenly by length.

    Args:
        points: Control points, shape (N, 2), N >= 2.
        count: Samples.

    Returns:
        Shape (count, 2).
    """
    knots = np.asarray(points, dtype=np.float64)
    ends = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    a, b, c, d = (piece[:, None] for piece in (ends[:-3], ends[1:-2], ends[2:-1], ends[3:]))
    t = np.linspace(0, 1, 24, endpoint=False)[:, None]
    cubic = -a + 3 * b - 3 * c + d  # (N - 1, 1, 2)
    square = 2 * a - 5 * b + 4 * c - d
    pieces = 0.5 * (2 * b + (c - a) * t + square * t**2 + cubic * t**3)  # (N - 1, 24, 2)
    fine = np.vstack([pieces.reshape(-1, 2), knots[-1:]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    at = np.linspace(0, length[-1], count)
    return np.stack([np.interp(at, length, fine[:, axis]) for axis in (0, 1)], axis=1)


class Pencil:
    """Graphite on white paper, drawn at SUPERSAMPLING times the final size.

    Args:
        seed: Of the hand's tremor and the paper's grain.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        side = SIZE * SUPERSAMPLING
        self.ink = np.zeros((side, side), np.float32)
        noise = np.clip(128 + 40 * self.rng.normal(size=(side // 2, side // 2)), 0, 255)
        grain = Image.fromarray(noise.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.4))
        values = np.asarray(grain.resize((side, side)), np.float32)
        self.grain = (values - values.mean()) / values.std()

    def noise(self, count: int, knots: int) -> Floats:
        """Smooth noise of unit size, shape (count,)."""
        values = self.rng.normal(size=knots + 3)
        track = np.stack([np.linspace(-0.2, 1.2, knots + 3), values], axis=1)
        curve = spline(track, 16 * (knots + 3))
        return np.interp(np.linspace(0, 1, count), curve[:, 0], curve[:, 1])

    def stroke(
        self,
        points: Curve,
        width: float = 1.5,
        tone: float = 0.7,
        *,
        taper: tuple[float, float] = (0.25, 0.35),
        wobble: float = 0.5,
    ) -> None:
        """Draw one line.

        Args:
            points: Control points of the line.
            width: Full width, pixels.
            tone: Pressure, 0 to 1.
            taper: Share of the line over which it swells at its start and runs out at its end.
            wobble: Size of the hand's tremor, pixels.
        """
        length = np.hypot(*np.diff(np.asarray(points, dtype=np.float64), axis=0).T).sum()
        count = max(8, int(length * 2.2))
        path = spline(points, count)
        knots = max(2, int(length / 28))
        path += wobble * np.stack([self.noise(count, knots), self.noise(count, knots)], axis=1)
        tremor = [self.noise(count, max(2, int(length / 7))) for _ in range(2)]
        path += 0.3 * wobble * np.stack(tremor, axis=1)
        s = np.linspace(0, 1, count)
        rise = np.clip(s / max(taper[0], 1e-3), 0, 1)
        fall = np.clip((1 - s) / max(taper[1], 1e-3), 0, 1)
        swell = np.sqrt(np.sin(np.minimum(rise, fall) * np.pi / 2))
        pressure = 1 + 0.24 * self.noise(count, knots)
        radii = 0.5 * width * SUPERSAMPLING * (0.35 + 0.65 * swell) * np.clip(pressure, 0.6, 1.4)
        tones = tone * (0.3 + 0.7 * swell) * np.clip(pressure, 0.7, 1.2)
        self._stamp(path * SUPERSAMPLING, radii, np.clip(tones, 0, 1))

    def _stamp(self, path: Floats, radii: Floats, tones: Floats) -> None:
        """Lay discs along a path (supersampled pixels) as one layer of graphite."""
        low = np.floor((path - radii[:, None]).min(axis=0)).astype(int) - 2
        high = np.ceil((path + radii[:, None]).max(axis=0)).astype(int) + 3
        low, high = np.clip(low, 0, len(self.ink)), np.clip(high, 0, len(self.ink))
        if (high <= low).any():
            return
        layer = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
        draw = ImageDraw.Draw(layer)
        for (x, y), radius, tone in zip(path - low, radii, tones, strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=round(255 * tone))
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        alpha = np.asarray(layer, np.float32) / 255
        # Light strokes touch only the paper's peaks, heavy ones fill its valleys.
        alpha = np.clip(alpha * (1 + 0.3 * (1 - 0.6 * alpha) * self.grain[box]), 0, 1)
        self.ink[box] += np.maximum(DARKEST - self.ink[box], 0) * alpha

    def mask(self, outline: Curve, blur: float = 0.0) -> npt.NDArray[np.float32]:
        """Fill a closed smooth outline: 1 inside, 0 outside, shape of the ink."""
        ring = np.asarray(outline, dtype=np.float64)
        path = spline(np.vstack([ring, ring[:1]]), 40 * len(ring)) * SUPERSAMPLING
        image = Image.new("L", self.ink.shape[::-1])
        ImageDraw.Draw(image).polygon([(x, y) for x, y in path], fill=255)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * SUPERSAMPLING))
        return np.asarray(image, np.float32) / np.float32(255)

    def erase(self, outline: Curve, blur: float = 0.6) -> None:
        """Rub out what lies inside a closed outline."""
        self.ink *= 1 - self.mask(outline, blur)

    @contextmanager
    def within(self, outline: Curve) -> Iterator[None]:
        """Keep only what is drawn inside a closed outline."""
        before = self.ink.copy()
        yield
        self.ink = before + (self.ink - before) * self.mask(outline, 0.3)

    def image(self) -> Image.Image:
        """The drawing, mode "L", SIZE pixels a side."""
        full = Image.fromarray(np.rint(255 * (1 - self.ink)).astype(np.uint8))
        return full.resize((SIZE, SIZE), Image.Resampling.BOX)


def draw_hair(pencil: Pencil, hair: Hair) -> None:
    """Fill a sheet with strands."""
    guides = np.stack([spline(guide, 64) for guide in hair.guides])  # (G, 64, 2)
    if hair.covers:
        pencil.erase(np.vstack([guides[0][::4], guides[-1][::-4]]))
    rng = pencil.rng
    pattern = pencil.noise(256, hair.locks)

    def strand(u: Floats, s: Floats) -> Floats:
        """Points of the sheet at u across (beyond 0 to 1: loose strands) and s along it."""
        across, along = u * (len(guides) - 1), np.clip(s, 0, 1) * 63
        i = np.clip(across.astype(int), 0, len(guides) - 2)
        j = np.clip(along.astype(int), 0, 62)
        low = guides[i, j] + (along - j)[:, None] * (guides[i, j + 1] - guides[i, j])
        high = guides[i + 1, j] + (along - j)[:, None] * (guides[i + 1, j + 1] - guides[i + 1, j])
        blended: Floats = low + (across - i)[:, None] * (high - low)
        return blended

    for u in rng.permutation(np.linspace(-0.02, 1.02, hair.strands)):
        lock = float(np.interp(u, np.linspace(0, 1, 256), pattern))
        taper = (0.25, 0.4)
        if hair.shine is None:
            start, end = rng.uniform(0, 0.4), rng.uniform(0.6, 1.0)
        elif rng.random() < 0.4:
            start, end = rng.uniform(0, 0.06), hair.shine + rng.uniform(-0.2, 0.1)
            taper = (0.15, 0.7)
        else:
            start, end = hair.shine + rng.uniform(-0.1, 0.3), rng.uniform(0.75, 1.0)
            taper = (0.5, 0.3)
        tone = hair.tone * float(np.clip(0.75 + 0.42 * lock + rng.normal(0, 0.15), 0.15, 1.5))
        width = float(rng.uniform(0.9, 1.6) + 0.4 * max(lock, 0))
        s = np.linspace(start, max(end, start + 0.12), 9)
        drift = rng.normal(0, 0.035) * np.linspace(-1, 1, 9)
        middle = (np.floor(u * hair.tips) + 0.5) / hair.tips
        clump = 0.85 * (middle - u) * s**4  # strands of a lock meet at its tip
        pencil.stroke(strand(u + drift + clump, s), width, tone, taper=taper, wobble=0.8)
    for shown, guide in zip(hair.edges, (hair.guides[0], hair.guides[-1]), strict=True):
        for _ in range(2 if shown else 0):
            pencil.stroke(guide, 1.6, 0.5, taper=(0.1, 0.3), wobble=1.2)


def draw_eye(pencil: Pencil, person: Person, side: int) -> None:
    """Draw one eye: lids, crease, iris, lashes. `side` is 0 for the left of the picture."""
    centre, sign = np.array(EYE_CENTRES[side]), 2 * side - 1
    rng = pencil.rng

    def place(points: Curve) -> Floats:
        local = np.asarray(points, dtype=np.float64) * (sign, 1.0) * EYE_HALF_WIDTH
        return centre + local

    lid = person.lid * (1.0 if side else 0.96)
    upper = [(-1.0, 0.13), (-0.74, -0.14 * lid), (-0.28, -0.42 * lid), (0.22, -0.46 * lid)]
    upper += [(0.68, -0.25 * lid), (1.0, 0.0)]
    lower = [(-1.0, 0.13), (-0.72, 0.23), (-0.25, 0.34), (0.25, 0.35), (0.7, 0.22), (1.0, 0.0)]
    opening = place([*upper, *lower[-2:0:-1]])
    with pencil.within(opening):
        _draw_iris(pencil, place([(0.02, -0.1)])[0], 0.41 * EYE_HALF_WIDTH)
        for shade in range(7):  # the upper lid's shadow
            x = -0.8 + 0.25 * shade
            pencil.stroke(place([(x, -0.5), (x + 0.16, -0.22)]), 1.6, 0.3)
    pencil.stroke(place(upper), 2.7, 0.9, taper=(0.35, 0.1))
    pencil.stroke(place([*upper[2:], (1.16, 0.05)]), 2.3, 0.8, taper=(0.3, 0.3))
    pencil.stroke(place(lower[1:]), 1.3, 0.56, taper=(0.4, 0.2))
    pencil.stroke(place([(-1.0, 0.13), (-1.1, 0.2), (-0.98, 0.25), (-0.8, 0.22)]), 1.2, 0.5)
    crease = [(-0.86, -0.26), (-0.4, -0.62 * lid), (0.2, -0.7 * lid), (0.75, -0.5), (1.14, -0.18)]
    pencil.stroke(place(crease), 1.4, 0.55, taper=(0.4, 0.4))
    pencil.stroke(place([(-0.75, 0.56), (-0.3, 0.68), (0.2, 0.68)]), 1.0, 0.2, taper=(0.5, 0.5))
    rim = spline(upper, 40)
    for lash in np.linspace(0.45, 1.0, person.lashes):
        root = rim[int(lash * 39)]
        reach = 0.1 + 0.22 * lash + rng.uniform(-0.04, 0.04)
        lean = 1.5 * lash - 0.35 + rng.normal(0, 0.1)
        tip = root + reach * np.array([np.sin(lean), -np.cos(lean)])
        bend = (root + tip) / 2 + 0.03 * np.array([1.2, 0.8])
        pencil.stroke(place([tuple(root), tuple(bend), tuple(tip)]), 1.1, 0.6, taper=(0, 0.8))


def _draw_iris(pencil: Pencil, centre: Floats, radius: float) -> None:
    """Draw iris, pupil and the spot of light."""
    for turn in np.linspace(0, 2 * np.pi, 44, endpoint=False):
        ray = np.array([np.cos(turn), np.sin(turn)])
        tone = 0.34 - 0.2 * ray[1] + pencil.rng.uniform(-0.1, 0.1)
        pencil.stroke(centre + np.outer([1.0, 0.45], ray) * radius, 1.1, tone, wobble=0.1)
    ring = np.linspace(0, 2 * np.pi, 13)
    circle = np.stack([np.cos(ring), np.sin(ring)], axis=1)
    pencil.stroke(centre + circle * radius, 1.5, 0.75, taper=(0, 0), wobble=0.2)
    for share in (0.1, 0.25, 0.38):
        pencil.stroke(centre + circle * radius * share, 2.4, 0.85, taper=(0, 0), wobble=0.1)
    pencil.erase(centre + np.array([-0.36, -0.34]) * radius + circle[:-1] * radius * 0.19, 0.2)


def draw_brow(pencil: Pencil, person: Person, side: int) -> None:
    """Draw one brow as short hairs along an arch."""
    sign, rng = 2 * side - 1, pencil.rng
    centre = np.add(EYE_CENTRES[side], (0, person.brow_drop - (1.5 if side else 0)))
    arch = [(-1.12, -1.12), (-0.55, -1.42), (0.1, -1.6), (0.75, -1.52), (1.4, -1.12)]
    shape = (np.array(arch) - (0, -1.2)) * (sign, person.brow_arch) + (0, -1.2)
    line = spline(centre + shape * EYE_HALF_WIDTH, 101)
    for s in rng.uniform(0, 1, round(95 * person.brow_weight)):
        root = line[int(100 * s)] + rng.normal(0, 1.0, 2)
        thick = 8.0 * person.brow_weight * (1 - 0.75 * s) * (0.55 + 0.45 * min(1, 6 * s))
        root = root + np.array([0, thick * rng.uniform(-0.3, 0.5)])
        lean = 0.6 + 1.1 * s + rng.normal(0, 0.13)
        hair = np.array([sign * np.sin(lean), -np.cos(lean)]) * rng.uniform(7, 12)
        bend = root + hair * 0.55 + np.array([sign * 0.4, -0.4])
        tone = 0.32 * person.brow_weight + 0.1 + rng.uniform(-0.1, 0.1)
        pencil.stroke([root, bend, root + hair], 1.1, tone, taper=(0.1, 0.7), wobble=0.2)


def draw_nose(pencil: Pencil, person: Person) -> None:
    """Draw the wings, nostrils and tip of the nose, and a hint of its bridge."""
    base = np.add(NOSE_BASE, (person.turn, 0))

    def line(points: Curve, width: float, tone: float) -> None:
        pencil.stroke(base + np.asarray(points, dtype=np.float64), width, tone, taper=(0.35, 0.4))

    line([(-24, -28), (-31, -20), (-33, -9), (-28, -1), (-21, -3)], 1.7, 0.68)
    line([(25, -29), (32, -20), (33, -9), (28, -1), (21, -3)], 1.8, 0.72)
    for sign in (-1, 1):
        for shift in (0.0, 1.2):
            nostril = [(21, -3), (17, -8 - shift), (11, -8.5 - shift), (6, -4)]
            line([(sign * x, y) for x, y in nostril], 2.1, 0.66)
    line([(-8, -5), (-3, 0), (3, 0.5), (9, -4)], 1.6, 0.56)
    line([(-9, -22), (-11, -16), (-8, -11)], 1.0, 0.18)
    line([(11, -24), (14, -17), (11, -12)], 1.0, 0.24)
    line([(16, -92), (13, -78), (13, -64), (16, -52)], 1.0, 0.18)
    line([(-4, 12), (-5, 18), (-4, 23)], 1.0, 0.2)
    line([(5, 12), (6, 18), (5, 23)], 1.0, 0.2)
    fold = 0.1 + 0.03 * person.smile
    line([(-38, -14), (-47, 0), (-53, 16)], 1.2, fold)
    line([(39, -14), (49, 2), (55, 18)], 1.2, fold + 0.06)


def draw_mouth(pencil: Pencil, person: Person) -> None:
    """Draw the lips: the parting line, both outlines, a little shade."""
    middle = np.add(MOUTH, (0.8 * person.turn, 0))
    half, full, rise = person.mouth_half_width, person.lip, person.smile

    def place(points: Curve) -> Floats:
        local = np.asarray(points, dtype=np.float64)
        bow = np.abs(local[:, 0]) ** 2.2 * rise
        return middle + np.stack([local[:, 0] * half, local[:, 1] * full - bow], axis=1)

    parting = [(-1.0, 0), (-0.6, 1.2), (-0.25, -0.6), (0.0, 1.6), (0.26, -0.8), (0.62, 1.0)]
    parting += [(1.03, -0.6)]
    top = [(-0.98, -0.5), (-0.55, -6), (-0.17, -11.5), (0.0, -8.5), (0.18, -12), (0.56, -6.5)]
    top += [(1.0, -1)]
    bottom = [(-0.8, 4.5), (-0.45, 12), (0.0, 15), (0.46, 12), (0.82, 4)]
    pencil.stroke(place(parting), 1.8, 0.76, taper=(0.15, 0.15))
    pencil.stroke(place(parting[1:-1]), 1.8, 0.5, taper=(0.4, 0.4))
    pencil.stroke(place(top), 1.6, 0.6, taper=(0.25, 0.25))
    pencil.stroke(place(bottom), 1.6, 0.6, taper=(0.4, 0.4))
    for sign in (-1, 1):
        pencil.stroke(place([(sign * 0.86, 0.4), (sign * 0.97, -0.6), (sign * 1.05, 1)]), 1.7, 0.45)
    for x in np.linspace(-0.5, 0.6, 12):
        pencil.stroke(place([(x, 13.5 - 9 * x * x), (x * 0.9, 9)]), 1.0, 0.14)
    for x in np.linspace(-0.26, 0.3, 9):
        pencil.stroke(middle + np.array([(x * half, 22.0), ((x - 0.12) * half, 26.5)]), 1.2, 0.34)


def draw_head(pencil: Pencil, person: Person) -> None:
    """Draw neck, shoulders, ears and the outline of the face."""
    for line in person.neck:
        pencil.stroke(line, 1.9, 0.68, taper=(0.2, 0.3), wobble=1.1)
    for root, sign in zip(person.ears, (-1, 1), strict=False):
        _draw_ear(pencil, np.array(root), sign)
    outline = spline(person.face, 100)
    pencil.erase(outline)
    # Three strokes with pauses, like a hand that is set down again, and two searching lines.
    for start, end, tone in ((0, 42, 0.68), (37, 66, 0.76), (62, 99, 0.74)):
        pencil.stroke(outline[start : end + 1 : 5], 2.0, tone, taper=(0.2, 0.2), wobble=0.8)
    for start, end in ((24, 50), (60, 84)):
        beside = np.add(outline[start:end:5], (0.7, 0.9))
        pencil.stroke(beside, 1.2, 0.32, taper=(0.5, 0.5), wobble=1.0)


def _draw_ear(pencil: Pencil, root: Floats, sign: int) -> None:
    """Draw an ear whose upper end meets the face at `root`."""
    rim = [(0, 0), (10, -13), (21, -9), (22, 16), (15, 44), (7, 58), (-3, 56)]
    fold = [(4, 3), (12, -2), (15, 10), (10, 28), (5, 36)]
    inner = [(2, 20), (8, 25), (5, 38)]
    for points, width, tone in ((rim, 1.7, 0.64), (fold, 1.2, 0.45), (inner, 1.2, 0.5)):
        pencil.stroke(root + np.array(points) * (sign, 1), width, tone, taper=(0.15, 0.25))


def draw(person: Person) -> Image.Image:
    """Draw a person.

    Returns:
        Portrait in FFHQ framing, mode "L", SIZE pixels a side, paper pure white.
    """
    pencil = Pencil(person.seed)
    draw_head(pencil, person)
    for side in (0, 1):
        draw_eye(pencil, person, side)
        draw_brow(pencil, person, side)
    draw_nose(pencil, person)
    draw_mouth(pencil, person)
    for hair in person.hair:
        draw_hair(pencil, hair)
    return pencil.image()


@click.command()
@click.argument("out", default="src/facesketch/samples", type=click.Path(path_type=Path))
def main(out: Path) -> None:
    """Write drawing_1.png and drawing_2.png to the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    for number, person in enumerate((WOMAN, MAN), start=1):
        (out / f"drawing_{number}.png").write_bytes(encode(draw(person), "PNG"))


if __name__ == "__main__":
    main()
