"""The studio, the API's documentation, and the sample pictures."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, render_template, request, send_from_directory, url_for

import facesketch
from facesketch import images
from facesketch.server import openapi
from facesketch.server.services import services

SAMPLES = Path(facesketch.__file__).parent / "samples"

SAMPLE_NAMES = {
    "photo_1.jpg": "A face",
    "drawing_1.png": "A drawing",
    "drawing_2.png": "Another drawing",
}
"""Shipped pictures to try at once, and what the page calls them."""

LIVE_MAX_FPS = 15
"""Pictures a second that live mode sends at most."""

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def studio() -> str:
    """Show the studio."""
    parts = services()
    settings = {
        "version": facesketch.__version__,
        "addresses": {"convert": url_for("api.convert")},
        "max_upload_bytes": parts.config.max_upload_bytes,
        "time_limit_s": parts.config.time_limit_s,
        "accept": ",".join(images.UPLOAD_TYPES.values()),
        "needs_key": parts.config.api_key is not None and not parts.gate.is_open(request),
        "is_local": parts.gate.is_local(request),
        "live_max_fps": LIVE_MAX_FPS,
        "styles": parts.engine.styles,
        "samples": [
            {"url": url_for("pages.sample", name=name), "name": title}
            for name, title in SAMPLE_NAMES.items()
        ],
    }
    return render_template("studio.html", settings=settings)


@blueprint.get("/api/docs")
def docs() -> str:
    """Show the API's documentation."""
    parts = services()
    return render_template("docs.html", api=openapi.document(parts.config, parts.engine.styles))


@blueprint.get("/samples/<name>")
def sample(name: str) -> Response:
    """Answer a picture that the package ships."""
    return send_from_directory(SAMPLES, name, max_age=3600)
