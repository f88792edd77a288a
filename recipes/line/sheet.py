"""Sheets of the first 32 test photos and drawings with what the generators make of them.

    python recipes/line/sheet.py DATA/test WEIGHTS OUT

Writes OUT/photo2sketch.png (photo, sketch, round trip) and OUT/sketch2photo.png (drawing, photo,
round trip). For looking at, not for the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from facesketch import Translator
from facesketch.images import is_image_name, open_image, resize_cover
from facesketch.weights_info import Direction

COUNT, COLUMNS, TILE = 32, 4, 192
BACK: dict[Direction, Direction] = {
    "photo2sketch": "sketch2photo",
    "sketch2photo": "photo2sketch",
}


def make_sheet(folder: Path, direction: Direction, translator: Translator) -> Image.Image:
    """Lay out picture, translation and round trip, four groups a row."""
    names = sorted(path for path in folder.iterdir() if is_image_name(path.name))[:COUNT]
    originals = [resize_cover(open_image(path), 256) for path in names]
    translated = translator.translate(originals, direction)
    returned = translator.translate(translated, BACK[direction])
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (3 * TILE + 12), rows * (TILE + 4)), "white")
    for index, group in enumerate(zip(originals, translated, returned, strict=True)):
        left = index % COLUMNS * (3 * TILE + 12)
        for place, tile in enumerate(group):
            position = (left + place * TILE, index // COLUMNS * (TILE + 4))
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.LANCZOS), position)
    return sheet


def main() -> None:
    """Write both sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="Folder with photos/ and sketches/.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    translator = Translator(args.weights)
    folders: dict[Direction, str] = {"photo2sketch": "photos", "sketch2photo": "sketches"}
    for direction, name in folders.items():
        path = args.out / f"{direction}.png"
        make_sheet(args.data / name, direction, translator).save(path)
        print(path)


if __name__ == "__main__":
    main()
