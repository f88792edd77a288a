"""What the server counts, in Prometheus' format."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from facesketch.server.engine import Conversion, Engine

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, which nobody reads

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one application."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "facesketch_requests",
            "Requests, by what was asked for and how it ended; failures have a status from 400 on.",
            ["endpoint", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "facesketch_request_seconds",
            "Time from a request's last byte to its answer, the queue included.",
            ["endpoint"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._conversions = Histogram(
            "facesketch_conversion_seconds",
            "Time that one picture took, without the queue.",
            ["direction", "style", "align"],
            buckets=SECONDS,
            registry=self._registry,
        )
        pending = Gauge(
            "facesketch_pending_requests",
            "Requests that wait for their turn or have it.",
            registry=self._registry,
        )
        pending.set_function(lambda: engine.turnstile.num_pending)

    def count_conversion(self, conversion: Conversion, align: str) -> None:
        """Count one picture that was converted."""
        self._conversions.labels(conversion.direction, conversion.style or "", align).observe(
            conversion.milliseconds / 1000
        )

    def exposition(self) -> Response:
        """Answer all that was counted."""
        return Response(generate_latest(self._registry), content_type=CONTENT_TYPE_LATEST)

    def observe(self, app: Flask) -> None:
        """Count every request of an application."""

        @app.before_request
        def start() -> None:
            g.started = time.perf_counter()

        @app.after_request
        def count(response: Response) -> Response:
            endpoint = request.endpoint or "unknown"
            self._requests.labels(endpoint, str(response.status_code)).inc()
            if "started" in g:
                self._latency.labels(endpoint).observe(time.perf_counter() - g.started)
            return response
