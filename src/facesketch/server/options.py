"""What a request may ask for, by field: checked here, documented from here (openapi.py)."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from facesketch.weights_info import StyleName

MAX_SIZE = 2048
"""Largest shorter side of a result that may be asked for, px."""

MAX_RESULT_PIXELS = 4096 * 4096
"""Most pixels of a result."""

MAX_ANSWER_PIXELS = 4 * MAX_RESULT_PIXELS
"""Most pixels of all results of a request, there and back."""

MAX_BATCH = 16
"""Largest number of pictures in one batch request."""

Format = Literal["png", "jpeg", "webp"]

MEDIA_TYPES: dict[str, Format] = {f"image/{name}": name for name in get_args(Format)}
"""Media types that pictures are answered in, and their `format`."""


def _digits(value: object) -> object:
    is_number = not isinstance(value, str) or (value.isascii() and value.isdigit())
    return value if is_number else "no number"


Switch = Annotated[
    bool, Strict(), BeforeValidator(lambda value: {"true": True, "false": False}.get(value, value))
]
"""A field of a form that is "true" or "false", and nothing that merely looks like it."""

Digits = Annotated[int, Field(ge=16, le=MAX_SIZE), BeforeValidator(_digits)]
"""A field of a form that is a number and nothing else: no sign, no space, no point."""


class ConvertOptions(BaseModel):
    """How to convert a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: Literal["auto", "photo2sketch", "sketch2photo"] = Field(
        default="auto", description="Which way; auto tells photos from sketches by itself."
    )
    style: StyleName | None = Field(
        default=None,
        description="How a drawing is drawn, where one is made; drawings of all styles become "
        "photos.",
    )
    align: Literal["auto", "none", "portrait", "whole"] = Field(
        default="auto",
        description="portrait finds the face and converts it in the framing that the generators "
        "learned; whole converts the whole picture at the face's right scale; none converts the "
        "picture as it is; auto does so too where the largest face is framed as the generators "
        "learned it or there is no face, and otherwise as whole.",
    )
    faces: Literal["largest", "all"] = Field(
        default="largest", description="Which faces to align; all portraits come as JSON only."
    )
    round_trip: Switch = Field(
        default=False,
        description="Convert the result back as well; where the answer is a picture, it is what "
        "came back, and JSON has both.",
    )
    size: Digits | None = Field(
        default=None,
        description="Shorter side of the result in px; that of the picture if not given, at most "
        f"{MAX_SIZE}.",
    )
    format: Format | None = Field(
        default=None, description="File type of the pictures in the answer; wins over Accept."
    )


class LegacyOptions(BaseModel):
    """What the project's first users send to /convert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conversion_type: Literal["face_to_sketch", "sketch_to_face"] = Field(
        description="Which way to convert."
    )
