"""Make both_ways.jpg and compared.jpg, the pictures of README and the documentation.

    python docs/images/both_ways.py [--weights DIR]

The portrait is scikit-image's astronaut (NASA, public domain); the drawings are the package's own
samples. Both pictures say in their metadata that they hold generated photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from facesketch import Translator
from facesketch.data.line_drawing import draw_lines
from facesketch.evaluation.pictures import pencil
from facesketch.images import encode

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "src" / "facesketch" / "samples"
TILE, GAP = 256, 8
FACE = (110, 0, 340, 230)  # left, top, right, bottom in the 512 px portrait, FFHQ framing


def main() -> None:
    """Lay out both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="folder; default: those that are shipped")
    translator = Translator(parser.parse_args().weights)
    portrait = Image.fromarray(np.asarray(data.astronaut())).crop(FACE).resize((TILE, TILE))
    styles = translator.styles or (None,)
    sketches = [translator.in_style(style).to_sketch(portrait) for style in styles]
    rows = [[portrait, *sketches], []]
    for name in ("drawing_1.png", "drawing_2.png"):
        with Image.open(SAMPLES / name) as drawing:
            small = drawing.resize((TILE, TILE), Image.Resampling.LANCZOS)
        rows[1] += [small, translator.to_photo(small)]
    save("both_ways", rows)
    drawn = Image.fromarray(draw_lines(np.asarray(portrait)))
    save("compared", [[portrait, pencil(portrait), drawn, *sketches]])


def save(name: str, rows: Sequence[Sequence[Image.Image]]) -> None:
    """Lay out rows of tiles as one JPEG."""
    columns = max(len(row) for row in rows)
    size = [count * (TILE + GAP) - GAP for count in (columns, len(rows))]
    picture = Image.new("RGB", (size[0], size[1]), "white")
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            picture.paste(tile.convert("RGB"), (x * (TILE + GAP), y * (TILE + GAP)))
    encoded = encode(picture, "JPEG", quality=88, generated_photo=True)
    (HERE / f"{name}.jpg").write_bytes(encoded)


if __name__ == "__main__":
    main()
