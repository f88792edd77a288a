"""The real server, a real Chromium, and a page of the studio for each test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from browser_helpers import ARGUMENTS, KEY, OpenedFiles, Studio, system_chromium, write_camera_film

TIMEOUT_MS = 20_000  # the machine may be busy


@pytest.fixture(scope="session")
def opened_files(tmp_path_factory: pytest.TempPathFactory) -> OpenedFiles:
    """Collect what the server's threads open, all session long."""
    opened = OpenedFiles()
    sys.addaudithook(opened.watch)
    probe = tmp_path_factory.mktemp("opened") / "probe"
    writing = threading.Thread(target=probe.write_bytes, args=(b"",), name="waitress-probe")
    writing.start()
    writing.join()
    assert opened.written == [str(probe)]  # what is written would be seen
    opened.written.clear()
    return opened


@contextmanager
def served(**settings: object) -> Iterator[str]:
    """Serve the studio, also below /sketch/; clients that come through a proxy need the key."""
    pytest.importorskip("flask", reason="needs the serve extra")
    from werkzeug.middleware.dispatcher import DispatcherMiddleware  # noqa: PLC0415

    from facesketch.server.app import create_app  # noqa: PLC0415
    from facesketch.server.config import build_config  # noqa: PLC0415
    from facesketch.server.serving import make_server  # noqa: PLC0415

    usual = {"port": 0, "api_key": KEY, "max_upload_mb": 4}
    app = create_app(build_config(usual | settings, environment={}))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/sketch": app.wsgi_app})
    server = make_server(app)
    serving = threading.Thread(target=server.run, name="serving", daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{server.effective_port}/"
    server.close()
    server.task_dispatcher.shutdown(timeout=5)
    serving.join(timeout=5)


@pytest.fixture(scope="session")
def address(opened_files: OpenedFiles) -> Iterator[str]:
    """Serve the shipped weights."""
    with served() as url:
        yield url


@pytest.fixture(scope="session")
def styled_address(opened_files: OpenedFiles, styles_dir: Path) -> Iterator[str]:
    """Serve weights of three styles."""
    with served(weights=styles_dir) as url:
        yield url


@pytest.fixture(scope="session")
def one_style_address(opened_files: OpenedFiles, weights_dir: Path) -> Iterator[str]:
    """Serve weights of one style, which has no name."""
    with served(weights=weights_dir) as url:
        yield url


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start Chromium with a camera that sees the sample."""
    reason = "needs playwright (pip install -e .[dev])"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    film = tmp_path_factory.mktemp("camera") / "face.y4m"
    write_camera_film(film)
    camera = (
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )
    sync_api.expect.set_options(timeout=TIMEOUT_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system_chromium(), args=[*ARGUMENTS, *camera]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_studio(chromium: Any, address: str) -> Iterator[Any]:
    """Open pages with any options of a browser context; none may complain, none may phone out."""
    studios: list[Studio] = []
    contexts = []

    def open_one(
        path: str = "", *, at: str = address, before: Any = None, **options: Any
    ) -> Studio:
        usual = {"reduced_motion": "reduce", "permissions": ["camera"]}
        context = chromium.new_context(**usual | options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        studio = Studio(context.new_page(), at)
        studios.append(studio)
        if before:
            before(studio.page)
        studio.open(path)
        return studio

    yield open_one
    for context in contexts:
        context.close()
    for studio in studios:
        assert studio.complaints == []
        own = (studio.address, "blob:", "data:")
        assert [url for url in studio.requests if not url.startswith(own)] == []


@pytest.fixture
def studio(open_studio: Any) -> Studio:
    """Open the studio on a laptop."""
    page: Studio = open_studio(viewport={"width": 1280, "height": 800})
    return page
