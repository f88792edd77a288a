"""Who may ask for what, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from werkzeug.middleware.proxy_fix import ProxyFix

from facesketch.server.config import ENVIRONMENT_PREFIX, ServerConfig, is_loopback
from facesketch.server.problems import ProblemError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CLOSED_ENDPOINTS = frozenset(
    {"api.convert", "api.batch", "api.legacy_convert", "api.models", "api.metrics"}
)
"""What needs the key: what converts, or tells of others' requests."""

FORWARDED_HEADERS = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix",
    "X-Forwarded-Proto", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP",
)  # fmt: skip
"""What proxies and tunnels add: a request with one of these comes from elsewhere."""

WRONG_KEYS_PER_MINUTE = 20

SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")
"""Private in all but name: Tailscale's addresses, and those of pods in some clusters (RFC 6598)."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """Lets requests in, or refuses them: other sites, strangers, those who ask too often."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(max(1, config.rate_limit))
        self._wrong_keys = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE)

    def check_client(self) -> None:
        """Refuse a request of another site's page, or of another machine without the key.

        Raises:
            ProblemError: If the request is refused.
        """
        if request.method == "POST" and not _is_own_page(request):
            raise ProblemError(403, "Pages of other sites may not convert here.")
        if request.endpoint not in CLOSED_ENDPOINTS or self.lets_in(request):
            return
        if self._config.api_key is None:
            raise ProblemError(
                403,
                "This server answers only the machine that it runs on, by the name localhost; its "
                f"owner can set {ENVIRONMENT_PREFIX}API_KEY to let others in.",
            )
        if _key(request) and not self._limiter.hit(self._wrong_keys, "key", _client(request)):
            raise ProblemError(
                429, "Too many wrong keys; wait a minute.", headers={"Retry-After": "60"}
            )
        raise ProblemError(
            401,
            "This server asks for a key; send it as 'Authorization: Bearer KEY'.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def count_pictures(self, num_pictures: int) -> None:
        """Count what a client converts; clients on this machine may convert as much as they like.

        Raises:
            ProblemError: If the client has converted too many pictures in the last minute.
        """
        if self._config.rate_limit == 0 or self.is_local(request):
            return
        if num_pictures > self._config.rate_limit:
            raise ProblemError(
                422,
                f"One client may convert {self._config.rate_limit} pictures a minute; send less.",
            )
        client = _client(request)
        if self._limiter.hit(self._limit, client, cost=num_pictures):
            return
        window = self._limiter.get_window_stats(self._limit, client)
        wait_s = max(1, math.ceil(window.reset_time - time.time()))
        raise ProblemError(
            429,
            f"More than {self._config.rate_limit} pictures in a minute; wait {wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )

    def lets_in(self, asked: Request) -> bool:
        """Say whether a client may convert, by the headers of its request alone."""
        key = self._config.api_key
        right = "" if key is None else key.get_secret_value()
        has_key = bool(right) and hmac.compare_digest(_key(asked).encode(), right.encode())
        return has_key or self.is_open(asked)

    def is_open(self, asked: Request) -> bool:
        """Say whether a client may convert without a key."""
        return self._config.public or self.is_local(asked)

    def is_local(self, asked: Request) -> bool:
        """Say whether a request surely comes from this machine.

        The connection does, no proxy has added a header, and the page was called by a name of this
        machine: another name may be a proxy's, or a stranger's that leads here (DNS rebinding).
        """
        original = asked.environ.get("werkzeug.proxy_fix.orig", asked.environ)
        return (
            is_loopback(original.get("REMOTE_ADDR") or "")
            and is_loopback(_host_name(original.get("HTTP_HOST", "")))
            and not any(name in asked.headers for name in FORWARDED_HEADERS)
        )


class TrustedProxies:
    """Believes X-Forwarded headers of proxies on this machine or in its private network."""

    def __init__(self, app: WSGIApplication, num_proxies: int) -> None:
        self._direct = app
        self._proxied = ProxyFix(
            app, x_for=num_proxies, x_proto=num_proxies, x_host=num_proxies, x_prefix=num_proxies
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        address = _address(environ.get("REMOTE_ADDR") or "")
        is_near = address is not None and (address.is_private or address in SHARED_SPACE)
        return (self._proxied if is_near else self._direct)(environ, start_response)


def add_headers(app: Flask) -> None:
    """Let every answer carry the security headers; pictures and JSON are not to be kept."""

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.endpoint not in ("static", "pages.sample"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _is_own_page(asked: Request) -> bool:
    """Say whether a request comes from our own page, or from no page at all."""
    if asked.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    origin = asked.headers.get("Origin")  # old browsers, and those on plain http, send only this
    return origin is None or origin.partition("://")[2] == asked.host


def _key(asked: Request) -> str:
    """Return the key that a request brings, empty if none."""
    authorization = asked.authorization
    is_bearer = authorization is not None and authorization.type == "bearer"
    return (authorization.token if authorization and is_bearer else None) or ""


def _host_name(host: str) -> str:
    """Take the port off a Host header; what is none comes back as it is."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _client(asked: Request) -> str:
    """Name who asks: an IPv4 address, or the network of an IPv6 one, which a client owns whole."""
    address = _address(asked.remote_addr or "")
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or asked.remote_addr or "unknown")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, ::ffff:192.0.2.1 as the IPv4 one that it stands for; None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
