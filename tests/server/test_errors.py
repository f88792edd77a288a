"""Every mistake and every hostile file gets its status and a sentence, never a traceback."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from facesketch.server.engine import SPARE_TURNS
from facesketch.server.options import ConvertOptions
from facesketch.server.turnstile import ClientGoneError
from server_helpers import encoded, form
from soak.hostile import block_bomb, exif_bomb, scan_bomb, text_bomb

CONVERT, BATCH = "/api/v1/convert", "/api/v1/batch"


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Check that an answer is a problem with a sentence, and return it."""
    assert answer.status_code == status, answer.data
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = answer.get_json(force=True)
    assert body["status"] == status
    assert body["title"]
    assert body["detail"].endswith(".")
    assert "Traceback" not in body["detail"]
    return body


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Write a PNG that says it has a size, whatever it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


JPEG, WEBP, GIF = (encoded(image_format=kind) for kind in ("JPEG", "WEBP", "GIF"))

HEIC = find_spec("pillow_heif") is not None

HOSTILE = {
    "nothing": (b"", 415),
    "text": (b"hello, I am no picture", 415),
    "HTML": (b"<!doctype html><script>alert(1)</script>", 415),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 415),
    "PDF": (b"%PDF-1.7\n1 0 obj", 415),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
    "ZIP": (b"PK\x03\x04" + bytes(60), 415),
    "TIFF": (encoded(image_format="TIFF"), 415),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), 415),
    "text that begins like a BMP": (b"BMW is a maker of cars and not a picture.", 415),
    "truncated HEIC": (b"\0\0\0\x18ftypheic" + bytes(40), 422 if HEIC else 415),
    "a side too long": (png(40_000, 1, zlib.compress(bytes(120_001))), 413),
    "only a JPEG signature": (b"\xff\xd8\xff", 422),
    "only a PNG signature": (b"\x89PNG\r\n\x1a\n", 422),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], 422),
    "JPEG of scans without end": (scan_bomb(1_000, 10_000), 422),
    "JPEG of very many parts": (exif_bomb(20_000), 422),
    "PNG of text": (text_bomb(1_000_000), 422),
    "GIF of comments": (block_bomb(100_000), 422),
    "truncated WebP": (WEBP[: len(WEBP) // 2], 422),
    "truncated GIF": (GIF[:40], 422),
    "PNG without its pixels": (png(64, 64), 422),
    "PNG with a bad checksum": (png(64, 64).replace(b"IHDR", b"IHDX"), 422),
    "PNG bomb": (png(50_000, 50_000, zlib.compress(bytes(1_000_000))), 413),
    "more pixels than allowed": (png(10_000, 8_000), 413),
    "PNG of size zero": (png(0, 64), 422),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_a_sentence(client: FlaskClient, name: str) -> None:
    data, status = HOSTILE[name]
    problem(client.post(CONVERT, **form(data)), status)
    problem(client.post("/convert", **form(data, conversion_type="face_to_sketch")), status)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"direction": "upwards"}, "direction"),
        ({"direction": ""}, "direction"),
        ({"format": "tiff"}, "format"),
        ({"align": "face"}, "align"),
        ({"faces": "none"}, "faces"),
        ({"size": "0"}, "size"),
        ({"size": "99999"}, "size"),
        ({"size": "large"}, "size"),
        ({"size": "+256"}, "size"),
        ({"size": " 256 "}, "size"),
        ({"size": "1_000"}, "size"),
        ({"round_trip": "perhaps"}, "round_trip"),
        ({"path": "/etc/passwd"}, "path"),
    ],
)
def test_wrong_fields_are_named(client: FlaskClient, fields: dict[str, str], wrong: str) -> None:
    body = problem(client.post(CONVERT, **form(encoded(), **fields)), 422)
    assert [error["field"] for error in body["errors"]] == [wrong]
    assert wrong in body["detail"]


def test_every_wrong_field_is_named_at_once(client: FlaskClient) -> None:
    answer = client.post(CONVERT, data={"size": "x", "direction": "y"}, **multipart())
    assert {error["field"] for error in problem(answer, 422)["errors"]} == {
        "image",
        "size",
        "direction",
    }


def multipart() -> dict[str, str]:
    return {"content_type": "multipart/form-data"}


def test_a_missing_picture_is_named(client: FlaskClient) -> None:
    for path in (CONVERT, "/convert"):
        answer = client.post(path, data={"conversion_type": "face_to_sketch"}, **multipart())
        assert "image" in problem(answer, 422)["detail"]


def test_a_picture_as_text_is_missing_as_a_file(client: FlaskClient) -> None:
    body = problem(client.post(CONVERT, data={"image": "me.jpg"}, **multipart()), 422)
    assert body["errors"][0]["field"] == "image"


def test_a_missing_or_unknown_conversion_type_is_refused(client: FlaskClient) -> None:
    problem(client.post("/convert", **form(encoded())), 422)
    body = problem(client.post("/convert", **form(encoded(), conversion_type="face")), 422)
    assert "face_to_sketch" in body["detail"]


def test_a_field_sent_twice_is_refused(client: FlaskClient) -> None:
    data = {"image": (io.BytesIO(encoded()), "a.png"), "size": ["64", "128"]}
    problem(client.post(CONVERT, data=data, **multipart()), 422)


def test_two_pictures_where_one_is_asked_for_are_refused(client: FlaskClient) -> None:
    data = {"image": [(io.BytesIO(encoded()), "a.png"), (io.BytesIO(encoded()), "b.png")]}
    problem(client.post(CONVERT, data=data, **multipart()), 422)


def test_too_many_pictures_in_a_batch_are_refused(client: FlaskClient) -> None:
    data = {"images": [(io.BytesIO(encoded()), "a.png") for _ in range(17)]}
    assert "at most 16" in problem(client.post(BATCH, data=data, **multipart()), 422)["detail"]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xd8\xff"])
@pytest.mark.parametrize("kind", ["application/json", "image/jpeg", "text/plain", ""])
def test_a_body_that_is_no_form_is_refused(client: FlaskClient, body: bytes, kind: str) -> None:
    problem(client.post(CONVERT, data=body, content_type=kind), 415)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b"--b\r\n\r\n\r\n--b--",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf',
        b"\x00" * 100,
    ],
)
def test_a_broken_form_is_refused(client: FlaskClient, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data"):
        answer = client.post(CONVERT, data=body, content_type=kind)
        problem(answer, 422)


def test_a_request_that_is_too_large_is_refused(make_app: Callable[..., Flask]) -> None:
    client = make_app(max_upload_mb=0.1).test_client()
    for path in (CONVERT, BATCH, "/convert"):
        assert "0.1 MB" in problem(client.post(path, **form(bytes(200_000))), 413)["detail"]


def test_a_client_that_takes_no_type_that_there_is_is_told_so(client: FlaskClient) -> None:
    problem(client.post(CONVERT, headers={"Accept": "text/html"}, **form(encoded())), 406)
    problem(
        client.post(BATCH, headers={"Accept": "image/png"}, **form(encoded(), field="images")), 406
    )


def test_parameters_of_media_types_do_not_matter(client: FlaskClient) -> None:
    accept = {"Accept": "application/json; charset=utf-8"}
    assert client.post(CONVERT, headers=accept, **form(encoded())).is_json
    webp = client.post(CONVERT, headers={"Accept": "text/html"}, **form(encoded(), format="webp"))
    assert webp.content_type == "image/webp", "format wins over Accept"


@pytest.mark.parametrize("align", ["none", "portrait", "whole"])
@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (3, 700), (2000, 90)])
def test_odd_shapes_come_back_in_their_shape(
    client: FlaskClient, size: tuple[int, int], align: str
) -> None:
    answer = client.post(CONVERT, **form(encoded(size), align=align, direction="photo2sketch"))
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.data)).size == size


def test_a_result_that_would_be_too_large_is_refused(client: FlaskClient) -> None:
    answer = client.post(CONVERT, **form(encoded((4000, 100), "JPEG"), size="800"))
    assert "smaller size" in problem(answer, 422)["detail"]


def test_results_that_would_be_too_large_together_are_refused(client: FlaskClient) -> None:
    strip = encoded((1600, 100), "JPEG")
    data = {
        "images": [(io.BytesIO(strip), "a.jpg") for _ in range(3)],
        "size": "1000",
        "round_trip": "true",
        "direction": "sketch2photo",
        "format": "jpeg",
    }
    *made, last = client.post(BATCH, data=data, **multipart()).get_json()["results"]
    assert [result["images"][0]["width"] for result in made] == [16_000] * 2
    assert last["status"] == 422
    assert "fewer pictures" in last["detail"]


def test_a_portrait_without_a_face_has_the_limits_of_other_pictures(client: FlaskClient) -> None:
    asked = {"align": "portrait", "direction": "photo2sketch", "format": "jpeg"}
    answer = client.post(CONVERT, **form(encoded((2500, 2100), "JPEG"), **asked))
    assert Image.open(io.BytesIO(answer.data)).size == (2438, 2048)
    answer = client.post(CONVERT, **form(encoded((4000, 100), "JPEG"), **asked, size="1000"))
    assert "smaller size" in problem(answer, 422)["detail"]


def test_texts_and_fields_without_end_are_refused(client: FlaskClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="direction"\r\n\r\n'
    body = head + b"x" * 600_000 + b"\r\n--b--\r\n"
    answer = client.post(CONVERT, data=body, content_type="multipart/form-data; boundary=b")
    assert "form" in problem(answer, 413)["detail"]
    many = {f"field{number}": "x" for number in range(100)}
    problem(client.post(CONVERT, **form(encoded(), **many)), 413)


def test_unknown_addresses_and_methods_are_refused(client: FlaskClient) -> None:
    problem(client.get("/nothing"), 404)
    problem(client.get("/samples/../app.py"), 404)
    problem(client.get("/samples/%2e%2e%2fapp.py"), 404)
    answer = client.get(CONVERT)
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(max_pending=1)
    engine = app.extensions["facesketch"].engine
    with engine.turnstile.admitted(lambda: False):
        answer = app.test_client().post(CONVERT, **form(encoded()))
        problem(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_request_that_takes_too_long_is_told_so(make_app: Callable[..., Flask]) -> None:
    app = make_app(time_limit_s=0.5, threads=1)
    turnstile = app.extensions["facesketch"].engine.turnstile
    with ExitStack() as taken:
        for _ in range(1 + SPARE_TURNS):
            ticket = taken.enter_context(turnstile.admitted(lambda: False))
            taken.enter_context(turnstile.turn(ticket))
        answer = app.test_client().post(CONVERT, **form(encoded()))
    assert "0.5 s" in problem(answer, 504)["detail"]


@pytest.mark.parametrize(
    ("size", "fields"), [((4000, 2500), {}), ((512, 128), {"size": "2048"})], ids=["in", "out"]
)
def test_a_large_picture_waits_no_longer_than_it_may(
    make_app: Callable[..., Flask], size: tuple[int, int], fields: dict[str, str]
) -> None:
    app = make_app(time_limit_s=0.5)
    turnstile = app.extensions["facesketch"].engine.turnstile
    data = encoded(size, "JPEG")
    with turnstile.admitted(lambda: False) as ticket, turnstile.turn(ticket, is_large=True):
        answer = app.test_client().post(CONVERT, **form(data, **fields))
    assert "0.5 s" in problem(answer, 504)["detail"]


def test_a_batch_is_given_up_where_its_client_leaves_between_two_pictures(app: Flask) -> None:
    engine = app.extensions["facesketch"].engine
    options = ConvertOptions(direction="photo2sketch")

    class Client:
        def __init__(self, patience: int) -> None:
            self.patience, self.num_asked = patience, 0

        def is_gone(self) -> bool:
            self.num_asked += 1
            return self.num_asked > self.patience

        def convert(self, num_pictures: int) -> None:
            files = [encoded()] * num_pictures
            with engine.converted(files, options, self.is_gone, lambda: None):
                pass

    staying = Client(1_000)
    staying.convert(1)
    leaving = Client(staying.num_asked)
    with pytest.raises(ClientGoneError):
        leaving.convert(3)
    assert leaving.num_asked == staying.num_asked + 1, "nothing more was done"
    assert engine.turnstile.num_pending == 0


def test_a_request_keeps_its_place_until_its_answer_is_made(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    turnstile = app.extensions["facesketch"].engine.turnstile
    num_pending = []

    class Watching(DefaultJSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            num_pending.append(turnstile.num_pending)
            return super().dumps(obj, **kwargs)

    app.json = Watching(app)
    answer = app.test_client().post(BATCH, **form(encoded(), field="images"))
    assert answer.status_code == 200
    assert (num_pending, turnstile.num_pending) == ([1], 0)


def test_a_bug_is_logged_and_says_nothing_to_the_client(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    @app.get("/bug")
    def bug() -> str:
        raise RuntimeError("a secret path")

    body = problem(app.test_client().get("/bug"), 500)
    assert "secret" not in str(body)
    assert "a secret path" in caplog.text
