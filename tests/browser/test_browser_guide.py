"""The web page of docs/how-to/browser.md draws what the package draws.

    npm install --no-save onnxruntime-web@1.30.0     # in the root of the repository

It is skipped where that package is not: no test may fetch anything.
"""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="needs the extra dev")

from playwright.sync_api import sync_playwright

from browser_helpers import ARGUMENTS, system_chromium
from documents import ROOT, blocks
from facesketch import Translator
from facesketch.weights_info import SHIPPED_WEIGHTS
from server_helpers import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.dev]

PACKAGE = ROOT / "node_modules" / "onnxruntime-web" / "dist"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the folder that the guide asks for."""
    if not PACKAGE.is_dir():
        pytest.skip("onnxruntime-web is not in node_modules")
    (page,) = blocks(ROOT / "docs" / "how-to" / "browser.md", ("html",))
    (tmp_path / "index.html").write_text(page.code, encoding="utf-8")
    shutil.copy(SHIPPED_WEIGHTS / "photo2sketch-line.onnx", tmp_path)
    for name in ("ort.wasm.min", "ort-wasm-simd-threaded"):
        shutil.copy(PACKAGE / f"{name}.mjs", tmp_path)
    shutil.copy(PACKAGE / "ort-wasm-simd-threaded.wasm", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_page_draws_what_the_translator_draws(address: str, tmp_path: Path, mode: str) -> None:
    with Image.open(SAMPLES / "photo_1.jpg") as sample:
        photo = sample.convert("RGB").resize((256, 256))
    if mode == "RGBA":
        photo.putalpha(255)
        photo.paste((0, 0, 0, 0), (0, 0, 256, 60))  # no ground above the head
    photo.save(tmp_path / "photo.png")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system_chromium(), args=list(ARGUMENTS)
        )
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.set_input_files("#file", tmp_path / "photo.png")
        page.wait_for_selector("body[data-done='photo.png']")
        drawn = page.evaluate("fetch(canvas.toDataURL()).then(r => r.bytes()).then(b => [...b])")
        browser.close()
    with Image.open(io.BytesIO(bytes(drawn))) as image:
        actual = np.asarray(image.convert("L"), int)
    expected = np.asarray(Translator().to_sketch(photo), int)
    assert np.abs(actual - expected).max() <= 1
