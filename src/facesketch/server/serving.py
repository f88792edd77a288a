"""Runs the application with waitress until it is told to stop."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from types import FrameType
from typing import Any

from flask import Flask, Request
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer, create_server
from waitress.task import ErrorTask

from facesketch.errors import UsageError
from facesketch.server.problems import problem
from facesketch.server.security import HEADERS
from facesketch.server.services import KEY, Services

log = logging.getLogger(__name__)

SPARE_THREADS = 8  # for pages, and for refusing what is beyond the queue's bound
SPARE_CONNECTIONS = 64  # that are open but ask nothing; each may hold a request that still comes in
SPARE_BYTES = 64_000  # around the picture in a request; the application refuses the rest in JSON
LEAST_RATE = 20_000  # bytes/s at which requests must come in, and answers be taken
SLOWNESS_S = 30.0  # that each may take longer
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_TIMEOUT_S = 30.0
FLUSH_TIMEOUT_S = 5.0


class _ErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Tells what is wrong with a request that waitress itself refuses as the API does."""

    def execute(self) -> None:
        error = self.request.error
        code = HTTPStatus(error.code)
        if (
            code == HTTPStatus.NOT_IMPLEMENTED
        ):  # a Transfer-Encoding that nobody has: not our failure
            code = HTTPStatus.BAD_REQUEST
        detail = f"{code.phrase}: {error.body}."
        if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            detail = "The request is too large; send a smaller file."
        body = json.dumps(problem(code, detail)).encode()
        self.status = f"{code.value} {code.phrase}"
        self.response_headers.append(("Content-Type", "application/problem+json"))
        self.response_headers.extend(HEADERS.items())
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Nowhere(OverflowableBuffer):  # type: ignore[misc]
    """Keeps nothing."""

    def append(self, data: bytes) -> None:
        pass


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request; keeps no body of a client that the application will refuse."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__(channel.adj)
        self._channel = channel

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is None:
            return
        headers = {f"HTTP_{name}": value for name, value in self.headers.items()}
        parts: Services = self._channel.server.application.extensions[KEY]
        if not parts.gate.lets_in(Request({"REMOTE_ADDR": self._channel.addr[0]} | headers)):
            self.body_rcv.buf = _Nowhere(self.adj.inbuf_overflow)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection; closed where a request comes in, or an answer is taken, too slowly."""

    error_task_class = _ErrorTask
    _started = 0.0  # when what is on its way began to move
    _num_moved = 0  # bytes since then

    def parser_class(self, _adj: object) -> _Parser:
        return _Parser(self)

    def recv(self, num_bytes: int) -> bytes:
        data: bytes = super().recv(num_bytes)
        self._num_moved += len(data)
        return data

    def send(self, data: bytes, *args: Any, **options: Any) -> int:
        num_sent: int = super().send(data, *args, **options)
        self._num_moved += num_sent
        return num_sent

    def writable(self) -> bool:  # waitress asks at least once a second
        now = time.monotonic()
        is_coming = self.request is not None and not self.requests
        if not is_coming and not self.total_outbufs_len:
            self._started, self._num_moved = now, 0
        elif now > self._started + SLOWNESS_S + self._num_moved / LEAST_RATE:
            self.will_close = True
            with suppress(OSError):  # the client has left
                self.socket.shutdown(socket.SHUT_RDWR)  # it would wait for one that takes nothing
        return bool(super().writable())


def run(app: Flask, on_listening: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; then finish what is in, and refuse the rest.

    Args:
        app: What `create_app` made.
        on_listening: Called with the address of the studio once it can be opened.

    Raises:
        UsageError: If the address cannot be listened on.
    """
    parts: Services = app.extensions[KEY]
    server = make_server(app)
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
    try:
        serving = threading.Thread(target=server.run, name="facesketch-serving", daemon=True)
        serving.start()
        on_listening(address(parts.config.host, server.effective_port))
        while not stop.wait(0.5):  # Windows runs a handler of Ctrl-C between waits, not in one
            pass
        log.info("Stopping: what is in will be finished; once more stops at once.")
        if not parts.engine.turnstile.close(STOP_TIMEOUT_S):
            log.warning("Stopped with conversions unfinished after %g s.", STOP_TIMEOUT_S)
        _flush(server)
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        for number, handler in previous.items():
            signal.signal(number, handler)


def make_server(app: Flask) -> TcpWSGIServer:
    """Listen on the application's host and port; `run()` of what is returned answers.

    Raises:
        UsageError: If the address cannot be listened on.
    """
    parts: Services = app.extensions[KEY]
    config = parts.config
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    is_dual = config.host == "::" and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server(
            (config.host, config.port), family=family, dualstack_ipv6=is_dual
        )
    except OSError as error:
        raise UsageError(
            f"cannot listen on {config.host}, port {config.port}: "
            f"{str(error.strerror).partition(' (')[0]}; choose another --host or --port."
        ) from error
    num_threads = config.max_pending + SPARE_THREADS
    server: TcpWSGIServer = create_server(
        app,
        sockets=[listening],
        threads=num_threads,
        connection_limit=num_threads + SPARE_CONNECTIONS,
        max_request_body_size=config.max_upload_bytes + SPARE_BYTES,
        # Neither requests nor answers ever go to a temporary file.
        inbuf_overflow=config.max_upload_bytes + 2 * SPARE_BYTES,
        outbuf_overflow=2**31,
        channel_request_lookahead=1,  # to see that a client has left
        clear_untrusted_proxy_headers=False,  # the application looks at them itself
        channel_timeout=60,
        ident="facesketch",
    )
    server.channel_class = _Channel
    parts.engine.untaken_bytes = lambda: sum(
        channel.total_outbufs_len for channel in list(server.active_channels.values())
    )
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # the turnstile is the queue
    return server


def address(host: str, port: int) -> str:
    """Return the studio's address for a browser on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}/"


def _flush(server: TcpWSGIServer) -> None:
    """Wait a moment for answers that are still on their way out."""
    deadline = time.monotonic() + FLUSH_TIMEOUT_S
    while time.monotonic() < deadline:
        channels = list(server.active_channels.values())
        if not any(channel.requests or channel.total_outbufs_len for channel in channels):
            return
        time.sleep(0.02)
