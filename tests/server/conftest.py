"""Applications and servers with tiny generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("flask", reason="needs the extra serve")

from flask import Flask
from flask.testing import FlaskClient

from facesketch.server.app import create_app
from facesketch.server.config import build_config
from server_helpers import Server


@pytest.fixture(scope="session")
def make_app(weights_dir: Path) -> Callable[..., Flask]:
    def make(**settings: object) -> Flask:
        return create_app(build_config({"weights": weights_dir, "threads": 2} | settings, {}))

    return make


@pytest.fixture(scope="session")
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def serve(weights_dir: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        started.append(Server("--weights", str(weights_dir), *options, **environment))
        return started[-1]

    yield start
    for server in started:
        server.stop()
