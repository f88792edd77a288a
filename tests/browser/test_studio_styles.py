"""The style of the drawing: offered where one is made, followed at once, remembered."""

from __future__ import annotations

from typing import Any

import pytest

from browser_helpers import DRAWING, PHOTO, Studio

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
CONVERT = "**/api/v1/convert"


@pytest.fixture
def studio(open_studio: Any, styled_address: str) -> Studio:
    """Open a studio of three styles on a laptop."""
    page: Studio = open_studio(at=styled_address, viewport={"width": 1280, "height": 800})
    return page


def choose_style(studio: Studio, name: str) -> None:
    studio.page.get_by_role("group", name="Style of the drawing").get_by_text(name).click()


def test_another_style_draws_the_picture_on_the_sheet_again(studio: Studio) -> None:
    with studio.page.expect_response(CONVERT) as first:
        studio.choose(PHOTO)
    assert first.value.json()["style"] == "hatch"
    expect(studio.result()).to_be_visible()
    with studio.page.expect_response(CONVERT) as second:
        choose_style(studio, "Edge")
    assert second.value.json()["style"] == "edge"
    expect(studio.find("#history li")).to_have_count(2)
    assert first.value.json()["images"] != second.value.json()["images"]


def test_styles_are_offered_only_where_a_drawing_is_made(studio: Studio) -> None:
    styles = studio.find("#style-set")
    expect(styles).to_be_visible()
    studio.choose(DRAWING)
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    expect(styles).to_be_hidden()
    studio.page.get_by_role("button", name="Back to a drawing").click()
    expect(studio.find("#result-mat .right")).to_have_text("Drawing")
    expect(styles).to_be_visible()
    studio.page.get_by_text("To photo", exact=True).click()
    expect(styles).to_be_hidden()
    studio.page.get_by_text("To drawing", exact=True).click()
    expect(styles).to_be_visible()
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    expect(styles).to_be_hidden()
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    expect(styles).to_be_visible()


def test_a_drawing_of_ones_own_becomes_a_photo_whatever_the_style(studio: Studio) -> None:
    choose_style(studio, "Line")
    studio.page.get_by_role("button", name="Draw", exact=True).click()
    studio.line((0.3, 0.3), (0.5, 0.6), (0.7, 0.3))
    with studio.page.expect_response(CONVERT) as answer:
        studio.find("#keep-drawing").click()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    assert answer.value.ok
    expect(studio.find("#style-set")).to_be_hidden()


def test_turning_back_and_the_live_camera_draw_in_the_style(studio: Studio) -> None:
    choose_style(studio, "Line")
    studio.choose(DRAWING)
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    with studio.page.expect_response(CONVERT) as back:
        studio.page.get_by_role("button", name="Back to a drawing").click()
    assert back.value.json()["style"] == "line"
    studio.page.get_by_role("button", name="Camera", exact=True).click()
    studio.page.get_by_role("button", name="Turn the camera on").click()
    expect(studio.find("#status")).to_have_text("The camera is on.")
    studio.page.get_by_text("To drawing", exact=True).click()
    studio.page.get_by_role("button", name="Live").click()
    expect(studio.find("#live-picture")).to_have_js_property("naturalWidth", 256)
    choose_style(studio, "Edge")
    studio.page.wait_for_event(
        "response", lambda answer: answer.headers.get("facesketch-style") == "edge"
    )


def test_the_style_is_remembered_until_the_tab_is_closed(
    studio: Studio, open_studio: Any, styled_address: str
) -> None:
    choose_style(studio, "Edge")
    studio.open()
    expect(studio.page.get_by_role("radio", name="Edge")).to_be_checked()
    expect(open_studio(at=styled_address).page.get_by_role("radio", name="Hatch")).to_be_checked()


def test_a_style_that_is_no_longer_served_is_forgotten(studio: Studio) -> None:
    studio.page.evaluate("sessionStorage.setItem('facesketch-style', 'ink')")
    studio.open()
    expect(studio.page.get_by_role("radio", name="Hatch")).to_be_checked()


def test_weights_without_styles_offer_none(open_studio: Any, one_style_address: str) -> None:
    plain = open_studio(at=one_style_address)
    plain.choose(PHOTO)
    expect(plain.result()).to_be_visible()
    expect(plain.find("#style-set")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_choose_a_style(open_studio: Any, styled_address: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    studio = open_studio(at=styled_address, color_scheme=scheme, **PHONE)
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360
    for label in studio.find("#style-set label").all():
        assert label.bounding_box()["height"] >= 43.5
        assert label.bounding_box()["width"] >= 43.5
    studio.page.get_by_role("radio", name="Hatch").focus()
    studio.page.keyboard.press("ArrowRight")
    expect(studio.page.get_by_role("radio", name="Edge")).to_be_checked()
    found = axe.run(studio.page).response["violations"]
    grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in grave] == []
