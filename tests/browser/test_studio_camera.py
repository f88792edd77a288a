"""The camera: asked for only at a press, one picture or live, and a sentence when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from browser_helpers import Studio, stop_the_clock

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

FAILING = """(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "%s"));
})();"""
WATCHED = """(() => {
    const media = navigator.mediaDevices;
    const ask = media.getUserMedia.bind(media);
    window.streams = [];
    media.getUserMedia = async (wish) => {
        window.streams.push(await ask(wish));
        return window.streams.at(-1);
    };
})();"""
SLOW = """(() => {
    const media = navigator.mediaDevices;
    const ask = media.getUserMedia;
    media.getUserMedia = (wish) => new Promise((resolve) => {
        window.grant = async () => {
            resolve(await ask(wish));
            await new Promise((seen) => setTimeout(seen));
        };
    });
})();"""
SECOND = """(() => {
    const media = navigator.mediaDevices;
    const list = media.enumerateDevices.bind(media);
    const ask = media.getUserMedia.bind(media);
    const isBack = (wish) => wish.video.deviceId?.exact === "back";
    const back = { kind: "videoinput", deviceId: "back" };
    media.enumerateDevices = async () => [...(await list()), back];
    media.getUserMedia = async (wish) => {
        const stream = await ask(isBack(wish) ? { video: true } : wish);
        if (isBack(wish)) {
            const settings = { deviceId: "back", facingMode: "environment" };
            stream.getTracks()[0].getSettings = () => settings;
        }
        return stream;
    };
})();"""
DEVICE = "window.streams.at(-1).getTracks()[0].getSettings().deviceId"
TRACKS = "window.streams.map((stream) => stream.getTracks()[0].readyState)"


def open_camera(studio: Studio) -> None:
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.page.get_by_role("button", name="Turn the camera on").click()
    expect(studio.find("#status")).to_have_text("The camera is on.")


@pytest.fixture
def watched(open_studio: Any) -> Studio:
    """Open the studio with a record of the camera streams it was given."""
    page: Studio = open_studio(before=lambda page: page.add_init_script(WATCHED))
    return page


def test_the_camera_is_asked_for_only_when_the_person_presses(watched: Studio) -> None:
    watched.page.get_by_role("button", name="Camera", exact=True).click()
    expect(watched.find("#camera-on")).to_be_visible()
    assert watched.page.evaluate(TRACKS) == []
    watched.find("#camera-on").click()
    expect(watched.find("#status")).to_have_text("The camera is on.")
    assert watched.page.evaluate(TRACKS) == ["live"]


def test_the_camera_takes_a_picture_and_goes_off(watched: Studio) -> None:
    open_camera(watched)
    expect(watched.find("#video")).to_have_class("mirrored")
    watched.page.get_by_role("button", name="Take the picture").click()
    expect(watched.result()).to_have_js_property("naturalWidth", 480)
    expect(watched.find("#result-mat .right")).to_have_text("Drawing")
    assert watched.page.evaluate(TRACKS) == ["ended"]


def test_live_converts_one_picture_at_a_time_and_shows_the_rate(watched: Studio) -> None:
    open_camera(watched)
    watched.page.get_by_role("button", name="Live").click()
    expect(watched.find("#live-picture")).to_have_js_property("naturalWidth", 256)
    first = watched.find("#live-picture").get_attribute("src")
    expect(watched.find("#live-picture")).not_to_have_attribute("src", first)
    expect(watched.find("#live-fps")).to_contain_text("pictures a second")
    expect(watched.find("#live-fps")).not_to_contain_text("0.0")
    assert watched.most_in_flight == 1
    watched.page.get_by_role("button", name="Turn off").click()
    expect(watched.find("#camera-on")).to_be_visible()
    assert watched.page.evaluate(TRACKS) == ["ended"]


def test_live_waits_when_the_server_is_busy_and_goes_on(open_studio: Any) -> None:
    studio = open_studio(before=stop_the_clock)
    studio.be_busy_once()
    open_camera(studio)
    studio.page.get_by_role("button", name="Live").click()
    expect(studio.find("#status")).to_contain_text("live goes on in 60 s")
    studio.page.clock.run_for(61_000)
    expect(studio.find("#live-picture")).to_have_js_property("naturalWidth", 256)


def test_live_goes_on_with_the_other_camera_and_with_the_first_again(open_studio: Any) -> None:
    studio = open_studio(before=lambda page: page.add_init_script(SECOND + WATCHED))
    open_camera(studio)
    first_device = studio.page.evaluate(DEVICE)
    studio.page.get_by_role("button", name="Live").click()
    expect(studio.find("#live-picture")).to_have_js_property("naturalWidth", 256)
    studio.page.get_by_role("button", name="Other camera").click()
    expect(studio.find("#status")).to_contain_text("Live: the camera's pictures")
    assert studio.page.evaluate(TRACKS) == ["ended", "live"]
    assert studio.page.evaluate(DEVICE) == "back"
    expect(studio.find("#video")).not_to_have_class("mirrored")  # it looks away from the person
    expect(studio.find("#live-picture")).to_have_js_property("naturalWidth", 256)
    first = studio.find("#live-picture").get_attribute("src")
    expect(studio.find("#live-picture")).not_to_have_attribute("src", first)
    studio.page.get_by_role("button", name="Other camera").click()
    expect(studio.find("#video")).to_have_class("mirrored")
    assert studio.page.evaluate(TRACKS) == ["ended", "ended", "live"]
    assert studio.page.evaluate(DEVICE) == first_device


def test_another_mode_turns_the_camera_off(watched: Studio) -> None:
    open_camera(watched)
    watched.page.get_by_role("button", name="Draw", exact=True).click()
    assert watched.page.evaluate(TRACKS) == ["ended"]


def test_a_camera_that_is_granted_too_late_goes_off_again(open_studio: Any) -> None:
    studio = open_studio(before=lambda page: page.add_init_script(WATCHED + SLOW))
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.find("#camera-on").click()
    expect(studio.find("#status")).to_contain_text("Waiting for the camera")
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    studio.page.evaluate("window.grant()")
    expect(studio.find("#board")).to_be_visible()
    assert studio.page.evaluate(TRACKS) == ["ended"]


def test_a_hidden_page_turns_the_camera_off(watched: Studio) -> None:
    open_camera(watched)
    watched.page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    expect(watched.find("#status")).to_contain_text("turned off while the page was hidden")
    assert watched.page.evaluate(TRACKS) == ["ended"]


def test_a_camera_that_comes_while_the_page_is_hidden_goes_off_again(open_studio: Any) -> None:
    studio = open_studio(before=lambda page: page.add_init_script(WATCHED + SLOW))
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.find("#camera-on").click()
    expect(studio.find("#status")).to_contain_text("Waiting for the camera")
    studio.page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    studio.page.evaluate("window.grant()")
    expect(studio.find("#status")).to_contain_text("turned off while the page was hidden")
    assert studio.page.evaluate(TRACKS) == ["ended"]
    expect(studio.find("#camera-on")).to_be_enabled()


def test_a_refused_camera_gets_a_sentence(open_studio: Any) -> None:
    studio = open_studio(permissions=["geolocation"])  # whatever is not granted is refused
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.find("#camera-on").click()
    expect(studio.find("#error")).to_contain_text("The camera was refused. Allow it")
    expect(studio.find("#camera-on")).to_be_enabled()
    expect(studio.find("#phone-camera")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("NotFoundError", "No camera was found."), ("NotReadableError", "The camera is busy.")],
)
def test_a_missing_or_busy_camera_gets_a_sentence(
    open_studio: Any, name: str, sentence: str
) -> None:
    studio = open_studio(before=lambda page: page.add_init_script(FAILING % name))
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.find("#camera-on").click()
    expect(studio.find("#error")).to_contain_text(sentence)


def test_an_unsafe_page_says_what_the_camera_needs(open_studio: Any, address: str) -> None:
    studio = open_studio()
    studio.address = address.replace("127.0.0.1", "studio.test")
    studio.requests.clear()
    studio.open()
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.find("#camera-on").click()
    expect(studio.find("#error")).to_contain_text("HTTPS or on localhost")
    expect(studio.find("#phone-camera")).to_be_visible()
    # Chromium's note that a header of ours does nothing on unsafe pages.
    assert all("Cross-Origin-Opener-Policy" in text for text in studio.complaints)
    studio.complaints.clear()
