"""The drawing desk: a photo follows the pen, lines can be taken back, and keys can draw."""

from __future__ import annotations

from typing import Any

import pytest

from browser_helpers import Studio, stop_the_clock

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

DARK_PIXELS = """() => {
    const board = document.getElementById("board");
    const { data } = board.getContext("2d").getImageData(0, 0, board.width, board.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += data[i] < 128;
    return count;
}"""


def dark_pixels(studio: Studio) -> int:
    count: int = studio.page.evaluate(DARK_PIXELS)
    return count


@pytest.fixture
def desk(studio: Studio) -> Studio:
    """Open the drawing desk."""
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    return studio


def test_the_photo_follows_the_drawing(desk: Studio) -> None:
    expect(desk.find("#drawn-blank")).to_be_visible()
    desk.line((0.3, 0.4), (0.4, 0.4), (0.45, 0.42))
    photo = desk.find("#drawn-picture")
    expect(photo).to_have_js_property("naturalWidth", 512)
    first = photo.get_attribute("src")
    desk.line((0.55, 0.42), (0.6, 0.4), (0.7, 0.4))
    expect(photo).not_to_have_attribute("src", first)
    assert desk.most_in_flight == 1


def test_every_step_can_be_taken_back_and_made_again(desk: Studio) -> None:
    press = desk.page.keyboard.press
    desk.line((0.2, 0.2), (0.8, 0.2))
    one = dark_pixels(desk)
    desk.line((0.2, 0.5), (0.8, 0.5))
    two = dark_pixels(desk)
    assert two > one > 0
    press("Control+Z")  # a large letter: Caps Lock is on
    assert dark_pixels(desk) == one
    press("Control+y")
    assert dark_pixels(desk) == two
    desk.page.get_by_role("button", name="Clear", exact=True).click()
    assert dark_pixels(desk) == 0
    expect(desk.find("#drawn-blank")).to_be_visible()
    desk.page.get_by_role("button", name="Undo", exact=True).click()
    assert dark_pixels(desk) == two
    press("Control+z")
    press("Control+z")
    expect(desk.find("#undo")).to_be_disabled()
    press("Control+Shift+z")
    desk.page.get_by_role("button", name="Redo").click()
    assert dark_pixels(desk) == two
    press("Control+z")
    desk.line((0.2, 0.8), (0.8, 0.8))
    expect(desk.find("#redo")).to_be_disabled()


def test_lines_that_would_be_lost_are_asked_for(desk: Studio) -> None:
    questions: list[str] = []

    def leave(dialog: Any) -> None:
        questions.append(dialog.type)
        dialog.accept()

    desk.page.on("dialog", leave)
    desk.line((0.3, 0.4), (0.7, 0.4))
    desk.open()
    assert questions == ["beforeunload"]
    desk.page.get_by_role("button", name="Draw", exact=True).click()
    desk.line((0.3, 0.4), (0.7, 0.4))
    desk.page.get_by_role("button", name="Done").click()
    expect(desk.result()).to_be_visible()
    desk.open()
    assert len(questions) == 1


def test_the_eraser_takes_ink_away(desk: Studio) -> None:
    desk.line((0.2, 0.5), (0.8, 0.5))
    before = dark_pixels(desk)
    desk.page.get_by_role("button", name="Eraser").click()
    desk.line((0.5, 0.3), (0.5, 0.7))
    assert 0 < dark_pixels(desk) < before


def test_pressure_makes_a_pen_line_wider(desk: Studio) -> None:
    widths = [pen_line(desk, force, height) for force, height in ((0.1, 0.3), (0.9, 0.6))]
    assert widths[1] > 1.5 * widths[0]


def pen_line(desk: Studio, force: float, height: float) -> int:
    before = dark_pixels(desk)
    box = desk.find("#board").bounding_box()
    session = desk.page.context.new_cdp_session(desk.page)
    steps = [("Pressed", 0.2), ("Moved", 0.5), ("Moved", 0.8), ("Released", 0.8)]
    for kind, share in steps:
        place: dict[str, Any] = {
            "x": box["x"] + share * box["width"],
            "y": box["y"] + height * box["height"],
        }
        pen = {
            "type": f"mouse{kind}",
            "pointerType": "pen",
            "force": force,
            "button": "left",
            "buttons": 1,
        }
        session.send("Input.dispatchMouseEvent", place | pen | {"clickCount": 1})
    return dark_pixels(desk) - before


def test_keys_can_draw(desk: Studio) -> None:
    desk.find("#board").focus()
    desk.page.keyboard.press("ArrowDown")
    assert dark_pixels(desk) == 0
    desk.page.keyboard.press("Space")
    for _ in range(5):
        desk.page.keyboard.press("ArrowRight")
    desk.page.keyboard.press("Space")
    assert dark_pixels(desk) > 100
    expect(desk.find("#drawn-picture")).to_be_visible()


def test_a_finished_drawing_goes_to_the_sheet_and_stays_on_the_desk(desk: Studio) -> None:
    desk.line((0.3, 0.4), (0.7, 0.4))
    desk.page.get_by_role("button", name="Done").click()
    expect(desk.find("#result-mat .left")).to_have_text("Drawing")
    expect(desk.find("#history li")).to_have_count(1)
    desk.page.get_by_role("button", name="Draw", exact=True).click()
    assert dark_pixels(desk) > 0


def test_a_finger_draws_without_moving_the_page(open_studio: Any) -> None:
    studio = open_studio(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    box = studio.find("#board").bounding_box()
    session = studio.page.context.new_cdp_session(studio.page)
    for step in range(10):
        kind = {0: "touchStart", 9: "touchEnd"}.get(step, "touchMove")
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 200 - 15 * step}
        touch = {"type": kind, "touchPoints": [] if kind == "touchEnd" else [point]}
        session.send("Input.dispatchTouchEvent", touch)
    assert dark_pixels(studio) > 100
    assert studio.page.evaluate("scrollY") == 0


def test_a_palm_on_the_paper_does_not_cut_the_line(desk: Studio) -> None:
    box = desk.find("#board").bounding_box()
    height = box["y"] + box["height"] / 2
    desk.page.mouse.move(box["x"] + 50, height)
    desk.page.mouse.down()
    desk.page.mouse.move(box["x"] + 100, height)
    before = dark_pixels(desk)
    palm = {"pointerId": 99, "pointerType": "touch", "bubbles": True, "button": 0}
    for kind in ("pointerdown", "pointerup"):
        desk.find("#board").dispatch_event(kind, palm)
    desk.page.mouse.move(box["x"] + 200, height)
    assert dark_pixels(desk) > 2 * before
    desk.page.mouse.up()


def test_the_last_stroke_is_not_lost_to_a_busy_server(open_studio: Any) -> None:
    studio = open_studio(before=stop_the_clock)
    studio.be_busy_once()
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    studio.line((0.3, 0.4))
    expect(studio.find("#status")).to_contain_text("going on in 60 s")
    studio.page.clock.run_for(61_000)
    expect(studio.find("#drawn-picture")).to_have_js_property("naturalWidth", 512)
