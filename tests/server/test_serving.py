"""The server as a process: waitress by default, gunicorn where one wants processes."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from PIL import Image
from waitress.server import TcpWSGIServer

from facesketch.server import engine, serving
from facesketch.server.api import gone_check
from facesketch.server.engine import SPARE_TURNS
from facesketch.server.services import KEY
from server_helpers import Server, encoded

BOUNDARY = "a-boundary"
CONVERT = "/api/v1/convert"
API_KEY = "a-long-secret-key"
REQUEST_LINES = f"POST {CONVERT} HTTP/1.1\r\nHost: localhost\r\n"


def body_of(data: bytes, **fields: str) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = 'Content-Disposition: form-data; name="image"; filename="../../etc/passwd"'
    parts.append(f"--{BOUNDARY}\r\n{head}\r\nContent-Type: image/png\r\n\r\n".encode() + data)
    return b"".join(parts) + f"\r\n--{BOUNDARY}--\r\n".encode()


def post(
    port: int, data: bytes, *, context: ssl.SSLContext | None = None, **fields: str
) -> tuple[int, bytes, Any]:
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    try:
        connection.request("POST", CONVERT, body_of(data, **fields), headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def received(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def get(url: str, context: ssl.SSLContext | None = None) -> bytes:
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:  # noqa: S310
        return bytes(answer.read())


def large_png() -> bytes:
    """Five MB that do not compress."""
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    assert buffer.tell() > 5_000_000
    return buffer.getvalue()


def test_a_server_says_its_address_and_converts(serve: Callable[..., Server]) -> None:
    server = serve()
    status, data, headers = post(server.port, encoded(), direction="photo2sketch")
    assert (status, headers["Content-Type"], data[:4]) == (200, "image/png", b"\x89PNG")
    assert headers["Server"] == "facesketch"


def test_uploads_and_results_never_touch_the_disk(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "below a file")  # not even root can write there
    server = serve(TMPDIR=nowhere, TEMP=nowhere, TMP=nowhere)
    data = large_png()
    status, result, _ = post(server.port, data, direction="sketch2photo")
    assert status == 200
    assert len(result) > 100_000
    counters = Path(f"/proc/{server.process.pid}/io")
    if counters.exists():
        found = re.search(r"^write_bytes: (\d+)", counters.read_text(), re.MULTILINE)
        assert found
        assert int(found[1]) < 100_000


def test_no_picture_is_named_in_the_log(serve: Callable[..., Server]) -> None:
    server = serve()
    post(server.port, encoded())
    post(server.port, b"no picture")
    log = server.stop()
    assert "passwd" not in log
    assert "Traceback" not in log


def test_an_upload_above_the_limit_is_refused_in_json_before_it_is_read(
    serve: Callable[..., Server],
) -> None:
    server = serve("--max-upload-mb", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"{REQUEST_LINES}Content-Length: 50000000\r\n\r\n".encode())
        head, _, body = received(connection).partition(b"\r\n\r\n")
    assert b" 413 " in head
    assert b"application/problem+json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert json.loads(body)["status"] == 413


def test_a_malformed_request_is_refused_in_json(serve: Callable[..., Server]) -> None:
    server = serve()
    for header in (b"Content-Length: many", b"Transfer-Encoding: gzip, chunked"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
            head, _, body = received(connection).partition(b"\r\n\r\n")
        assert b" 400 " in head
        assert json.loads(body)["status"] == 400


def test_who_hangs_up_is_not_converted(make_app: Callable[..., Flask]) -> None:
    app = make_app(threads=1, port=0)
    turnstile = app.extensions[KEY].engine.turnstile
    num_turns = 1 + SPARE_TURNS
    body = body_of(encoded(), direction="photo2sketch")
    headers = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    request = f"{REQUEST_LINES}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with listening(app) as server, ExitStack() as turns:
        port = server.effective_port
        for _ in range(num_turns):
            ticket = turns.enter_context(turnstile.admitted(lambda: False))
            turns.enter_context(turnstile.turn(ticket))
        with ExitStack() as connections:
            for _ in range(5):
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                connections.enter_context(connection).sendall(request)
            wait_until(lambda: turnstile.num_pending == num_turns + 5)
        url = f"http://127.0.0.1:{port}"
        get(f"{url}/healthz")  # answered only after all five are seen to be gone
        turns.close()
        wait_until(lambda: 'status="499"} 5.0' in get(f"{url}/metrics").decode())
        assert post(port, encoded(), direction="photo2sketch")[0] == 200
        metrics = get(f"{url}/metrics").decode()
    counts = re.findall(r"^facesketch_conversion_seconds_count.* (\S+)$", metrics, re.MULTILINE)
    assert sum(map(float, counts)) == 1


@contextmanager
def listening(app: Flask) -> Iterator[TcpWSGIServer]:
    """Serve in a thread of this process."""
    server = serving.make_server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.task_dispatcher.shutdown()
        with suppress(OSError):  # it has woken up already, and closed its trigger before the pull
            server.trigger.pull_trigger(server.close)  # by its own thread, waiting for its sockets
        thread.join(30)
        assert not thread.is_alive()


def uploads(server: TcpWSGIServer) -> list[Any]:
    """Return what has come in of requests that are not whole yet."""
    requests = [channel.request for channel in list(server.active_channels.values())]
    bodies = [request.body_rcv for request in requests if request is not None]
    return [body for body in bodies if body is not None]


def connected(server: TcpWSGIServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.effective_port), timeout=30)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("key", [API_KEY, "a-wrong-secret-key", None])
def test_no_upload_is_kept_of_a_client_without_the_key(
    make_app: Callable[..., Flask], key: str | None
) -> None:
    body = body_of(encoded() + bytes(3_000_000), direction="photo2sketch")
    lines = [
        f"POST {CONVERT} HTTP/1.1",
        "Host: studio.example",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    with listening(make_app(port=0, api_key=API_KEY)) as server, connected(server) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[:-1])
        wait_until(lambda: [upload.remain for upload in uploads(server)] == [1])
        (upload,) = uploads(server)
        assert len(upload) == (len(body) - 1 if key == API_KEY else 0)
        connection.sendall(body[-1:])
        assert int(connection.recv(12).split()[1]) == (200 if key == API_KEY else 401)


@pytest.mark.parametrize(
    "sent", ["POST / HTT", f"{REQUEST_LINES}Content-Length: 1000\r\n\r\nhalf"], ids=["head", "body"]
)
def test_a_request_that_comes_in_too_slowly_is_given_up(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(serving, "SLOWNESS_S", 0.5)
    with listening(make_app(port=0)) as server, connected(server) as connection:
        connection.sendall(sent.encode())
        assert received(connection) == b""


def test_answers_that_clients_do_not_take_are_bounded(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(port=0)
    parts = app.extensions[KEY]

    @app.get("/much")
    def much() -> bytes:
        return bytes(40_000_000)

    with listening(app) as server:
        port = server.effective_port
        with connected(server) as connection:
            connection.sendall(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: parts.engine.untaken_bytes() > 1_000_000)
            monkeypatch.setattr(engine, "MAX_UNTAKEN_BYTES", 1_000_000)
            status, _, headers = post(port, encoded())
            assert (status, headers["Retry-After"]) == (503, "5")
            with monkeypatch.context() as hurry:
                hurry.setattr(serving, "SLOWNESS_S", 0.0)
                hurry.setattr(serving, "LEAST_RATE", 1e12)
                wait_until(lambda: parts.engine.untaken_bytes() == 0)
            assert post(port, encoded())[0] == 200


def test_all_addresses_of_ipv6_are_those_of_ipv4_too(make_app: Callable[..., Flask]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this system has no IPv6")
    with listening(make_app(port=0, host="::", public=True)) as server:
        for host in ("127.0.0.1", "[::1]"):
            assert get(f"http://{host}:{server.effective_port}/healthz")


@pytest.mark.skipif(not hasattr(socket, "MSG_DONTWAIT"), reason="Windows has no gunicorn")
def test_under_gunicorn_it_is_seen_that_a_client_has_left() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        is_gone = gone_check({"gunicorn.socket": ours})
        assert not is_gone()
        theirs.send(b"another request")
        assert not is_gone()
        ours.recv(100)
        theirs.close()
        assert is_gone()
        ours.close()
        assert is_gone()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_finish_what_is_in(
    serve: Callable[..., Server], number: signal.Signals
) -> None:
    server = serve("--threads", "1")
    picture = encoded((2048, 2048), "JPEG")
    answers: list[int] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            answers.append(post(server.port, picture, size="2048")[0])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    all_in = "\nfacesketch_pending_requests 3.0\n"
    wait_until(lambda: all_in in get(f"{server.url}/metrics").decode())
    stopping.set()
    server.process.send_signal(number)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert set(answers) <= {200, 503}  # who asked again at that moment came too late
    assert answers.count(200) >= 3
    assert server.process.wait(30) == 0


def test_a_port_that_is_taken_is_said(weights_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--weights", str(weights_dir), "--port", port)
    assert done.returncode == 2
    assert port in done.stderr
    assert "--port" in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facesketch", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--host", "0.0.0.0"], 2, "--api-key"),  # noqa: S104
        (["--port", "many"], 2, "port"),
        (["--weights", "nowhere"], 1, "nowhere"),
        (["--device", "abacus"], 2, "abacus"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    arguments: list[str], code: int, named: str
) -> None:
    done = run("serve", *arguments)
    assert done.returncode == code
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.dev
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_the_gunicorn_command_of_the_guide_serves(
    weights_dir: Path, tmp_path: Path, secure: bool
) -> None:
    options: list[str] = []
    context = None
    if secure:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-out", certificate, "-keyout", key],
            check=True, capture_output=True,
        )  # fmt: skip
        options = ["--certfile", str(certificate), "--keyfile", str(key)]
        context = ssl.create_default_context(cafile=str(certificate))
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--threads", "72", "--bind", "127.0.0.1:0", *options,
         "facesketch.server.app:create_app()"],
        env=os.environ | {"FACESKETCH_WEIGHTS": str(weights_dir)},
        stderr=subprocess.PIPE,
        bufsize=0,  # select sees no line that has been read ahead
    )  # fmt: skip
    try:
        assert process.stderr is not None
        port = 0
        while not port:
            assert select.select([process.stderr], [], [], 30)[0], "gunicorn did not start"
            line = process.stderr.readline()
            assert line, "gunicorn ended"
            found = re.search(rb"Listening at: https?://127.0.0.1:(\d+)", line)
            port = int(found[1]) if found else 0
        status, data, _ = post(port, encoded(), context=context, direction="photo2sketch")
        assert (status, data[:4]) == (200, b"\x89PNG")
        assert get(f"http{'s' * secure}://127.0.0.1:{port}/readyz", context)
    finally:
        process.terminate()
        process.communicate(timeout=60)
