"""The OpenAPI document, made from the models in options.py and answers.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

import facesketch
from facesketch.server.answers import schemas
from facesketch.server.config import ServerConfig
from facesketch.server.options import (
    MAX_ANSWER_PIXELS,
    MAX_BATCH,
    MEDIA_TYPES,
    ConvertOptions,
    LegacyOptions,
)

PROBLEMS = {
    400: "The request cannot be read.",
    401: "A key is needed.",
    403: "The server is closed to other machines, or the request comes from another site's page.",
    406: "No media type that the client accepts is there.",
    413: "The request has too many bytes, or the picture too many pixels.",
    415: "The file is no picture of a kind that is read, or the request is no multipart form.",
    422: "A field is missing, unknown or has a bad value, the picture is broken, or the results "
    "would have too many pixels.",
    429: "The client has converted too many pictures in the last minute, or sent too many wrong "
    "keys.",
    500: "The server failed; its log says why.",
    503: "The queue is full, clients leave too many results untaken, or the server is stopping.",
    504: "Waiting and converting took too long.",
}
"""What a conversion may be answered instead of a result."""

HEADERS = {
    "Facesketch-Model": ("string", "Version of the generators."),
    "Facesketch-Direction": ("string", "Which way the picture was converted."),
    "Facesketch-Style": ("string", "How the drawing was drawn, where that has a name."),
    "Facesketch-Alignment": ("string", "What was done: none, portrait or whole."),
    "Facesketch-Faces": ("integer", "How many faces were found."),
    "Facesketch-Milliseconds": ("number", "Time that the conversion took, without the queue."),
    "Facesketch-Probability": ("number", "How sure the direction is, where it was detected."),
}
"""What a picture answered is accompanied by."""


STYLE_OF_A_PHOTO = {
    "required": ["style", "direction"],
    "properties": {"direction": {"const": "sketch2photo"}, "round_trip": {"const": False}},
}
"""A form that asks for the style of a drawing where none is made."""


def document(config: ServerConfig, styles: Sequence[str]) -> dict[str, Any]:
    """Describe the API of a server with these settings, and weights of these styles (OpenAPI 3.1).

    Args:
        config: The server's settings.
        styles: Names, the default first; none where the one style has none.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "facesketch",
            "version": facesketch.__version__,
            "summary": "Face photos to sketches, and sketches to face photos.",
            "description": "Pictures are converted in memory and never stored. Errors are RFC 9457 "
            "problem documents whose detail is a sentence.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "paths": _conversions(config, styles) | _readings(),
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Asked of clients on other machines.",
                }
            },
            "schemas": schemas(),
        },
    }


def _conversions(config: ServerConfig, styles: Sequence[str]) -> dict[str, Any]:
    results = f"All results of a request have at most {MAX_ANSWER_PIXELS:,} pixels together."
    limits = (
        f"At most {config.max_upload_mb:g} MB and {config.max_megapixels:g} megapixels a picture. "
        f"{results}"
    )
    pictures = {kind: {"schema": _file("The result.")} for kind in MEDIA_TYPES}
    result = {"description": "The result.", "content": pictures | _json("Conversion")}
    result["headers"] = _headers()
    return {
        "/api/v1/convert": {
            "post": {
                "operationId": "convert",
                "summary": "Convert one picture",
                "description": "Answers a picture, or JSON with all that is known of it, as Accept "
                f"says. {limits}",
                "requestBody": _form(ConvertOptions, styles, image=_file("The picture.")),
                "responses": {"200": result} | _problems(*PROBLEMS),
            }
        },
        "/api/v1/batch": {
            "post": {
                "operationId": "batch",
                "summary": "Convert several pictures",
                "description": f"Up to {MAX_BATCH} pictures in one request of at most "
                f"{config.max_upload_mb:g} MB; one that fails does not stop the others. {results}",
                "requestBody": _form(
                    ConvertOptions,
                    styles,
                    images={
                        "type": "array",
                        "items": _file("A picture."),
                        "minItems": 1,
                        "maxItems": MAX_BATCH,
                    },
                ),
                "responses": {
                    "200": {
                        "description": "For each picture its conversion or its problem, in order.",
                        "content": _json("Batch"),
                    }
                }
                | _problems(*PROBLEMS),
            }
        },
        "/convert": {
            "post": {
                "operationId": "legacyConvert",
                "summary": "Convert one picture to PNG, the first way this could be asked for",
                "deprecated": True,
                "requestBody": _form(LegacyOptions, (), image=_file("The picture.")),
                "responses": {
                    "200": {
                        "description": "The result.",
                        "content": {"image/png": {"schema": _file("The result.")}},
                        "headers": _headers(),
                    }
                }
                | _problems(*(status for status in PROBLEMS if status != 406)),
            }
        },
    }


def _readings() -> dict[str, Any]:
    """What is only read."""
    alive = {
        "type": "object",
        "properties": {"status": {"type": "string"}},
        "required": ["status"],
    }
    anything = {"type": "object"}
    return {
        "/api/v1/models": _get(
            "models", "Which generators there are", _json("Models"), 401, 403, 429
        ),
        "/api/openapi.json": _get(
            "openapi", "This document", {"application/json": {"schema": anything}}
        ),
        "/healthz": _get(
            "alive", "Whether the process answers", {"application/json": {"schema": alive}}
        ),
        "/readyz": _get(
            "ready",
            "Whether requests may be sent: weights loaded, one conversion done, not stopping",
            {"application/json": {"schema": alive}},
            503,
        ),
        "/metrics": _get(
            "metrics",
            "Counters for Prometheus",
            {"text/plain": {"schema": {"type": "string"}}},
            401,
            403,
            429,
        ),
    }


def _get(operation: str, summary: str, content: dict[str, Any], *problems: int) -> dict[str, Any]:
    responses = {"200": {"description": "The answer.", "content": content}}
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "responses": responses | _problems(*problems, 500),
        }
    }


def _form(
    options: type[BaseModel], styles: Sequence[str], **files: dict[str, Any]
) -> dict[str, Any]:
    """Describe a multipart form: files, then a model's fields, a style only if there are some."""
    schema = options.model_json_schema()
    fields = {name: _field(field) for name, field in schema["properties"].items()}
    refused = {}
    if styles:
        refused = {"not": STYLE_OF_A_PHOTO}
        kind = {"type": "string", "enum": list(styles), "default": styles[0]}
        fields["style"] = kind | {"description": fields["style"]["description"]}
    else:
        fields.pop("style", None)
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": files | fields,
                    "required": [*files, *schema.get("required", [])],
                    "additionalProperties": False,
                }
                | refused
            }
        },
    }


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a form field: it is left away where the model says null, and needs no title."""
    kind: dict[str, Any] = schema.get("anyOf", [{}])[0]
    return kind | {
        key: value
        for key, value in schema.items()
        if key not in ("anyOf", "title") and value is not None
    }


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "binary", "description": description}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _headers() -> dict[str, Any]:
    return {
        name: {"description": description, "schema": {"type": kind}}
        for name, (kind, description) in HEADERS.items()
    }


def _problems(*statuses: int) -> dict[str, Any]:
    content = {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
    }
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        str(status): {"description": PROBLEMS[status], "content": content}
        | ({"headers": retry} if status in (429, 503, 504) else {})
        for status in statuses
    }
