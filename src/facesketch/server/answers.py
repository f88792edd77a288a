"""What the API answers in JSON: checked against these models, documented from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from facesketch.weights_info import Direction, WeightsInfo


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(Answer):
    """A picture."""

    media_type: str = Field(description="For instance image/png.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    data: str = Field(description="The file in base64.", json_schema_extra={"format": "byte"})


class Result(Picture):
    """A result, and what it becomes on the way back where that was asked for."""

    round_trip: Picture | None


class Detected(Answer):
    """What the picture was taken for."""

    domain: Literal["photo", "sketch"]
    probability: float = Field(ge=0.5, le=1)
    is_sure: bool = Field(description="Whether the guess can be relied on without asking.")


class FoundFace(Answer):
    """A face that was found."""

    box: tuple[float, float, float, float] = Field(
        description="Left, top, width and height in px of the picture."
    )
    score: float = Field(ge=0, le=1)


class Model(Answer):
    """The generators that converted."""

    name: str
    version: str


class Conversion(Answer):
    """What became of one picture."""

    direction: Direction
    detected: Detected | None = Field(description="Null where the request said the direction.")
    model: Model
    style: str | None = Field(
        description="How the drawing was drawn; null where none was made or the style has no name."
    )
    milliseconds: float = Field(description="Time of the conversion, without the queue.")
    alignment: Literal["none", "portrait", "whole"] = Field(
        description="What was done; none where no face was found."
    )
    faces: list[FoundFace] = Field(description="Faces that were found, largest first.")
    note: str | None = Field(description="A sentence for the person, where there is one to say.")
    images: list[Result] = Field(description="One result, or one for each face.", min_length=1)


class ModelInfo(Model):
    """Generators that can be asked for."""

    is_default: bool
    styles: list[str] = Field(
        description="Styles of drawings, the default first; empty where the one has no name."
    )
    directions: dict[Direction, WeightsInfo] = Field(
        description="What is known of each generator; of several styles that of the default."
    )


class Models(Answer):
    """All generators of this server."""

    models: list[ModelInfo]


class FieldProblem(Answer):
    """What is wrong with one field."""

    field: str
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence for the person or the developer.")
    errors: list[FieldProblem] = Field(default=[], description="What is wrong with single fields.")


class Batch(Answer):
    """What became of several pictures, in their order."""

    results: list[Conversion | Problem]


def schemas() -> dict[str, Any]:
    """Return the JSON schemas of all answers by name, as OpenAPI refers to them."""
    _, schema = models_json_schema(
        [(model, "serialization") for model in (Conversion, Batch, Models, Problem)],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
