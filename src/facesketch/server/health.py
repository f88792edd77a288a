"""For whoever watches over the server: is it alive, and may requests be sent to it?"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from facesketch.server.problems import ProblemError
from facesketch.server.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say that the weights are loaded and have converted once each way, or that it is stopping."""
    engine = services().engine  # there is none before both generators have converted
    if engine.turnstile.is_closed:
        raise ProblemError(503, "The server is stopping.", headers={"Retry-After": "5"})
    return jsonify(status="ready", model=engine.model_version)
