"""Clients that send requests to a server and watch what it answers and how much memory it takes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from facesketch.server.engine import RELEASE_AFTER_S
from server_helpers import Server
from soak.campaign import Report
from soak.requests import GOOD, Request, good_request

NUM_CLIENTS = 4
ANSWER_S = 120
"""A client that waits longer than this counts as hung."""

NUM_PIECES, PAUSE_S = 20, 0.05
"""How an upload is made slow."""

NO_ANSWER = "closed without an answer"
SETTLE_S = RELEASE_AFTER_S + 2


def drive(server: Server, requests: Iterator[Request], report: Report) -> list[list[float]]:
    """Send requests by several clients; count every answer, and what should not have been one.

    Returns:
        The server's memory over time: pairs of how many requests were answered, and MB.
    """
    lock, memory = threading.Lock(), [[0.0, resident_mb(server)]]
    num_done = 0

    def client() -> None:
        nonlocal num_done
        while True:
            with lock:
                request = next(requests, None)
            if request is None:
                return
            try:
                happened, wrong = send(server.port, request)
            except Exception as error:  # noqa: BLE001  # told, and not lost with this thread
                happened, wrong = "the client failed", repr(error)
            with lock:
                report.add(request.kind, happened, wrong)
                num_done += 1
                if num_done % 50 == 0:
                    memory.append([float(num_done), resident_mb(server)])

    clients = [threading.Thread(target=client) for _ in range(NUM_CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return memory


def send(port: int, request: Request) -> tuple[str, str | None]:
    """Send a request; say how it was answered, and what is wrong with that."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
            with suppress(OSError):  # it has seen enough; what it says of it may still be there
                _deliver(connection, request)
            if request.delivery == "hung up":
                return "gone before the answer", None
            status, headers, body = _answer(connection)
    except TimeoutError:
        return "hung", f"no answer in {ANSWER_S} s to {request.data[:60]!r}"
    except (OSError, http.client.HTTPException) as error:
        wrong = f"{type(error).__name__} on {request.data[:60]!r}"
        return NO_ANSWER, wrong if request.must_be_answered else None
    return str(status), _wrong(request, status, headers, body)


def _deliver(connection: socket.socket, request: Request) -> None:
    if request.delivery == "slow":
        for piece in np.array_split(np.frombuffer(request.data, np.uint8), NUM_PIECES):
            connection.sendall(piece.tobytes())
            time.sleep(PAUSE_S)
        return
    connection.sendall(request.data)
    if request.delivery == "half closed":
        connection.shutdown(socket.SHUT_WR)


def _answer(connection: socket.socket) -> tuple[int, http.client.HTTPMessage, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.headers, response.read()


def _wrong(
    request: Request, status: int, headers: http.client.HTTPMessage, body: bytes
) -> str | None:
    """Say what is wrong with an answer."""
    if request.kind == GOOD and status not in (200, 503):
        return f"{status} to a good request: {body[:200]!r}"
    if status >= 500 and not (status == 503 and headers["Retry-After"]):
        return f"{status} to {request.data[:60]!r}: {body[:200]!r}"
    if status >= 400 and (_problem_status(headers, body) != status or b"Traceback" in body):
        return f"{status} is no problem document: {body[:200]!r}"
    if request.kind.startswith("picture") and status == 200 and b'"status":500' in body[-2000:]:
        return f"a picture of a batch failed: {body[-200:]!r}"
    return None


def _problem_status(headers: http.client.HTTPMessage, body: bytes) -> int | None:
    """Return the status that a problem document tells; None if it is none."""
    try:
        told = json.loads(body) if headers["Content-Type"] == "application/problem+json" else None
    except ValueError:
        return None
    return told.get("status") if isinstance(told, dict) else None


def resident_mb(server: Server) -> float:
    """Return the resident memory of a server's process; asks /proc."""
    text = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0]) / 1000


def settled_mb(server: Server) -> float:
    """Return the resident memory once nothing is under way."""
    time.sleep(SETTLE_S)
    return resident_mb(server)


def check_afterwards(server: Server, seed: int, report: Report) -> None:
    """Ask for something good, stop the server, and look at what it wrote meanwhile."""
    tried = "afterwards: a good request, a clean stop, no traceback in the log"
    happened, wrong = send(server.port, good_request(seed, 0))
    log = server.stop()
    if happened != "200":
        wrong = f"{happened} to a good request"
    elif server.process.returncode:
        wrong = f"exit code {server.process.returncode}"
    elif "Traceback" in log:
        wrong = log[log.index("Traceback") :][:2_000]
    report.add(tried, "as it should be" if wrong is None else "not so", wrong)
