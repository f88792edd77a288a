"""Makes the pictures that the domain network learns from: photos and sketches, all luma."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

Gray = npt.NDArray[Any]  # (H, W), float32, range [0, 1]
Rgb = npt.NDArray[np.uint8]  # (H, W, 3)
View = npt.NDArray[Any]  # (128, 128), uint8
Rng = np.random.Generator

VIEW = 128
WORK = 192  # px at which pictures are cropped and toned
SMOOTHING = 0.01  # of the labels: keeps the logits finite on separable data


# --- photos ------------------------------------------------------------------------------------


def luma_of(photo: Rgb, rng: Rng) -> Gray:
    """Turn colour to gray as some film, filter or tint might."""
    weights = np.array([0.299, 0.587, 0.114])
    if rng.random() < 0.4:
        weights = rng.dirichlet((1.5, 3.0, 1.0))
    luma: Gray = cv2.transform(photo, weights[None]).astype(np.float32) / 255
    return luma


def cut_out(gray: Gray, rng: Rng) -> Gray:
    """Put a head, roughly cut out, on an even background, most often white."""
    size = gray.shape[0]
    mask = np.zeros_like(gray)
    centre = (int(size * rng.uniform(0.47, 0.53)), int(size * rng.uniform(0.44, 0.52)))
    head = (int(size * rng.uniform(0.24, 0.4)), int(size * rng.uniform(0.34, 0.5)))
    cv2.ellipse(mask, centre, head, 0, 0, 360, 1.0, -1)
    if rng.random() < 0.8:
        body = (int(size * rng.uniform(0.3, 0.55)), int(size * rng.uniform(0.15, 0.35)))
        cv2.ellipse(mask, (centre[0], size), body, 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), size / 40) + 0.5 * cloud(size, rng, 12) - 0.25
    mask = np.clip((mask - 0.5) * rng.uniform(3, 40) + 0.5, 0, 1)
    kind = rng.random()
    tone = 1.0 if kind < 0.5 else rng.uniform(0.2, 1.0)
    behind = dead_leaves(size, rng) if kind > 0.85 else np.float32(tone)
    return gray * mask + behind * (1 - mask)


def texture(size: int, rng: Rng) -> Gray:
    """Fractal noise, often with a grain direction: cloth, grass, bricks, wrinkles, hair."""
    total = np.zeros((size, size), np.float32)
    cells, falloff = np.exp(rng.normal(1, 0.4)), rng.uniform(0.4, 1.0)
    longer = np.exp(rng.exponential(0.6))
    weight, weights = np.float32(1), np.float32(0)
    while cells < size:
        across, along = int(cells) + 2, int(cells / longer) + 2
        shape = (along, across) if rng.random() < 0.9 else (across, along)
        noise = rng.random(shape, dtype=np.float32)
        total += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)
        weights, weight, cells = weights + weight, weight * np.float32(falloff), cells * 2
    total = (total / weights - 0.5) * np.float32(rng.uniform(1, 3)) + 0.5
    return np.ascontiguousarray(np.clip(total.T if rng.random() < 0.5 else total, 0, 1))


def dead_leaves(size: int, rng: Rng) -> Gray:
    """Occluding discs and boxes, shaded or textured: the statistics of a photo of anything."""
    canvas = texture(size, rng) if rng.random() < 0.5 else cloud(size, rng, 3)
    cloths = [texture(size, rng) for _ in range(2)]
    for _ in range(int(rng.choice([0, 2, 6, 15, 30]))):
        layer = np.zeros((size, size), np.float32)
        radius = int(np.clip(size * 0.03 / rng.random(), 2, size * 0.5))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        if rng.random() < 0.6:
            axes = (radius, max(1, int(radius * rng.uniform(0.4, 1))))
            cv2.ellipse(layer, (x, y), axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
        else:
            other = int(radius * rng.uniform(0.3, 2))
            cv2.rectangle(layer, (x, y), (x + radius, y + other), 1.0, -1)
        fill = ramp(size, rng) * rng.uniform(0, 0.6)
        if rng.random() < 0.5:
            fill += (cloths[rng.integers(2)] - 0.5) * rng.uniform(0.2, 1)
        canvas = canvas * (1 - layer) + layer * (rng.random() * 0.8 + fill)
    return np.clip(canvas, 0, 1).astype(np.float32)


def locally_equal(gray: Gray, rng: Rng) -> Gray:
    """Blend with the locally equalised picture (CLAHE)."""
    tiles = int(rng.integers(2, 9))
    pixels = np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
    equal = cv2.createCLAHE(rng.uniform(1, 4), (tiles, tiles)).apply(pixels)
    share = rng.uniform(0.3, 1)
    blend: Gray = gray * (1 - share) + equal.astype(np.float32) * (share / 255)
    return blend


def photo_tones(gray: Gray, rng: Rng) -> Gray:
    """Vary exposure, contrast and key; sometimes posterise, over-sharpen or turn negative."""
    low, high = rng.uniform(-0.1, 0.25), rng.uniform(0.6, 1.15)
    if rng.random() < 0.6:
        gray = np.clip((gray - low) / (high - low), 0, 1)
    if rng.random() < 0.15:
        gray = np.clip(
            gray * (1 + rng.uniform(0.2, 1.2) * (texture(gray.shape[0], rng) - 0.5)), 0, 1
        )
    gray = gray ** np.float32(np.exp(rng.normal(0, 0.5)))
    if rng.random() < 0.1:
        levels = int(rng.integers(6, 20))
        gray = np.rint(gray * levels) / np.float32(levels)
    if rng.random() < 0.25:  # clarity: what editors do to wrinkles and hair
        gray = locally_equal(gray, rng)
    if rng.random() < 0.35:
        blurred = cv2.GaussianBlur(gray, (0, 0), rng.uniform(0.7, 4))
        gray = np.clip(gray + rng.uniform(0.3, 1.5) * (gray - blurred), 0, 1)
    if rng.random() < 0.3:
        base, reach = rng.uniform(0, 0.6), rng.uniform(0.2, 0.4)
        gray = np.clip(base + gray * reach, 0, 1)
    return 1 - gray if rng.random() < 0.01 else gray


# --- sketches ----------------------------------------------------------------------------------


def raw_recipe(gray: Gray, _rng: Rng) -> Gray:
    """The rough drawing of Person Face Sketches, before its simplification network."""
    image = Image.fromarray(np.rint(gray * 255).astype(np.uint8))
    for step in (ImageFilter.FIND_EDGES, ImageFilter.BLUR, ImageFilter.SHARPEN):
        image = image.filter(step)
    image = ImageEnhance.Contrast(ImageOps.invert(image)).enhance(1.5)
    return np.asarray(image, dtype=np.float32) / 255


def dodge(gray: Gray, rng: Rng) -> Gray:
    """Colour-dodge pencil: the picture divided by its blur."""
    blurred = cv2.GaussianBlur(gray, (0, 0), rng.uniform(1.5, 4))
    lines: Gray = np.clip(gray / (blurred + 0.01), 0, 1) ** np.float32(rng.uniform(1.5, 5))
    return lines


def xdog(gray: Gray, rng: Rng) -> Gray:
    """Extended difference of Gaussians (Winnemoeller 2012)."""
    sigma, p = rng.uniform(0.6, 1.8), rng.uniform(8, 30)
    near, far = (cv2.GaussianBlur(gray, (0, 0), s) for s in (sigma, 1.6 * sigma))
    difference = (1 + p) * near - p * far
    edge = rng.uniform(0.15, 0.45)
    soft = 1 + np.tanh(rng.uniform(3, 15) * (difference - edge))
    return np.where(difference >= edge, 1, np.clip(soft, 0, 1)).astype(np.float32)


def local_threshold(gray: Gray, rng: Rng) -> Gray:
    """Black where a pixel is darker than its surroundings."""
    smooth = cv2.medianBlur(np.rint(gray * 255).astype(np.uint8), 5)
    block = 2 * int(rng.integers(3, 9)) + 1
    lines = cv2.adaptiveThreshold(
        smooth, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, block, rng.uniform(3, 8)
    )
    soft: Gray = cv2.GaussianBlur(lines, (0, 0), rng.uniform(0.4, 1)).astype(np.float32) / 255
    return soft


def hatched(lines: Gray, gray: Gray, rng: Rng) -> Gray:
    """Lay pencil shading under a line drawing: streaks, denser where the photo is darker."""
    size = gray.shape[0]
    streaks: Gray = rng.standard_normal((size, size), dtype=np.float32)
    length, angle = int(rng.integers(9, 25)), rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    half = length // 2
    dx, dy = int(half * np.cos(angle)), int(half * np.sin(angle))
    cv2.line(kernel, (half - dx, half - dy), (half + dx, half + dy), 1.0)
    streaks = cv2.filter2D(streaks, -1, kernel / kernel.sum())
    streaks = streaks / streaks.std() * 0.35
    darkness = np.clip(rng.uniform(0.6, 0.9) - cv2.GaussianBlur(gray, (0, 0), 4), 0, 1)
    shade = np.clip(darkness * 1.5 + streaks - 0.35, 0, 1) * np.minimum(darkness * 4, 1)
    shaded: Gray = lines * (1 - rng.uniform(0.3, 0.8) * shade)
    return shaded


def scribble(size: int, rng: Rng) -> Gray:
    """Random curves, polygons and hatches on paper: a drawing of anything."""
    paper = np.full((size, size), 255, np.uint8)
    for _ in range(int(rng.integers(4, 40))):
        points = rng.uniform(0, size, 2) + rng.normal(0, size * rng.uniform(0.03, 0.35), (4, 2))
        kind = rng.random()
        if kind < 0.6:  # cubic Bezier
            t = np.linspace(0, 1, 24)[:, None]
            basis = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
            curves = [basis @ points]
        elif kind < 0.75:
            turn = np.linspace(0, 2 * np.pi, 48)[:, None]
            curves = [points[0] + np.hstack([np.cos(turn), np.sin(turn)]) * (points[1] - points[0])]
        elif kind < 0.85:
            curves = [points]
        else:
            step = rng.normal(0, 4, 2)
            curves = [points[:2] + step * i for i in range(int(rng.integers(4, 20)))]
        tone, width = int(rng.integers(0, 130)), int(rng.choice([1, 1, 1, 2, 2, 3, 4]))
        shapes = [np.rint(curve * 8).astype(np.int32) for curve in curves]
        cv2.polylines(paper, shapes, False, tone, width, cv2.LINE_AA, 3)
    return paper.astype(np.float32) / 255


def on_paper(drawing: Gray, rng: Rng) -> Gray:
    """Draw with another pencil on another paper, under another light."""
    size = drawing.shape[0]
    ink = 1 - drawing
    if rng.random() < 0.25:
        ink = cv2.dilate(ink, np.ones((2, 2), np.uint8))
    if rng.random() < 0.6:  # drop the paper that came with the drawing
        ink = np.clip((ink - 0.1) / 0.8, 0, 1)
    ink = np.clip(ink ** np.float32(np.exp(rng.normal(0, 0.35))) * rng.uniform(0.5, 1.2), 0, 1)
    paper = np.full_like(ink, rng.uniform(0.35, 1.0) if rng.random() < 0.7 else 1.0)
    if rng.random() < 0.5:
        paper += rng.uniform(0, 0.08) * (cloud(size, rng, int(rng.integers(2, 96))) - 0.5)
    if rng.random() < 0.3:  # light from one side, or a vignette
        paper *= 1 - rng.uniform(0, 0.45) * ramp(size, rng) ** np.float32(rng.uniform(1, 3))
    pencil = rng.uniform(0, 0.5) * paper
    page: Gray = np.clip(paper * (1 - ink) + pencil * ink, 0, 1)
    return 1 - page if rng.random() < 0.02 else page  # chalk on a board


# --- what both go through ----------------------------------------------------------------------


def cloud(size: int, rng: Rng, cells: int) -> Gray:
    """Smooth noise of the given number of cells a side, range [0, 1]."""
    noise = rng.random((cells, cells), dtype=np.float32)
    return np.clip(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def ramp(size: int, rng: Rng) -> Gray:
    """A gradient in a random direction, range [0, 1]."""
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-1, 1, size, dtype=np.float32) / np.float32(2.83)
    slope: Gray = 0.5 + (line * float(np.cos(angle)))[None] + (line * float(np.sin(angle)))[:, None]
    return slope


def framed(gray: Gray, rng: Rng, zoom: tuple[float, float]) -> Gray:
    """Crop, turn, stretch and flip to WORK px; sides beyond the picture repeat its edge tone."""
    height, width = gray.shape
    scale = WORK / (min(height, width) * rng.uniform(*zoom))
    stretch = np.exp(rng.normal(0, 0.06))
    angle = np.deg2rad(rng.normal(0, 8))
    flip = 1.0 if rng.random() < 0.5 else -1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation * scale @ np.diag([flip * stretch, 1 / stretch])
    room = np.maximum(0, np.array([width, height]) - WORK / scale) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room
    shift = WORK / 2 - matrix @ centre
    border = (
        {"borderMode": cv2.BORDER_REFLECT_101}
        if rng.random() < 0.6
        else {"borderMode": cv2.BORDER_CONSTANT, "borderValue": float(gray[:, 0].mean())}
    )
    affine = np.hstack([matrix, shift[:, None]])
    return cv2.warpAffine(gray, affine, (WORK, WORK), flags=cv2.INTER_LINEAR, **border)


def shown(gray: Gray, rng: Rng) -> View:
    """Camera, file and size: blur, noise, JPEG, any resolution, then the view's."""
    side = int(np.exp(rng.uniform(np.log(44), np.log(WORK))))
    if rng.random() < 0.5:
        gray = cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        gray = cv2.GaussianBlur(gray, (0, 0), rng.uniform(0.4, 1.5) * gray.shape[0] / WORK)
    if rng.random() < 0.4:
        sigma = np.float32(min(0.08, rng.exponential(0.03)) * gray.std() * 4)
        gray = gray + sigma * rng.standard_normal(gray.shape, dtype=np.float32)
    pixels = np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 96))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_GRAYSCALE)
    method = cv2.INTER_AREA if pixels.shape[0] > VIEW else cv2.INTER_LINEAR
    view: View = cv2.resize(pixels, (VIEW, VIEW), interpolation=method)
    return view


class Pictures:
    """Draws training views; every one is new."""

    def __init__(self, photos: list[Rgb], drawings: list[Gray], rng: Rng) -> None:
        self.photos, self.drawings, self.rng = photos, drawings, rng

    def photo(self) -> View:
        """A photo, shape (128, 128)."""
        rng = self.rng
        if rng.random() < 0.15:
            gray = dead_leaves(WORK, rng)
        else:
            gray = luma_of(self.photos[rng.integers(len(self.photos))], rng)
            if rng.random() < 0.25:
                gray = cut_out(gray, rng)
            zoom = (0.35, 1.0) if rng.random() < 0.5 else (0.8, 1.4)
            gray = framed(gray, rng, zoom)
        return shown(photo_tones(gray, rng), rng)

    def sketch(self) -> View:
        """A sketch with at least some ink in it, shape (128, 128)."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.08:
            page = scribble(WORK, rng)
        else:
            drawing = self.drawn() if kind < 0.38 else self.real_drawing()
            zoom = (0.4, 1.0) if rng.random() < 0.5 else (0.8, 1.3)
            page = framed(drawing, rng, zoom)
            if page.std() < 0.05:
                page = framed(drawing, rng, (0.9, 1.1))
        return shown(on_paper(page, rng), rng)

    def real_drawing(self) -> Gray:
        """One of the artists' drawings."""
        return self.drawings[self.rng.integers(len(self.drawings))]

    def drawn(self) -> Gray:
        """A line drawing made of a photo."""
        rng = self.rng
        gray = luma_of(self.photos[rng.integers(len(self.photos))], rng)
        if rng.random() < 0.3:
            gray = cut_out(gray, rng)
        if rng.random() < 0.5:
            gray = cv2.bilateralFilter(gray, 5, 0.1, 3)
        methods: list[Callable[[Gray, Rng], Gray]] = [dodge, raw_recipe, xdog, local_threshold]
        method = methods[rng.integers(len(methods))]
        lines = method(gray, rng)
        return hatched(lines, gray, rng) if method is not dodge and rng.random() < 0.3 else lines

    def nothing(self) -> View:
        """A blank or noisy sheet, neither photo nor sketch, shape (128, 128)."""
        rng = self.rng
        tone = rng.random() + rng.exponential(0.02) * ramp(WORK, rng)
        grain = rng.exponential(0.02) * rng.standard_normal((WORK, WORK), dtype=np.float32)
        return shown(np.clip(tone + grain, 0, 1).astype(np.float32), rng)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Views (B, 1, 128, 128) in [0, 1] and targets (B,): half photos, half sketches."""
        blank = max(1, size // 50)
        half = (size - blank) // 2
        views = [self.photo() for _ in range(half)] + [self.sketch() for _ in range(half)]
        views += [self.nothing() for _ in range(size - 2 * half)]
        targets = [SMOOTHING] * half + [1 - SMOOTHING] * half + [0.5] * (size - 2 * half)
        luma = torch.from_numpy(np.stack(views)).unsqueeze(1).float() / 255
        return luma, torch.tensor(targets)
