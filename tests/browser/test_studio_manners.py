"""Manners: sentences for errors, access for everyone, phones, keys, and nothing on the disk."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_helpers import DRAWING, KEY, PHOTO, OpenedFiles, Studio, stop_the_clock

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
STRANGER = {"extra_http_headers": {"X-Forwarded-For": "203.0.113.7"}}
SMALLEST_TARGET = 44
MODES = ("picture", "camera", "draw", "result")
SIZES = """(all) => all.map((target) => {
    const { width, height } = target.getBoundingClientRect();
    return [width, height, target.textContent.trim()];
})"""
TARGETS = "button:visible, label.button:visible, .segments label:visible, .check:visible"


def send(studio: Studio, name: str, buffer: bytes) -> None:
    studio.find("#file").set_input_files({"name": name, "mimeType": "", "buffer": buffer})


def test_what_is_no_picture_gets_the_servers_sentence(studio: Studio) -> None:
    send(studio, "notes.txt", b"no picture at all")
    expect(studio.find("#error")).to_contain_text("picture")
    expect(studio.find("#view-welcome")).to_be_visible()
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    expect(studio.find("#error")).to_be_empty()


def test_a_file_above_the_limit_is_refused_before_it_is_sent(studio: Studio) -> None:
    send(studio, "huge.jpg", bytes(4_100_000))
    expect(studio.find("#error")).to_have_text(
        "huge.jpg has 4.1 MB, and this server takes 4.0 MB; save it smaller or choose another."
    )
    assert not any("convert" in url for url in studio.requests)


def test_an_empty_file_is_named(studio: Studio) -> None:
    send(studio, "empty.png", b"")
    expect(studio.find("#error")).to_have_text("empty.png is empty; choose another.")


def test_a_server_that_is_gone_is_said_in_place(studio: Studio) -> None:
    studio.page.route("**/api/v1/convert", lambda route: route.abort())
    studio.choose(PHOTO)
    expect(studio.find("#error")).to_contain_text("The server cannot be reached.")


def test_a_server_that_is_gone_gives_no_sample_and_that_is_said(studio: Studio) -> None:
    studio.page.route("**/samples/*", lambda route: route.abort())
    studio.page.get_by_role("button", name="Another drawing").click()
    expect(studio.find("#error")).to_contain_text("The server cannot be reached.")
    (complaint,) = studio.complaints
    assert "ERR_FAILED" in complaint  # the browser's own
    studio.complaints.clear()


@pytest.mark.parametrize(
    ("status", "media_type"), [(200, "application/json"), (422, "application/problem+json")]
)
def test_an_answer_that_breaks_off_is_said_in_place(
    studio: Studio, status: int, media_type: str
) -> None:
    answer = {"status": status, "content_type": media_type, "body": '{"detail": "half'}
    studio.page.route("**/api/v1/convert", lambda route: route.fulfill(**answer))
    studio.choose(PHOTO)
    expect(studio.find("#error")).to_contain_text("The server cannot be reached.")


def test_a_busy_server_is_waited_for_and_not_every_second_is_read_out(open_studio: Any) -> None:
    studio = open_studio(before=stop_the_clock)
    studio.be_busy_once()
    studio.choose(PHOTO)
    seen, heard = studio.find("#status"), studio.page.get_by_role("status")
    for seconds, last_heard in ((60, 60), (51, 60), (50, 50), (49, 50)):
        expect(seen).to_have_text(f"The server is busy; trying again in {seconds} s.")
        expect(heard).to_have_text(f"The server is busy; trying again in {last_heard} s.")
        studio.page.clock.run_for(9_000 if seconds == 60 else 1_000)
    studio.page.clock.run_for(61_000)
    expect(studio.result()).to_be_visible()


def test_a_slow_line_is_told_from_a_slow_server(open_studio: Any) -> None:
    studio = open_studio()
    session = studio.page.context.new_cdp_session(studio.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", slow)
    send(studio, "noise.png", noise())
    expect(studio.find("#status")).to_have_text(re.compile(r"Sending 3.0 MB, \d+ % so far …"))


def test_a_dead_line_is_given_up(open_studio: Any) -> None:
    studio = open_studio(before=stop_the_clock)
    studio.hold()
    studio.choose(PHOTO)
    expect(studio.find("#view-working")).to_be_visible()
    studio.page.clock.run_for(61_000)
    expect(studio.find("#error")).to_contain_text("The connection has died.")


def test_a_device_that_is_offline_is_told(open_studio: Any) -> None:
    studio = open_studio(f"#key={KEY}", **STRANGER)
    studio.page.context.set_offline(True)
    studio.choose(PHOTO)
    expect(studio.find("#error")).to_contain_text("This device is offline.")


def test_the_studio_works_behind_a_proxys_prefix(open_studio: Any) -> None:
    studio = open_studio("sketch/")
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    link = studio.page.get_by_role("link", name="API")
    assert link.get_attribute("href") == "/sketch/api/docs"
    own = (studio.address + "sketch/", "blob:", "data:")
    assert [url for url in studio.requests if not url.startswith(own)] == []


def test_a_page_that_does_not_start_says_what_it_needs(studio: Studio) -> None:
    note = studio.find("#not-started")
    expect(note).to_have_count(0)
    # In place of a browser that is too old.
    studio.page.route("**/studio.js", lambda route: route.abort())
    studio.page.reload()
    expect(note).to_be_hidden()
    studio.page.evaluate("document.getAnimations().forEach((waiting) => waiting.finish())")
    expect(note).to_be_visible()
    studio.complaints.clear()


def give_the_key_once(studio: Studio) -> None:
    """Answer the question for the key; it serves for the next picture too."""
    studio.find("#key").fill(KEY)
    studio.page.keyboard.press("Enter")
    expect(studio.result()).to_be_visible()
    studio.choose(DRAWING)
    expect(studio.find("#history li")).to_have_count(2)


def test_a_stranger_is_asked_for_the_key_once(open_studio: Any) -> None:
    studio = open_studio(**STRANGER)
    studio.choose(PHOTO)
    studio.find("#key").fill("a-wrong-key")
    studio.page.keyboard.press("Enter")
    expect(studio.find("#key-note")).to_contain_text("not accepted")
    give_the_key_once(studio)


def test_who_has_no_key_can_cancel(open_studio: Any) -> None:
    studio = open_studio(**STRANGER)
    studio.choose(PHOTO)
    studio.find("#key-dialog").get_by_role("button", name="Cancel").click()
    expect(studio.find("#view-welcome")).to_be_visible()


def test_the_key_comes_with_the_address_and_leaves_it(open_studio: Any, address: str) -> None:
    studio = open_studio(f"#key={KEY}", **STRANGER)
    assert studio.page.url == address
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()


def test_so_does_one_that_is_pasted_into_an_open_page(open_studio: Any, address: str) -> None:
    studio = open_studio(**STRANGER)
    studio.page.evaluate(f"location.hash = 'key={KEY.replace('+', '%2B')}'")
    studio.page.wait_for_url(address)
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()


def test_the_page_says_where_the_picture_goes(open_studio: Any) -> None:
    expect(open_studio().find(".privacy")).to_have_text("Your picture stays on this machine.")
    expect(open_studio(**STRANGER).find(".privacy")).to_contain_text("goes to this server")


def test_the_keyboard_is_enough(studio: Studio) -> None:
    keyboard = studio.page.keyboard
    keyboard.press("Tab")
    expect(studio.page.get_by_role("link", name="Skip to the sheet")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(studio.find("#file")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(studio.find("compare-slider").get_by_role("slider")).to_be_focused()
    keyboard.press("Tab")
    expect(studio.find("#download")).to_be_focused()


def test_a_phone_shows_everything_and_fingers_hit_it(open_studio: Any) -> None:
    studio = open_studio(**PHONE)
    for mode in MODES:
        enter(studio, mode)
        assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360, mode
        sizes = studio.find(TARGETS).evaluate_all(SIZES)
        assert [size for size in sizes if min(size[:2]) < SMALLEST_TARGET - 0.5] == [], mode


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_studio: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    studio = open_studio(color_scheme=scheme)
    for mode in (*MODES, "full"):
        enter(studio, mode)
        found = axe.run(studio.page).response["violations"]
        grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in grave] == [], mode


def test_the_theme_can_be_changed_and_is_remembered(open_studio: Any) -> None:
    studio = open_studio(color_scheme="light")
    colour = "getComputedStyle(document.body).color"
    light = studio.page.evaluate(colour)
    studio.find("#theme").click()
    dark = studio.page.evaluate(colour)
    assert dark != light
    studio.open()
    assert studio.page.evaluate(colour) == dark


def test_the_studio_works_where_the_browser_may_keep_nothing(open_studio: Any) -> None:
    studio = open_studio(before=block_storage, color_scheme="light", **STRANGER)
    studio.find("#theme").click()
    expect(studio.find("html")).to_have_attribute("data-theme", "dark")
    studio.find("#theme").click()
    expect(studio.find("html")).not_to_have_attribute("data-theme", "dark")
    studio.page.get_by_role("radio", name="Edge").check(force=True)
    studio.choose(PHOTO)
    give_the_key_once(studio)


def test_focus_is_not_lost_with_the_button_that_cleared(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    studio.page.get_by_role("button", name="Clear", exact=True).press("Enter")
    expect(studio.find("#restore-history")).to_be_focused()
    for name in ("Undo", "Clear"):
        enter(studio, "draw")
        studio.line((0.3, 0.4), (0.7, 0.4))
        studio.page.get_by_role("button", name=name, exact=True).press("Enter")
        expect(studio.find("#board")).to_be_focused()


def test_pictures_never_touch_the_servers_disk(studio: Studio, opened_files: OpenedFiles) -> None:
    send(studio, "noise.png", noise())
    expect(studio.result()).to_be_visible()
    enter(studio, "camera")
    studio.find("#camera-on").click()
    studio.page.get_by_role("button", name="Live").click()
    expect(studio.find("#live-picture")).to_have_js_property("naturalWidth", 256)
    assert any(path.endswith("studio.js") for path in opened_files.read)  # it does see
    assert opened_files.written == []


def noise() -> bytes:
    """Make a PNG of 3 MB, where servers begin to use files."""
    pixels = np.random.default_rng(7).integers(0, 256, (1000, 1000, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def block_storage(page: Any) -> None:
    """Refuse the page all site data, as a browser's setting does."""
    page.add_init_script("""
        for (const name of ["localStorage", "sessionStorage"]) {
            Object.defineProperty(window, name, {
                get() { throw new DOMException("Access is denied.", "SecurityError"); },
            });
        }
    """)


def enter(studio: Studio, mode: str) -> None:
    """Bring the page to a state."""
    if mode in ("camera", "draw"):
        studio.find(f"[data-mode={mode}]").click()
        expect(studio.find(f"#view-{mode}")).to_be_visible()
    if mode == "result":
        studio.choose(PHOTO)
        expect(studio.result()).to_be_visible()
    if mode == "full":
        studio.find("#full").click()
