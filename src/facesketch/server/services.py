"""What an application is made of, for the functions that answer its requests."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from facesketch.server.config import ServerConfig
from facesketch.server.engine import Engine
from facesketch.server.metrics import Metrics
from facesketch.server.security import Gate

KEY = "facesketch"
"""Where they stand in `app.extensions`."""


@dataclass(frozen=True)
class Services:
    """The parts of one application; shared by all its threads."""

    config: ServerConfig
    engine: Engine
    gate: Gate
    metrics: Metrics


def services() -> Services:
    """Return the parts of the application that answers the current request."""
    found = current_app.extensions[KEY]
    assert isinstance(found, Services)  # noqa: S101  # create_app puts it there
    return found
