"""What an exported generator says about itself: written by export.py, read by translator.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facesketch.errors import WeightsError

Direction = Literal["photo2sketch", "sketch2photo"]
DIRECTIONS: tuple[Direction, Direction] = ("photo2sketch", "sketch2photo")

DIRECTION_FROM: dict[str, Direction] = {"photo": "photo2sketch", "sketch": "sketch2photo"}
"""Which way a picture of a domain goes."""

OPPOSITE: dict[Direction, Direction] = {
    "photo2sketch": "sketch2photo",
    "sketch2photo": "photo2sketch",
}
"""The way back."""

STYLE_NAME = "[a-z0-9_]{1,40}"
"""What a style may be called: it is part of file names and addresses."""

StyleName = Annotated[str, Field(pattern=f"^{STYLE_NAME}$")]
"""Name of a style of drawings: a part of file names."""

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "generators"
"""Folder of the generators that come with the package."""

METADATA_KEY = "facesketch"
"""Key in the ONNX file's metadata_props under which the JSON stands."""

INPUT_NAME, OUTPUT_NAME = "image", "translated"
"""Names of the ONNX graph's input (B, C, H, W) and output (B, C, H, W), float32, [-1, 1]."""


def file_name(direction: Direction, style: str = "") -> str:
    """Name a generator's file: photo2sketch.onnx, or photo2sketch-edge.onnx for a style."""
    return f"{direction}-{style}.onnx" if style else f"{direction}.onnx"


def int8_path(path: Path) -> Path:
    """Name the int8 variant of a generator's file: X.onnx has X.int8.onnx beside it."""
    return path.with_name(f"{path.stem}.int8.onnx")


class WeightsInfo(BaseModel):
    """Metadata of one exported generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    direction: Direction
    architecture: str = Field(description="Generator name, for instance compact or resnet9.")
    image_size: int = Field(
        gt=0, le=4096, description="Training resolution in px; strokes fit this size."
    )
    input_channels: Literal[1, 3]
    output_channels: Literal[1, 3]
    size_multiple: int = Field(
        gt=0, le=256, description="Height and width must be multiples of this."
    )
    normalisation: Literal["x / 127.5 - 1"] = "x / 127.5 - 1"
    style: StyleName | Literal[""] = Field(
        default="", description="Style of the drawings that it makes, if that has a name."
    )
    styles: tuple[StyleName, ...] = Field(
        default=(), description="All styles that were learned with it, the default first."
    )
    clean_paper: float = Field(
        default=0, ge=0, le=0.5, description="Share of black below which ink becomes paper in it."
    )
    training_data: str = Field(description="What it learned from.")
    step: int = Field(ge=0, description="Training steps.")
    licence: str = Field(description="Licence of the weights.")

    @model_validator(mode="after")
    def _check_style(self) -> Self:
        if self.style and (self.direction != "photo2sketch" or self.style not in self.styles):
            raise ValueError("style is one of styles, and of a photo2sketch")
        return self

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], name: str) -> WeightsInfo:
        """Read the metadata of an ONNX file.

        Args:
            metadata: The file's metadata_props.
            name: File name for the error.

        Raises:
            WeightsError: If the file was not written by `facesketch export`.
        """
        try:
            return cls.model_validate_json(metadata[METADATA_KEY])
        except (KeyError, ValidationError) as error:
            raise WeightsError(
                f"{name} was not written by this version of `facesketch export`; export it again."
            ) from error
