"""Make both_ways.jpg: the astronaut portrait and a drawn sample, each beside its translation.

    python docs/images/both_ways.py

The portrait is scikit-image's (NASA, public domain); the drawing is the package's own sample.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from facesketch import Translator

TILE, GAP = 384, 12
FACE = (110, 0, 340, 230)  # left, top, right, bottom in the 512 px portrait, FFHQ framing


def main() -> None:
    """Lay out portrait, sketch, drawing, photo."""
    translator = Translator()
    samples = Path(__file__).parents[2] / "src" / "facesketch" / "samples"
    portrait = Image.fromarray(np.asarray(data.astronaut())).crop(FACE).resize((TILE, TILE))
    drawing = Image.open(samples / "drawing_1.png").resize((TILE, TILE), Image.Resampling.LANCZOS)
    tiles = [portrait, translator.to_sketch(portrait), drawing, translator.to_photo(drawing)]
    picture = Image.new("RGB", (4 * TILE + 3 * GAP, TILE), "white")
    for place, tile in enumerate(tiles):
        picture.paste(tile.convert("RGB"), (place * (TILE + GAP), 0))
    picture.save(Path(__file__).with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
