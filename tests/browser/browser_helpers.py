"""A studio in a real browser: what is on the page, and what it must not do."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from PIL import Image

import facesketch

SAMPLES = Path(facesketch.__file__).parent / "samples"
PHOTO = SAMPLES / "photo_1.jpg"
KEY = "a-key+for-strangers"  # a plus is no space
DRAWING = SAMPLES / "drawing_1.png"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # Chromium's own does not start as root, as in most containers
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP studio.test 127.0.0.1",  # this machine under an unsafe name
)


def system_chromium() -> str | None:
    """Find an installed Chromium; None lets Playwright take its own, or say that it has none."""
    return next((found for name in CHROMIUMS if (found := shutil.which(name))), None)


def write_camera_film(path: Path) -> None:
    """Write what Chromium's camera shall see: the sample's face in the middle of 640 x 480."""
    picture = Image.new("RGB", (640, 480), (150, 150, 150))
    with Image.open(PHOTO) as face:
        picture.paste(face.convert("RGB").resize((480, 480)), (80, 0))
    luma, blue, red = picture.convert("YCbCr").split()
    planes = (luma, blue.resize((320, 240)), red.resize((320, 240)))
    frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in planes)
    path.write_bytes(b"YUV4MPEG2 W640 H480 F15:1 Ip A1:1 C420jpeg\n" + 4 * frame)


class OpenedFiles:
    """What the server's threads open."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.written: list[str] = []

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a file; to be given to `sys.addaudithook`."""
        if event != "open" or not threading.current_thread().name.startswith("waitress"):
            return
        path, mode, flags = arguments
        is_written = (mode and set(mode) & set("wax+")) or (flags or 0) & 3
        (self.written if is_written else self.read).append(str(path))


def stop_the_clock(page: Any) -> None:
    """Let the page's time pass only by `page.clock.run_for`."""
    page.clock.install(time=0)
    page.clock.pause_at(1)


class Studio:
    """One open page, with a record of all that it asked for and complained of."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str = "") -> None:
        """Open the page and wait until its scripts have run."""
        self.page.goto(self.address + path)
        self.page.wait_for_selector("body[data-ready]")

    def find(self, selector: str) -> Any:
        """Locate an element."""
        return self.page.locator(selector)

    def choose(self, path: Path) -> None:
        """Choose a file."""
        self.find("#file").set_input_files(path)

    def result(self) -> Any:
        """Locate the picture that came back."""
        return self.find("compare-slider img[slot=after]")

    def hold(self) -> list[Any]:
        """Hold the next request to convert on its way; the list gets it."""
        held: list[Any] = []
        self.page.route("**/api/v1/convert", lambda route: held.append(route), times=1)  # noqa: PLW0108  # playwright marks what it calls
        return held

    def be_busy_once(self) -> None:
        """Refuse the next request to convert for a minute, as a busy server does."""
        busy = {"status": 503, "headers": {"Retry-After": "60"}, "body": ""}
        self.page.route("**/api/v1/convert", lambda route: route.fulfill(**busy), times=1)

    def line(self, *points: tuple[float, float]) -> None:
        """Draw a line on the board; places are shares of its width and height."""
        box = self.find("#board").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()

    def _asked(self, request: Any) -> None:
        self.requests.append(request.url)
        if "/convert" in request.url:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def _answered(self, request: Any) -> None:
        self.in_flight -= "/convert" in request.url

    def _said(self, message: Any) -> None:
        # Refusals of pictures are what some tests are about; the browser logs each as an error.
        is_refusal = "/api/v1/convert" in message.location.get("url", "")
        if message.type in ("error", "warning") and not is_refusal:
            self.complaints.append(message.text)
