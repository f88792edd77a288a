"""What may come between while a picture is converted, and what the options are about then."""

from __future__ import annotations

from typing import Any

import pytest

from browser_helpers import DRAWING, PHOTO, Studio

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

SLOW_DECODING = """() => {
    const decode = HTMLImageElement.prototype.decode;
    const waiting = [];
    window.decodeOn = () => waiting.splice(0).forEach((resolve) => resolve());
    HTMLImageElement.prototype.decode = async function () {
        await new Promise((resolve) => {
            document.body.dataset.waiting = waiting.push(resolve);
        });
        return decode.call(this);
    };
}"""


def test_a_newer_picture_takes_over(studio: Studio) -> None:
    held = studio.hold()
    studio.choose(PHOTO)
    expect(studio.find("#view-working")).to_be_visible()
    studio.choose(DRAWING)
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    expect(studio.find("#history li")).to_have_count(1)
    assert len(held) == 1


def test_another_mode_drops_what_is_being_converted(studio: Studio) -> None:
    studio.hold()
    studio.choose(PHOTO)
    expect(studio.find("#view-working")).to_be_visible()
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    expect(studio.find("#view-working")).to_be_hidden()
    expect(studio.find("#board")).to_be_visible()


def test_options_are_about_the_picture_that_is_seen(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    studio.hold()
    studio.choose(DRAWING)
    expect(studio.find("#view-working")).to_be_visible()
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    studio.page.get_by_role("button", name="Picture", exact=True).click()
    expect(studio.result()).to_be_visible()
    studio.page.get_by_label("Portrait").check()
    expect(studio.find("#history li")).to_have_count(2)
    expect(studio.find("#status")).to_contain_text("Taken for a photo")


def test_waiting_shows_the_picture_in_place_and_can_be_cancelled(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    sheet = studio.find("#view-result .sheet").bounding_box()
    held = studio.hold()
    studio.choose(DRAWING)
    expect(studio.find("#working-picture")).to_be_visible()
    assert studio.find("#view-working .sheet").bounding_box() == sheet
    expect(studio.find("#status")).to_contain_text("Sending 89 kB")
    studio.page.get_by_role("button", name="Cancel").click()
    expect(studio.find("#status")).to_have_text("Cancelled.")
    expect(studio.result()).to_be_visible()
    assert len(held) == 1


def test_cancel_counts_until_the_result_is_seen(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    held = studio.hold()
    studio.choose(DRAWING)
    expect(studio.find("#view-working")).to_be_visible()
    studio.page.evaluate(SLOW_DECODING)
    held[0].continue_()
    expect(studio.find("body")).to_have_attribute("data-waiting", "1")  # the answer is there
    studio.page.get_by_role("button", name="Cancel").click()
    studio.page.evaluate("window.decodeOn()")
    expect(studio.find("#status")).to_have_text("Cancelled.")
    expect(studio.find("#view-working")).to_be_hidden()
    expect(studio.find("#result-mat .right")).to_have_text("Drawing")
    expect(studio.find("#history li")).to_have_count(1)


def test_cancel_counts_before_the_picture_is_seen(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.result()).to_be_visible()
    studio.page.evaluate(SLOW_DECODING)
    studio.choose(DRAWING)
    expect(studio.find("body")).to_have_attribute("data-waiting", "1")
    studio.page.keyboard.press("Escape")
    studio.page.evaluate("window.decodeOn()")
    expect(studio.find("#status")).to_have_text("Cancelled.")
    studio.page.evaluate("setInterval(() => window.decodeOn())")
    studio.page.get_by_label("Portrait").check()
    expect(studio.find("#history li")).to_have_count(2)
    expect(studio.find("#result-mat")).to_contain_text("Drawing")


def test_the_mode_that_is_on_leaves_the_waiting_in_sight(studio: Studio) -> None:
    studio.hold()
    studio.choose(PHOTO)
    expect(studio.find("#view-working")).to_be_visible()
    studio.page.get_by_role("button", name="Picture", exact=True).click()
    expect(studio.page.get_by_role("button", name="Cancel")).to_be_visible()


def test_what_was_turned_back_keeps_its_direction_until_another_is_chosen(studio: Studio) -> None:
    studio.page.get_by_label("To drawing").check()
    studio.choose(PHOTO)
    studio.page.get_by_role("button", name="Back to a photo").click()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    expect(studio.find("#style-set")).to_be_hidden()
    studio.page.get_by_label("As it is").check()
    expect(studio.find("#history li")).to_have_count(3)
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    studio.page.get_by_label("Detect").check()
    expect(studio.find("#history li")).to_have_count(4)


def test_focus_stays_in_the_visit_while_it_grows(studio: Studio) -> None:
    studio.choose(PHOTO)
    first = studio.find("#history button").first
    first.focus()
    label = first.get_attribute("aria-label")
    studio.page.evaluate("document.getElementById('options').elements.direction[2].click()")
    expect(studio.find("#history li")).to_have_count(2)
    focused = "document.activeElement.getAttribute('aria-label')"
    assert studio.page.evaluate(focused) == label
    assert label.endswith("number 1")


@pytest.mark.parametrize("size", [(1366, 768), (1366, 720), (1000, 720), (1366, 640), (1000, 560)])
def test_a_low_window_shows_the_welcome_whole(open_studio: Any, size: tuple[int, int]) -> None:
    studio = open_studio(viewport={"width": size[0], "height": size[1]})
    samples = studio.find(".welcome .samples").bounding_box()
    message = studio.find(".message").bounding_box()
    assert samples["y"] + samples["height"] <= message["y"]
