"""The Flask application: `create_app`."""

from __future__ import annotations

import mimetypes
from io import BytesIO
from typing import IO

from flask import Flask, Request

from facesketch.server import api, health, pages, problems, security
from facesketch.server.config import ServerConfig, build_config
from facesketch.server.engine import Engine
from facesketch.server.metrics import Metrics
from facesketch.server.security import Gate, TrustedProxies
from facesketch.server.services import KEY, Services

STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""What Windows may have other types for, in its registry; browsers would not run the page."""


class InMemoryRequest(Request):
    """Keeps uploads in memory: werkzeug would write those above 500 KB to a temporary file."""

    max_form_parts = 64

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002  # werkzeug's signature
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        return BytesIO()


def create_app(config: ServerConfig | None = None) -> Flask:
    """Make the application; it answers once both generators have converted a first picture.

    Args:
        config: Settings; None reads them from the environment, as gunicorn needs it.

    Raises:
        ConfigError: If a setting in the environment is wrong.
        WeightsError: If a generator is missing or broken.
        UsageError: If the device is not there.
    """
    config = build_config({}) if config is None else config
    for ending, kind in STATIC_TYPES.items():
        mimetypes.add_type(kind, ending)
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    app.config["MAX_CONTENT_LENGTH"] = config.max_upload_bytes
    engine = Engine(config)
    parts = Services(config, engine, Gate(config), Metrics(engine))
    app.extensions[KEY] = parts
    parts.metrics.observe(app)
    app.before_request(parts.gate.check_client)
    security.add_headers(app)
    problems.register(app, max_upload_mb=config.max_upload_mb)
    for part in (api, health, pages):
        app.register_blueprint(part.blueprint)
    if config.proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, config.proxies)  # type: ignore[method-assign]
    return app
