"""Make studio_light.png and studio_phone_dark.png: the studio with the package's own samples.

    python docs/images/studio.py

Needs the serve and dev extras and a Chromium: the system's, or `playwright install chromium`.
"""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from facesketch.server.app import create_app
from facesketch.server.config import build_config
from facesketch.server.serving import make_server

HERE = Path(__file__).parent
COLOURS = 256


@contextmanager
def studio_address() -> Iterator[str]:
    """Serve the studio on a free port."""
    server = make_server(create_app(build_config({"port": 0}, environment={})))
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}/"
    finally:
        server.close()


def open_studio(browser: Browser, address: str, **options: object) -> Page:
    """Open a page that is ready, without the motion that would blur a picture of it."""
    page = browser.new_context(reduced_motion="reduce", **options).new_page()
    page.route("**/grain.svg", lambda route: route.abort())  # noise would double the files
    page.goto(address, wait_until="networkidle")
    page.wait_for_selector("body[data-ready]")
    return page


def try_samples(page: Page, *names: str) -> None:
    """Convert samples, one after the other; the last stays on the sheet."""
    for count, name in enumerate(names, 1):
        if count > 1:
            page.get_by_role("button", name="Another", exact=True).click()
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("#history li")).to_have_count(count, timeout=30_000)
        expect(page.locator("compare-slider img[slot=after]")).to_be_visible()
    page.locator("#stage").focus()
    page.mouse.move(0, 0)  # nothing shall look pointed at


def save(page: Page, name: str) -> None:
    """Write what the page looks like, small."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
            HERE / name, optimize=True
        )


def main() -> None:
    """Take both pictures."""
    with studio_address() as address, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        desk = {"width": 1440, "height": 900}
        page = open_studio(browser, address, viewport=desk, color_scheme="light")
        try_samples(page, "Another drawing", "A drawing", "A face")
        save(page, "studio_light.png")
        phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
        page = open_studio(browser, address, color_scheme="dark", device_scale_factor=2, **phone)
        try_samples(page, "A drawing")
        save(page, "studio_phone_dark.png")
        browser.close()


if __name__ == "__main__":
    main()
