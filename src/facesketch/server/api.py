"""The HTTP API: one function an endpoint. Fields are in options.py, errors in problems.py."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MIMEAccept

from facesketch.server import answers, openapi
from facesketch.server.engine import Conversion, EncodedPicture
from facesketch.server.options import MAX_BATCH, MEDIA_TYPES, ConvertOptions, Format, LegacyOptions
from facesketch.server.problems import ProblemError, to_problem
from facesketch.server.services import services
from facesketch.weights_info import Direction

JSON = "application/json"
NO_FIELD = "not a field of this request"

LEGACY_DIRECTIONS: dict[str, Direction] = {
    "face_to_sketch": "photo2sketch",
    "sketch_to_face": "sketch2photo",
}

blueprint = Blueprint("api", __name__)
Model = TypeVar("Model", bound=BaseModel)


@blueprint.post("/api/v1/convert")
def convert() -> Response:
    """Convert one picture; answer it as a picture or as JSON, as the client accepts."""
    options, files = _read_options("image")
    accepted = _accepted([*MEDIA_TYPES, JSON], is_picture_fine=options.format is not None)
    if accepted != JSON and options.align == "portrait" and options.faces == "all":
        field = {"faces": "all portraits do not fit into one picture"}
        raise ProblemError(422, f"Ask for {JSON} with Accept to get several.", fields=field)
    with _converted(files, options, MEDIA_TYPES.get(accepted, "png")) as (conversion,):
        if isinstance(conversion, ProblemError):
            raise conversion
        if accepted == JSON:
            return jsonify(_answer(conversion))
        return _picture_response(conversion)


@blueprint.post("/api/v1/batch")
def batch() -> Response:
    """Convert several pictures; answer as JSON, each with its result or its problem."""
    options, files = _read_options("images")
    _accepted([JSON])
    with _converted(files, options, "png") as conversions:
        return jsonify(
            results=[
                item.body if isinstance(item, ProblemError) else _answer(item)
                for item in conversions
            ]
        )


@blueprint.post("/convert")
def legacy_convert() -> Response:
    """Convert one picture as the project's first users ask for it; answer a PNG."""
    legacy, files = _read(LegacyOptions, "image")
    direction = LEGACY_DIRECTIONS[legacy.conversion_type]
    with _converted(files, ConvertOptions(direction=direction), "png") as (conversion,):
        if isinstance(conversion, ProblemError):
            raise conversion
        return _picture_response(conversion)


@blueprint.get("/api/v1/models")
def models() -> Response:
    """Say which generators there are, and what they learned from."""
    engine = services().engine
    shipped = answers.ModelInfo(
        name=engine.model_name,
        version=engine.model_version,
        is_default=True,
        styles=list(engine.styles),
        directions=engine.info,
    )
    return jsonify(answers.Models(models=[shipped]).model_dump(mode="json"))


@blueprint.get("/api/openapi.json")
def openapi_document() -> Response:
    """Describe the API."""
    parts = services()
    here = {"servers": [{"url": request.root_path or "/"}]}
    return jsonify(openapi.document(parts.config, parts.engine.styles) | here)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Answer what was counted, for Prometheus."""
    return services().metrics.exposition()


def _read_options(file_field: str) -> tuple[ConvertOptions, list[bytes]]:
    """Read a form, its style checked against the weights that are served."""
    options, files = _read(ConvertOptions, file_field)
    styles = services().engine.styles
    problem = ""
    if options.style is not None and not styles:
        problem = "the weights of this server have one style, without a name"
    elif options.style is not None and options.style not in styles:
        problem = f"{options.style} is not there; choose one of {', '.join(styles)}"
    elif options.style and options.direction == "sketch2photo" and not options.round_trip:
        problem = "drawings have a style, photos none; leave it away"
    if problem:
        detail = f"The request has a mistake: style: {problem}."
        raise ProblemError(422, detail, fields={"style": problem})
    return options, files


def _read(model: type[Model], file_field: str) -> tuple[Model, list[bytes]]:
    """Read and check a multipart form: the fields of `model`, and the files of one field."""
    if request.mimetype != "multipart/form-data":
        raise ProblemError(415, "Send the picture as multipart/form-data.")
    if not request.form and not request.files:
        raise ProblemError(422, "The form cannot be read, or is empty; check its boundary.")
    problems = {
        name: "sent more than once" for name, values in request.form.lists() if len(values) > 1
    }
    files = request.files.getlist(file_field)
    problems |= {name: NO_FIELD for name in request.files if name != file_field}
    most = MAX_BATCH if file_field == "images" else 1
    if not files:
        problems[file_field] = "missing; send a picture file in it"
    elif len(files) > most:
        problems[file_field] = f"{len(files)} files, at most {most} at a time"
    try:
        options = model.model_validate(request.form.to_dict())
    except ValidationError as error:
        for item in error.errors():
            known = item["type"] != "extra_forbidden"
            text = str(item["msg"]).replace("Input should", "should") if known else NO_FIELD
            problems.setdefault(str(item["loc"][0]), text)
    if problems:
        text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise ProblemError(422, f"The request has a mistake: {text}.", fields=problems)
    return options, [file.read() for file in files]


def _accepted(offered: list[str], *, is_picture_fine: bool = False) -> str:
    """Choose the media type of the answer by the Accept header, whatever parameters it has."""
    wanted = MIMEAccept(
        [(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes]
    )
    best = wanted.best_match(offered) if wanted else offered[0]
    if best is None and is_picture_fine:
        return offered[0]
    if best is None:
        raise ProblemError(406, f"Accept one of {', '.join(offered)}.")
    return str(best)


@contextmanager
def _converted(
    files: list[bytes], options: ConvertOptions, default_format: Format
) -> Iterator[list[Conversion | ProblemError]]:
    """Convert pictures; their turn lasts as long as the answer is made of them, inside."""
    parts = services()
    is_gone = gone_check(request.environ)
    count = partial(parts.gate.count_pictures, len(files))
    with parts.engine.converted(files, options, is_gone, count, default_format) as conversions:
        results: list[Conversion | ProblemError] = []
        for item in conversions:
            if isinstance(item, Conversion):
                parts.metrics.count_conversion(item, options.align)
                results.append(item)
            else:
                results.append(to_problem(item))
        yield results


def gone_check(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return what tells, from any thread, whether a request's client has closed its connection."""
    if "waitress.client_disconnected" in environ:
        is_disconnected: Callable[[], bool] = environ["waitress.client_disconnected"]
        return is_disconnected
    connection = environ.get("gunicorn.socket")
    if connection is None or not hasattr(socket, "MSG_DONTWAIT"):
        return lambda: False

    def is_closed() -> bool:
        try:  # the plain socket's method: that of a TLS one takes no flags
            return socket.socket.recv(connection, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    return is_closed


def _picture_response(conversion: Conversion) -> Response:
    """Answer the result as a file, what else is known in headers."""
    picture = (conversion.round_trips or conversion.pictures)[0]
    response = Response(picture.data, content_type=picture.media_type)
    response.headers["Facesketch-Model"] = services().engine.model_version
    response.headers["Facesketch-Direction"] = conversion.direction
    if conversion.style is not None:
        response.headers["Facesketch-Style"] = conversion.style
    response.headers["Facesketch-Milliseconds"] = f"{conversion.milliseconds:.1f}"
    response.headers["Facesketch-Alignment"] = conversion.framed.framing
    response.headers["Facesketch-Faces"] = str(len(conversion.framed.faces))
    if conversion.guess is not None:
        response.headers["Facesketch-Probability"] = f"{conversion.guess.probability:.4f}"
    response.vary.add("Accept")
    return response


def _picture(picture: EncodedPicture) -> answers.Picture:
    data = base64.b64encode(picture.data).decode("ascii")
    return answers.Picture(
        media_type=picture.media_type, width=picture.width, height=picture.height, data=data
    )


def _answer(conversion: Conversion) -> dict[str, Any]:
    """Return all that is known of a conversion, its pictures in base64."""
    engine = services().engine
    guess = conversion.guess
    back = [_picture(item) for item in conversion.round_trips]
    return answers.Conversion(
        direction=conversion.direction,
        detected=None
        if guess is None
        else answers.Detected(
            domain=guess.domain, probability=round(guess.probability, 4), is_sure=guess.is_sure
        ),
        model=answers.Model(name=engine.model_name, version=engine.model_version),
        style=conversion.style,
        milliseconds=round(conversion.milliseconds, 1),
        alignment=conversion.framed.framing,
        faces=[
            answers.FoundFace(box=face.box, score=face.score) for face in conversion.framed.faces
        ],
        note=conversion.framed.note,
        images=[
            answers.Result(**_picture(picture).model_dump(), round_trip=returned)
            for picture, returned in zip_longest(conversion.pictures, back)
        ],
    ).model_dump(mode="json")
