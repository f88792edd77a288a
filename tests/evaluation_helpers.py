"""Pictures for tests of evaluation: many small ones that differ, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def blob(seed: int, size: int = 64) -> Image.Image:
    """A coloured ellipse somewhere on a coloured ground, with some grain."""
    rng = np.random.default_rng(seed)
    ground, fill = (tuple(int(v) for v in rng.integers(30, 226, 3)) for _ in range(2))
    image = Image.new("RGB", (size, size), ground)
    left, top = rng.integers(4, size // 3, 2)
    right, bottom = rng.integers(size // 2, size - 4, 2)
    ImageDraw.Draw(image).ellipse((int(left), int(top), int(right), int(bottom)), fill=fill)
    grain = rng.normal(0, 4, (size, size, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def write_set(root: Path, count: int, *, paired: bool = True) -> Path:
    """Write ROOT/test/{photos,sketches}: blobs and their gray versions."""
    photos, sketches = root / "test" / "photos", root / "test" / "sketches"
    photos.mkdir(parents=True)
    sketches.mkdir()
    for index in range(count):
        photo = blob(index)
        photo.save(photos / f"{index:03}.png")
        name = f"{index:03}.jpg" if paired else f"s{index:03}.jpg"
        photo.convert("L").save(sketches / name, quality=95)
    return root
