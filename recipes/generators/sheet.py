"""Sheets of the first 24 test photos and drawings, and what generators make of them, side by side.

    python recipes/generators/sheet.py DATA/test SHEETS WEIGHTS [WEIGHTS ...]

Writes SHEETS/photo2sketch.png (photo, then its drawing by each of the weights) and
SHEETS/sketch2photo.png. Nothing is picked. For looking at, not for the repository: the pictures of
the data do not belong there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from facesketch import Translator
from facesketch.images import is_image_name, open_image, resize_cover
from facesketch.weights_info import Direction

COUNT, WIDTH, TILE, GAP = 24, 2400, 192, 12
"""Pictures; width of a sheet and side of a tile in px, and the space between groups."""


def make_sheet(folder: Path, direction: Direction, translators: list[Translator]) -> Image.Image:
    """Lay out each picture with its translations, as many groups a row as fit."""
    paths = sorted(path for path in folder.rglob("*") if is_image_name(path.name))[:COUNT]
    originals = [resize_cover(open_image(path), 256) for path in paths]
    columns = [originals, *(each.translate(originals, direction) for each in translators)]
    group = len(columns) * TILE + GAP
    per_row = max(1, WIDTH // group)
    sheet = Image.new("RGB", (per_row * group, -(-len(paths) // per_row) * (TILE + GAP)), "white")
    for index, tiles in enumerate(zip(*columns, strict=True)):
        row, column = divmod(index, per_row)
        for place, tile in enumerate(tiles):
            position = (column * group + place * TILE, row * (TILE + GAP))
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.LANCZOS), position)
    return sheet


def main() -> None:
    """Write both sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with photos/ and sketches/")
    parser.add_argument("out", type=Path, help="folder for the two sheets")
    parser.add_argument("weights", type=Path, nargs="+", help="folders of exported generators")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    translators = [Translator(folder) for folder in args.weights]
    folders: dict[Direction, str] = {"photo2sketch": "photos", "sketch2photo": "sketches"}
    for direction, name in folders.items():
        path = args.out / f"{direction}.png"
        make_sheet(args.data / name, direction, translators).save(path)
        print(path)


if __name__ == "__main__":
    main()
