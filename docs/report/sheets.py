"""Pictures of the paper: people drawn by code, and what the shipped generators make of them.

    python docs/report/sheets.py

Writes docs/report/images/, and beside them of which generators they are; `make report` does it
again only where those have changed. Nobody's face is in them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from facesketch import Translator
from facesketch.data import augment
from facesketch.images import Float32Array, encode
from facesketch.weights_info import SHIPPED_WEIGHTS

HERE = Path(__file__).parent
FOLDER = HERE / "images"
MADE_OF = FOLDER / "made_of.json"
TILE, GAP = 256, 6
SMILES = (-10.0, 0.0, 10.0, 20.0)
"""Pixels of 512 by which the corners of the drawn mouth rise."""

Change = Callable[[Float32Array, np.random.Generator], Float32Array]

HANDS: dict[str, Change] = {
    "as drawn": lambda ink, _: ink,
    "thinner": lambda ink, rng: augment.stroke_width(ink, -0.8, rng),
    "thicker": lambda ink, rng: augment.stroke_width(ink, 1.6, rng),
    "tablet": lambda ink, _: augment.harden(ink, 0.2),
    "run dry": augment.missing_lines,
    "faint": lambda ink, _: augment.tone(ink, 1.0, 0.45),
    "on paper": lambda ink, rng: 1 - augment.paper((TILE, TILE), rng) * (1 - ink),
}


def make() -> None:
    """Make the sheets, unless they are of these very generators."""
    wanted = fingerprint()
    if MADE_OF.exists() and json.loads(MADE_OF.read_text(encoding="utf-8")) == wanted:
        return
    sys.path.append(str(HERE.parents[1] / "recipes"))
    from sample_drawing import draw  # noqa: PLC0415
    from sample_people import MAN, WOMAN  # noqa: PLC0415

    translator = Translator()
    drawn = [draw(person).resize((TILE, TILE), Image.Resampling.LANCZOS) for person in (WOMAN, MAN)]
    smiling = [
        draw(replace(WOMAN, smile=smile)).resize((TILE, TILE), Image.Resampling.LANCZOS)
        for smile in SMILES
    ]
    FOLDER.mkdir(exist_ok=True)
    _save("round_trips", [_round_trip(translator, drawing) for drawing in drawn])
    photo = translator.to_photo(drawn[0])
    styles = [translator.in_style(style).to_sketch(photo) for style in translator.styles]
    _save("styles", [[photo, *styles]])
    _save("smiles", [smiling, [translator.to_photo(drawing) for drawing in smiling]])
    hands = [_redraw(drawn[0], change) for change in HANDS.values()]
    _save("hands", [hands, [translator.to_photo(drawing) for drawing in hands]])
    MADE_OF.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def fingerprint() -> dict[str, str]:
    """SHA-256 of the shipped generators."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(SHIPPED_WEIGHTS.glob("*.onnx"))
    }


def _round_trip(translator: Translator, drawing: Image.Image) -> list[Image.Image]:
    photo = translator.to_photo(drawing)
    again = translator.to_sketch(photo)
    return [drawing, photo, again, translator.to_photo(again)]


def _redraw(drawing: Image.Image, change: Change) -> Image.Image:
    ink: Float32Array = 1 - np.asarray(drawing, dtype=np.float32)[..., None] / np.float32(255)
    changed = np.clip(change(ink, np.random.default_rng(1)), 0, 1)
    return Image.fromarray(np.rint(255 * (1 - changed[..., 0])).astype(np.uint8))


def _save(name: str, rows: Sequence[Sequence[Image.Image]]) -> None:
    """Lay out rows of pictures as one JPEG, which says that its photos are generated."""
    width, height = (count * (TILE + GAP) - GAP for count in (len(rows[0]), len(rows)))
    sheet = Image.new("RGB", (width, height), "white")
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            sheet.paste(tile.convert("RGB"), (x * (TILE + GAP), y * (TILE + GAP)))
    picture = encode(sheet, "JPEG", quality=85, generated_photo=True)
    (FOLDER / f"{name}.jpg").write_bytes(picture)


if __name__ == "__main__":
    make()
