"""Styles over HTTP: each request may ask for another."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from server_helpers import form
from weights_helpers import STYLES

CONVERT, BATCH = "/api/v1/convert", "/api/v1/batch"
TONES = {"hatch": 200, "edge": 120, "line": 40}


def plain() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 64), (200, 120, 40)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def styled_app(make_app: Callable[..., Flask], styles_dir: Path) -> Flask:
    return make_app(weights=styles_dir)


@pytest.fixture
def styled(styled_app: Flask) -> FlaskClient:
    return styled_app.test_client()


@pytest.mark.parametrize("align", ["none", "whole"])
@pytest.mark.parametrize("style", [None, *STYLES])
def test_a_request_says_its_style(styled: FlaskClient, style: str | None, align: str) -> None:
    fields = {"direction": "photo2sketch", "align": align} | ({"style": style} if style else {})
    answer = styled.post(CONVERT, **form(plain(), **fields))
    assert answer.status_code == 200, answer.data
    assert answer.headers["Facesketch-Style"] == (style or "hatch")
    assert Image.open(io.BytesIO(answer.data)).getpixel((40, 30)) == TONES[style or "hatch"]


def test_requests_at_once_get_their_own_styles(styled_app: Flask) -> None:
    def ask(style: str) -> object:
        fields = {"direction": "photo2sketch", "style": style}
        answer = styled_app.test_client().post(CONVERT, **form(plain(), **fields))
        return Image.open(io.BytesIO(answer.data)).getpixel((40, 30))

    styles = [*STYLES] * 6
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, styles)) == [TONES[style] for style in styles]


def test_a_batch_is_drawn_in_one_style(styled: FlaskClient) -> None:
    files = [(io.BytesIO(plain()), "x") for _ in range(2)]
    answer = styled.post(
        BATCH,
        data={"images": files, "direction": "photo2sketch", "style": "edge"},
        content_type="multipart/form-data",
    )
    assert [result["style"] for result in answer.get_json()["results"]] == ["edge", "edge"]


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({"direction": "photo2sketch"}, "hatch"),
        ({"direction": "sketch2photo"}, None),
        ({"direction": "sketch2photo", "round_trip": "true"}, "hatch"),
        ({"direction": "sketch2photo", "round_trip": "true", "style": "line"}, "line"),
    ],
    ids=["drawing", "photo", "and back", "and back in a style"],
)
def test_json_tells_the_style_of_what_was_drawn(
    styled: FlaskClient, fields: dict[str, str], style: str | None
) -> None:
    accept = {"Accept": "application/json"}
    answer = styled.post(CONVERT, headers=accept, **form(plain(), **fields))
    assert answer.get_json()["style"] == style


@pytest.mark.parametrize(
    ("path", "field"), [(CONVERT, "image"), (BATCH, "images")], ids=["one", "batch"]
)
@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"style": "ink"}, "ink is not there; choose one of hatch, edge, line"),
        ({"style": "../edge"}, "should match pattern"),
        ({"style": ""}, "should match pattern"),
        ({"style": "line", "direction": "sketch2photo"}, "photos none; leave it away"),
    ],
    ids=["unknown", "path", "empty", "photo"],
)
def test_a_wrong_style_is_a_problem_of_that_field(
    styled: FlaskClient, path: str, field: str, fields: dict[str, str], detail: str
) -> None:
    answer = styled.post(path, **form(plain(), field=field, **fields))
    assert answer.status_code == 422
    body = answer.get_json(force=True)
    assert [error["field"] for error in body["errors"]] == ["style"]
    assert detail in body["errors"][0]["detail"]
    assert detail in body["detail"]


def test_weights_without_names_take_no_style(client: FlaskClient) -> None:
    answer = client.post(CONVERT, **form(plain(), style="line"))
    assert answer.status_code == 422
    assert "one style, without a name" in answer.get_json(force=True)["detail"]
    drawn = client.post(CONVERT, **form(plain(), direction="photo2sketch"))
    assert "Facesketch-Style" not in drawn.headers


def test_the_description_lists_what_is_served(styled: FlaskClient, client: FlaskClient) -> None:
    for path in (CONVERT, BATCH):
        assert field_of(styled, path)["enum"] == list(STYLES)
        assert field_of(styled, path)["default"] == "hatch"
        assert field_of(client, path) == {}
    assert field_of(styled, "/convert") == {}
    assert "<code>hatch</code>, <code>edge</code>" in styled.get("/api/docs").get_data(as_text=True)
    (model,) = styled.get("/api/v1/models").get_json()["models"]
    assert model["styles"] == list(STYLES)
    assert model["directions"]["photo2sketch"]["style"] == "hatch"


def field_of(client: FlaskClient, path: str) -> dict[str, object]:
    body = client.get("/api/openapi.json").get_json()["paths"][path]["post"]["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    found: dict[str, object] = schema["properties"].get("style", {})
    return found


def test_another_generator_of_a_style_is_another_version(
    make_app: Callable[..., Flask], styles_dir: Path, styled: FlaskClient, tmp_path: Path
) -> None:
    for path in styles_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photo2sketch-line.onnx").unlink()
    other = make_app(weights=tmp_path).test_client()
    versions = [each.get("/readyz").get_json()["model"] for each in (styled, other)]
    assert len({version.rsplit("-", 1)[1] for version in versions}) == 2


def test_conversions_are_counted_by_style(make_app: Callable[..., Flask], styles_dir: Path) -> None:
    client = make_app(weights=styles_dir).test_client()
    client.post(CONVERT, **form(plain(), direction="photo2sketch", style="edge"))
    client.post(CONVERT, **form(plain(), direction="sketch2photo"))
    text = client.get("/metrics").get_data(as_text=True)
    count = "facesketch_conversion_seconds_count"
    assert f'{count}{{align="auto",direction="photo2sketch",style="edge"}} 1.0' in text
    assert f'{count}{{align="auto",direction="sketch2photo",style=""}} 1.0' in text
