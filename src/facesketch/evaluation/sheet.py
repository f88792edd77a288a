"""The picture sheets: the same pictures for every set of generators, none of them picked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from facesketch.evaluation.pictures import pencil
from facesketch.images import Domain
from facesketch.weights_info import DIRECTION_FROM, OPPOSITE

if TYPE_CHECKING:
    from facesketch.evaluation.evaluate import Evaluation

NUM_ROWS = 8
THUMBNAIL = 192  # px
GAP, HEADING = 6, 26  # px


@dataclass(frozen=True)
class Sheet:
    """Pictures in rows, one heading a column."""

    title: str
    headings: list[str]
    rows: list[list[Image.Image]]


def make_sheets(evaluation: Evaluation) -> list[Sheet]:
    """Translate pictures that lie evenly in the listing, both ways and back."""
    return [_make(evaluation, "photo"), _make(evaluation, "sketch")]


def _make(evaluation: Evaluation, start: Domain) -> Sheet:
    pictures = evaluation.pictures
    paths = pictures.paths(start)
    num_rows = min(NUM_ROWS, len(paths))
    chosen = [paths[index * len(paths) // num_rows] for index in range(num_rows)]
    reals = [pictures.read(path, start) for path in chosen]
    there = DIRECTION_FROM[start]
    back = OPPOSITE[there]
    columns: list[tuple[str, list[Image.Image]]] = [(start, reals)]
    for name, translator in evaluation.translators.items():
        fakes = translator.translate(reals, there)
        columns += [(name, fakes), (f"{name}, and back", translator.translate(fakes, back))]
    if start == "photo":
        columns.append(("pencil filter", [pencil(photo) for photo in reals]))
    rows = [[column[index] for _, column in columns] for index in range(num_rows)]
    title = "Photos" if start == "photo" else "Sketches"
    return Sheet(title, [heading for heading, _ in columns], rows)


def draw_sheets(sheets: list[Sheet]) -> Image.Image:
    """Lay the sheets out under one another, RGB."""
    cell = THUMBNAIL + GAP
    width = max(len(sheet.headings) for sheet in sheets) * cell + GAP
    height = sum(HEADING + len(sheet.rows) * cell for sheet in sheets) + GAP
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    top = 0
    for sheet in sheets:
        for column, heading in enumerate(sheet.headings):
            draw.text((GAP + column * cell, top + 6), _fitted(heading, font), "black", font)
        top += HEADING
        for row in sheet.rows:
            for column, picture in enumerate(row):
                canvas.paste(thumbnail(picture), (GAP + column * cell, top))
            top += cell
    return canvas


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut a heading to the width of a picture."""
    if font.getlength(text) <= THUMBNAIL:
        return text
    while text and font.getlength(text + "…") > THUMBNAIL:
        text = text[:-1]
    return text + "…"


def thumbnail(picture: Image.Image) -> Image.Image:
    """Return a picture of the sheet's size, RGB."""
    size = (THUMBNAIL, THUMBNAIL)
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
