"""What the API answers when all is well."""

from __future__ import annotations

import base64
import io
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from server_helpers import SAMPLES, encoded, form

AI_MARK = b"trainedAlgorithmicMedia"
CONVERT, BATCH = "/api/v1/convert", "/api/v1/batch"
PHOTO, DRAWING = SAMPLES / "photo_1.jpg", SAMPLES / "drawing_1.png"


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def from_base64(picture: dict[str, object]) -> Image.Image:
    image = opened(base64.b64decode(str(picture["data"])))
    assert image.get_format_mimetype() == picture["media_type"]
    assert image.size == (picture["width"], picture["height"])
    return image


@pytest.mark.parametrize(
    ("kind", "direction", "mode", "mark"),
    [
        ("face_to_sketch", "photo2sketch", "L", False),
        ("sketch_to_face", "sketch2photo", "RGB", True),
    ],
)
def test_first_users_get_a_picture_as_they_know_it(
    client: FlaskClient, kind: str, direction: str, mode: str, mark: bool
) -> None:
    answer = client.post("/convert", **form(encoded(), conversion_type=kind))
    assert answer.status_code == 200
    assert answer.content_type == "image/png"
    assert (opened(answer.data).mode, opened(answer.data).size) == (mode, (80, 64))
    assert answer.headers["Facesketch-Direction"] == direction
    assert (AI_MARK in answer.data) is mark


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_kind_of_upload_is_read(client: FlaskClient, file_format: str) -> None:
    answer = client.post(CONVERT, **form(encoded(image_format=file_format)))
    assert answer.status_code == 200
    assert opened(answer.data).size == (80, 64)


def test_heic_is_read_where_the_library_is_there(client: FlaskClient) -> None:
    pytest.importorskip("pillow_heif", reason="needs the extra heic")
    answer = client.post(CONVERT, **form(encoded(image_format="HEIF")))
    assert opened(answer.data).size == (80, 64)


def test_of_an_animation_the_first_frame_counts(client: FlaskClient) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("white", "black")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    answer = client.post(CONVERT, **form(buffer.getvalue(), direction="photo2sketch"))
    assert np.asarray(opened(answer.data)).min() > 250


def test_the_direction_is_detected_and_said(client: FlaskClient) -> None:
    for sample, direction in ((PHOTO, "photo2sketch"), (DRAWING, "sketch2photo")):
        answer = client.post(CONVERT, **form(sample.read_bytes()))
        assert answer.headers["Facesketch-Direction"] == direction
        assert float(answer.headers["Facesketch-Probability"]) > 0.9
        assert float(answer.headers["Facesketch-Milliseconds"]) > 0
        assert answer.headers["Facesketch-Model"].startswith("weights")


def test_a_given_direction_wins_over_what_the_picture_looks_like(client: FlaskClient) -> None:
    answer = client.post(CONVERT, **form(PHOTO.read_bytes(), direction="sketch2photo"))
    assert opened(answer.data).mode == "RGB"
    assert "Facesketch-Probability" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "field", "expected"),
    [
        (None, {}, "image/png"),
        ("*/*", {}, "image/png"),
        ("image/webp", {}, "image/webp"),
        ("image/jpeg, image/png;q=0.5", {}, "image/jpeg"),
        ("image/jpeg", {"format": "webp"}, "image/webp"),
        ("application/json", {}, "application/json"),
    ],
)
def test_the_type_of_the_answer_follows_accept_and_format(
    client: FlaskClient, accept: str | None, field: dict[str, str], expected: str
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = client.post(CONVERT, headers=headers, **form(encoded(), **field))
    assert answer.content_type == expected


def test_json_tells_all_and_carries_the_round_trip(client: FlaskClient) -> None:
    answer = client.post(
        CONVERT,
        headers={"Accept": "application/json"},
        **form(PHOTO.read_bytes(), round_trip="true", format="webp", size="48"),
    ).get_json()
    assert answer["direction"] == "photo2sketch"
    assert answer["detected"]["domain"] == "photo"
    assert answer["detected"]["is_sure"] is True
    assert answer["alignment"] == "none"
    assert answer["milliseconds"] > 0
    (image,) = answer["images"]
    assert image["media_type"] == "image/webp"
    assert from_base64(image).size == (48, 48)
    assert from_base64(image["round_trip"]).size == (48, 48)


def test_a_round_trip_asked_for_as_a_picture_is_the_picture_that_came_back(
    client: FlaskClient,
) -> None:
    answer = client.post(CONVERT, **form(encoded(), direction="photo2sketch", round_trip="true"))
    assert opened(answer.data).mode == "RGB"
    assert AI_MARK in answer.data


def test_results_have_the_size_of_the_picture_within_a_limit(client: FlaskClient) -> None:
    answer = client.post(CONVERT, **form(encoded((300, 100)), size="50"))
    assert opened(answer.data).size == (150, 50)
    answer = client.post(CONVERT, **form(encoded((2100, 2100), "JPEG"), format="jpeg"))
    assert opened(answer.data).size == (2048, 2048)


def holiday(*places: tuple[int, int]) -> bytes:
    """A large picture with the sample's face in it, small, at each of these places."""
    scene = Image.new("RGB", (900, 700), (120, 150, 180))
    face = Image.open(PHOTO).convert("RGB").resize((256, 256))
    for place in places:
        scene.paste(face, place)
    buffer = io.BytesIO()
    scene.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_a_face_is_found_and_cut_out(client: FlaskClient) -> None:
    answer = client.post(CONVERT, **form(holiday((500, 300)), align="portrait", size="64"))
    assert (answer.headers["Facesketch-Alignment"], answer.headers["Facesketch-Faces"]) == (
        "portrait",
        "1",
    )
    assert opened(answer.data).size == (64, 64)


def test_the_whole_picture_keeps_its_size_there_and_back(client: FlaskClient) -> None:
    answer = client.post(
        CONVERT,
        headers={"Accept": "application/json"},
        **form(holiday((500, 300)), align="whole", round_trip="true", direction="photo2sketch"),
    ).get_json()
    (face,) = answer["faces"]
    left, top, width, height = face["box"]
    assert 500 < left < left + width < 756
    assert 300 < top < top + height < 556
    assert answer["alignment"] == "whole"
    (image,) = answer["images"]
    assert from_base64(image).size == (900, 700)
    assert from_base64(image["round_trip"]).size == (900, 700)


@pytest.mark.parametrize("path", [CONVERT, "/convert"])
def test_without_a_word_a_face_gets_its_scale_where_it_needs_it(
    client: FlaskClient, path: str
) -> None:
    way = {"direction": "photo2sketch"}
    asked = {"conversion_type": "face_to_sketch"} if path == "/convert" else way
    for data, align in ((holiday((500, 300)), "whole"), (PHOTO.read_bytes(), "none")):
        answer = client.post(path, **form(data, **asked))
        expected = client.post(CONVERT, **form(data, align=align, **way))
        assert answer.headers["Facesketch-Alignment"] == align
        assert answer.headers["Facesketch-Faces"] == "1"
        assert answer.data == expected.data


def test_all_faces_get_their_own_scale_without_a_word_on_how(client: FlaskClient) -> None:
    data = holiday((50, 300), (550, 100))
    asked = {"faces": "all", "direction": "photo2sketch"}
    answer = client.post(CONVERT, **form(data, **asked))
    assert answer.headers["Facesketch-Alignment"] == "whole"
    assert answer.data == client.post(CONVERT, **form(data, align="whole", **asked)).data


@pytest.mark.parametrize(("side", "align"), [(2100, "none"), (700, "whole")])
def test_large_jpegs_come_out_as_if_that_had_been_asked_for(
    client: FlaskClient, side: int, align: str
) -> None:
    scene = Image.new("RGB", (2600, 2100), (120, 150, 180))
    scene.paste(Image.open(PHOTO).convert("RGB").resize((side, side)), (0, 0))
    buffer = io.BytesIO()
    scene.save(buffer, "JPEG")
    asked = {"direction": "photo2sketch", "format": "jpeg", "size": "300"}
    answer = client.post(CONVERT, **form(buffer.getvalue(), **asked))
    assert answer.headers["Facesketch-Alignment"] == align
    assert answer.data == client.post(CONVERT, **form(buffer.getvalue(), align=align, **asked)).data


def test_all_faces_come_as_json_and_only_so(client: FlaskClient) -> None:
    data = holiday((50, 300), (550, 100))
    asked = {"align": "portrait", "faces": "all", "direction": "photo2sketch"}
    answer = client.post(CONVERT, headers={"Accept": "application/json"}, **form(data, **asked))
    assert len(answer.get_json()["images"]) == len(answer.get_json()["faces"]) == 2
    assert client.post(CONVERT, **form(data, **asked)).status_code == 422


def test_where_there_is_no_face_the_picture_is_converted_as_it_is(client: FlaskClient) -> None:
    answer = client.post(
        CONVERT,
        headers={"Accept": "application/json"},
        **form(encoded(), align="portrait", direction="photo2sketch"),
    ).get_json()
    assert answer["alignment"] == "none"
    assert answer["faces"] == []
    assert answer["note"].startswith("No face was found")
    assert from_base64(answer["images"][0]).size == (80, 64)


def test_nothing_of_the_metadata_survives(client: FlaskClient) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = encoded(image_format="JPEG", exif=exif, comment=b"a secret")
    for kind in ("png", "jpeg", "webp"):
        answer = client.post(CONVERT, **form(data, direction="photo2sketch", format=kind))
        assert answer.status_code == 200
        assert b"home" not in answer.data
        assert b"secret" not in answer.data
        assert b"Exif" not in answer.data


def test_a_batch_converts_what_it_can(client: FlaskClient) -> None:
    files = [(io.BytesIO(data), "x") for data in (encoded(), b"no picture", encoded((64, 90)))]
    answer = client.post(
        BATCH,
        data={"images": files, "direction": "photo2sketch"},
        content_type="multipart/form-data",
    )
    first, broken, last = answer.get_json()["results"]
    assert from_base64(first["images"][0]).size == (80, 64)
    assert (broken["status"], broken["title"]) == (415, "Unsupported Media Type")
    assert from_base64(last["images"][0]).size == (64, 90)


def test_models_say_what_they_are(client: FlaskClient, weights_dir: Path) -> None:
    (model,) = client.get("/api/v1/models").get_json()["models"]
    assert model["is_default"] is True
    assert model["name"] == weights_dir.name
    assert set(model["directions"]) == {"photo2sketch", "sketch2photo"}
    assert model["directions"]["photo2sketch"]["licence"] == "Apache-2.0"


def test_other_weights_have_another_version(
    make_app: Callable[..., Flask], strict_weights_dir: Path, client: FlaskClient
) -> None:
    other = make_app(weights=strict_weights_dir).test_client()
    versions = {each.get("/readyz").get_json()["model"] for each in (client, other)}
    assert len(versions) == 2


def test_a_server_with_its_weights_is_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json()["status"] == "ready"


def test_a_server_that_stops_is_alive_but_not_ready(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    app.extensions["facesketch"].engine.turnstile.close(1)
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.post(CONVERT, **form(encoded())).status_code == 503


def test_metrics_count_requests_conversions_and_failures(make_app: Callable[..., Flask]) -> None:
    client = make_app().test_client()
    client.post(CONVERT, **form(encoded(), direction="photo2sketch"))
    client.post(CONVERT, **form(b"no picture"))
    text = client.get("/metrics").get_data(as_text=True)
    assert 'facesketch_requests_total{endpoint="api.convert",status="200"} 1.0' in text
    assert 'facesketch_requests_total{endpoint="api.convert",status="415"} 1.0' in text
    assert (
        'facesketch_conversion_seconds_count{align="auto",direction="photo2sketch",style=""} 1.0'
        in text
    )
    assert 'facesketch_request_seconds_count{endpoint="api.convert"} 2.0' in text
    assert "facesketch_pending_requests 0.0" in text


def test_the_studio_gets_its_settings(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    start = page.index('id="settings">') + len('id="settings">')
    settings = json.loads(page[start : page.index("</script>", start)])
    assert settings["needs_key"] is False
    assert settings["is_local"] is True
    assert "image/jpeg" in settings["accept"]
    for sample in settings["samples"]:
        with client.get(sample["url"]) as answer:
            assert opened(answer.data).size >= (256, 256)


def test_the_page_is_run_whatever_the_system_takes_its_files_for(
    make_app: Callable[..., Flask],
) -> None:
    for ending in (".js", ".css", ".svg"):
        mimetypes.add_type("text/plain", ending)  # as the registry of Windows may have it
    client = make_app().test_client()
    for name, kind in (
        ("studio.js", "text/javascript; charset=utf-8"),
        ("base.css", "text/css; charset=utf-8"),
        ("grain.svg", "image/svg+xml; charset=utf-8"),
    ):
        with client.get(f"/static/{name}") as answer:
            assert answer.content_type == kind


def test_the_documentation_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/api/docs").get_data(as_text=True)
    assert "/api/v1/convert" in page
    assert "https://" not in page
    assert page.count("http://") == page.count("http://localhost/"), "its own address, for curl"
