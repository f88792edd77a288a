"""The OpenAPI document is valid, and the server does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server_helpers import Server

TESTS = Path(__file__).parents[1]


@pytest.mark.dev
def test_the_document_is_valid(client: FlaskClient) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415

    OpenAPIV31SpecValidator(client.get("/api/openapi.json").get_json()).validate()


def test_every_endpoint_is_described(app: Flask, client: FlaskClient) -> None:
    described = set(client.get("/api/openapi.json").get_json()["paths"])
    pages = {"/", "/api/docs", "/samples/<name>", "/static/<path:filename>"}
    assert {rule.rule for rule in app.url_map.iter_rules()} - pages == described


def test_whatever_needs_the_key_may_be_refused_for_wrong_ones(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").get_json()["paths"]
    for path in ("/api/v1/convert", "/api/v1/batch", "/convert"):
        assert {"400", "401", "429", "500"} <= set(paths[path]["post"]["responses"])
    for path in ("/api/v1/models", "/metrics"):
        assert {"401", "429", "500"} <= set(paths[path]["get"]["responses"])


def contradictions(server: Server, *options: str) -> str:
    """Send what the document allows, and what it forbids; say what was answered otherwise."""
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json",
         "--max-examples", "25", "--seed", "1", "--no-color", "--generation-database", "none",
         *options],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(TESTS)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout[-6000:] if done.returncode else ""


@pytest.mark.dev
def test_the_running_server_does_what_the_document_says(serve: Callable[..., Server]) -> None:
    assert contradictions(serve()) == ""


@pytest.mark.dev
def test_styles_are_taken_as_the_document_says(
    serve: Callable[..., Server], styles_dir: Path
) -> None:
    server = serve("--weights", str(styles_dir))
    # The coverage phase fails by itself where a form with files has a "not".
    convert = ("--include-path", "/api/v1/convert", "--phases", "fuzzing")
    assert contradictions(server, *convert) == ""
