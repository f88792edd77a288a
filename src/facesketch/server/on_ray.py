"""The application as a deployment of Ray Serve: `serve run facesketch.server.on_ray:studio`.

Needs the extras `serve` and `ray`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a2wsgi import WSGIMiddleware
from ray import serve

from facesketch.server.app import create_app
from facesketch.server.config import build_config
from facesketch.server.serving import SPARE_THREADS, STOP_TIMEOUT_S


class DashedHeaders(WSGIMiddleware):  # type: ignore[misc]  # a2wsgi is not there where types are checked
    """Drops headers with underscores, as waitress does: WSGI takes them for those with dashes."""

    async def __call__(
        self, scope: Mapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Answer a request of ASGI."""
        headers = [pair for pair in scope.get("headers", ()) if b"_" not in pair[0]]
        await super().__call__({**scope, "headers": headers}, receive, send)


def studio(settings: Mapping[str, Any]) -> serve.Application:
    """Build the Serve application; Serve's own options say how many replicas there are, and where.

    Args:
        settings: Settings of the server by name; what is missing comes from the environment of the
            process that deploys. Serve has `host` and `port` of its own.

    Raises:
        ConfigError: If a setting is unknown, has a bad value or contradicts another.
    """
    config = build_config(settings)
    num_threads = config.max_pending + SPARE_THREADS

    def make_replica() -> DashedHeaders:
        return DashedHeaders(create_app(config), workers=num_threads)

    deployment = serve.deployment(
        serve.ingress(make_replica)(),
        name="studio",
        max_ongoing_requests=num_threads,
        graceful_shutdown_timeout_s=STOP_TIMEOUT_S,
    )
    return deployment.bind()
