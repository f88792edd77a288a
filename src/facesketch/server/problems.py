"""Errors as the API tells them: RFC 9457 problem details with a sentence, never a traceback."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from facesketch.errors import (
    FacesketchError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
    UsageError,
)
from facesketch.server.turnstile import ClientGoneError, OverloadedError, TimeLimitError

log = logging.getLogger(__name__)

STATUS: dict[type[FacesketchError], int] = {
    UsageError: 422,
    NotAnImageError: 415,
    ImageTooLargeError: 413,
    ImageError: 422,
    OverloadedError: 503,
    TimeLimitError: 504,
    ClientGoneError: 499,  # nginx's number; nobody is there to read it, but the log and metrics
}
"""Statuses of our errors; of several that fit, the first counts. Any other is a 500."""


SENTENCES = {
    404: "There is nothing at this address; /api/docs lists what there is.",
    405: "This address takes another method; /api/docs says which.",
}
"""What is said instead of werkzeug's sentences."""


class ProblemError(Exception):
    """A request that cannot be answered as it is."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is wrong.

        Args:
            status: HTTP status.
            detail: A sentence for the person or the developer who sent the request.
            fields: What is wrong with single fields of the request.
            headers: Further headers of the answer.
        """
        super().__init__(detail)
        self.status = status
        self.body = problem(status, detail, fields)
        self.headers = dict(headers or {})


def problem(status: int, detail: str, fields: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the members of a problem document."""
    title = "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if fields:
        body["errors"] = [{"field": name, "detail": text} for name, text in fields.items()]
    return body


def to_problem(error: Exception) -> ProblemError:
    """Turn any error that a request may end with into what the client is told."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, FacesketchError):
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        retry = {"Retry-After": "1"} if status == 504 else {}
        if isinstance(error, OverloadedError):
            retry = {"Retry-After": str(error.retry_after_s)}
        if status != 500:
            return ProblemError(status, str(error), headers=retry)
    log.error("A request failed", exc_info=error)
    return ProblemError(500, "The server failed; its log says why.")


def respond(error: ProblemError) -> Response:
    """Make the answer of a problem."""
    return Response(
        json.dumps(error.body),
        status=error.status,
        headers=error.headers,
        content_type="application/problem+json",
    )


def register(app: Flask, *, max_upload_mb: float) -> None:
    """Let every error of an application be told as a problem."""

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        detail = error.description or HTTPStatus(status).description
        detail = SENTENCES.get(status, detail)
        if isinstance(error, RequestEntityTooLarge):
            is_whole = (request.content_length or 0) > max_upload_mb * 1_000_000
            detail = (
                f"The request is larger than {max_upload_mb:g} MB; send a smaller file."
                if is_whole or request.content_length is None
                else "The form has too many fields, or too long a text in one of them."
            )
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return respond(ProblemError(status, detail, headers=allow))

    @app.errorhandler(Exception)
    def on_error(error: Exception) -> Response:
        return respond(to_problem(error))
