"""Pictures in, results out: every way that a picture can come, and what can be done with it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from browser_helpers import DRAWING, PHOTO, Studio, stop_the_clock

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
pytestmark = pytest.mark.browser

GIVE_FILES = """([kind, files]) => {
    const transfer = new DataTransfer();
    transfer.setData("text/plain", "a word");
    for (const [name, data] of files) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
    }
    const options = { bubbles: true, cancelable: true };
    document.getElementById("stage").dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer }));
}"""
ADDRESSES = """(() => {
    window.addresses = new Set();
    const { createObjectURL, revokeObjectURL } = URL;
    URL.createObjectURL = (blob) => {
        const address = createObjectURL(blob);
        window.addresses.add(address);
        return address;
    };
    URL.revokeObjectURL = (address) => {
        window.addresses.delete(address);
        revokeObjectURL(address);
    };
})();"""


def give(studio: Studio, kind: str, *paths: Path) -> None:
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    studio.page.evaluate(GIVE_FILES, [kind, files])


def send_bytes(studio: Studio, buffer: bytes) -> None:
    file = {"name": "picture", "mimeType": "application/octet-stream", "buffer": buffer}
    studio.find("#file").set_input_files(file)


def send_picture(studio: Studio, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP")
    send_bytes(studio, buffer.getvalue())


def two_faces() -> Image.Image:
    picture = Image.new("RGB", (1100, 600), (150, 150, 150))
    with Image.open(PHOTO) as photo:
        picture.paste(photo, (20, 44))
        picture.paste(photo.resize((448, 448)), (600, 76))
    return picture


@pytest.mark.parametrize(
    ("path", "kind", "before", "after"),
    [(PHOTO, "photo", "Photo", "Drawing"), (DRAWING, "drawing", "Drawing", "Photo")],
)
def test_a_chosen_picture_goes_the_way_it_is_taken_for(
    studio: Studio, path: Path, kind: str, before: str, after: str
) -> None:
    studio.choose(path)
    expect(studio.result()).to_have_js_property("naturalWidth", 512)
    expect(studio.find("#result-mat .left")).to_have_text(before)
    expect(studio.find("#result-mat .right")).to_have_text(after)
    expect(studio.find("#status")).to_contain_text(f"Taken for a {kind}.")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(studio: Studio, kind: str) -> None:
    give(studio, kind, PHOTO)
    expect(studio.result()).to_be_visible()
    expect(studio.find("#status")).not_to_contain_text("files")


def test_of_several_files_the_first_is_taken_and_that_is_said(studio: Studio) -> None:
    give(studio, "drop", DRAWING, PHOTO, PHOTO)
    expect(studio.find("#status")).to_contain_text("Took the first of 3 files. Taken for a drawing")


def test_only_files_are_welcomed_where_they_land(studio: Studio) -> None:
    give(studio, "dragenter")
    expect(studio.find("#drop-note")).to_be_hidden()
    give(studio, "dragenter", PHOTO)
    expect(studio.find("#drop-note")).to_be_visible()
    give(studio, "dragleave", PHOTO)
    expect(studio.find("#drop-note")).to_be_hidden()


def test_a_sample_is_converted_at_one_press(studio: Studio) -> None:
    studio.page.get_by_role("button", name="Another drawing").click()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")


def test_the_direction_can_be_changed_afterwards(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.find("#result-mat .right")).to_have_text("Drawing")
    studio.page.get_by_label("To photo").check()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    expect(studio.find("#history li")).to_have_count(2)


def test_options_are_about_what_is_on_the_sheet(studio: Studio) -> None:
    studio.choose(PHOTO)
    expect(studio.find("#result-mat .right")).to_have_text("Drawing")
    send_bytes(studio, b"no picture")
    expect(studio.find("#error")).to_contain_text("not a picture")
    studio.page.get_by_label("To photo").check()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")


def test_the_line_moves_by_keyboard(studio: Studio) -> None:
    studio.choose(PHOTO)
    slider = studio.find("compare-slider").get_by_role("slider")
    expect(slider).to_have_value("50")
    slider.focus()
    for _ in range(4):
        studio.page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("52")
    studio.page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0 % photo")


def test_the_line_moves_by_touch(open_studio: Any) -> None:
    studio = open_studio(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    studio.choose(PHOTO)
    slider = studio.find("compare-slider").get_by_role("slider")
    box = slider.bounding_box()
    studio.page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    expect(slider).to_have_attribute("aria-valuetext", "80 % photo")


def test_the_result_goes_back_the_other_way(studio: Studio) -> None:
    studio.choose(PHOTO)
    studio.page.get_by_role("button", name="Back to a photo").click()
    expect(studio.find("#result-mat .right")).to_have_text("Photo")
    expect(studio.page.get_by_role("button", name="Back to a drawing")).to_be_visible()


def test_a_result_is_downloaded_as_a_picture(studio: Studio) -> None:
    studio.choose(PHOTO)
    with studio.page.expect_download() as download:
        studio.page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "photo_1-sketch.png"
    with Image.open(download.value.path()) as picture:
        assert picture.size == (512, 512)


def test_a_copied_result_can_be_pasted(open_studio: Any) -> None:
    studio = open_studio(permissions=["clipboard-read", "clipboard-write"])
    studio.choose(PHOTO)
    studio.page.get_by_role("button", name="Copy").click()
    expect(studio.find("#status")).to_contain_text("Copied")
    studio.page.get_by_role("button", name="Another").click()
    studio.page.keyboard.press("Control+V")
    expect(studio.find("#result-mat .right")).to_have_text("Photo")


def test_both_pictures_stand_side_by_side_at_full_size(studio: Studio) -> None:
    studio.choose(PHOTO)
    studio.page.get_by_role("button", name="Side by side").click()
    expect(studio.find("#full-pictures img")).to_have_count(2)
    assert studio.find("#full-pictures img").first.bounding_box()["width"] == 512
    studio.page.keyboard.press("Escape")
    expect(studio.find("#full-dialog")).to_be_hidden()
    expect(studio.find("#full")).to_be_focused()


def test_the_history_opens_works_again_and_is_cleared_at_once(open_studio: Any) -> None:
    studio = open_studio(before=watch_addresses_without_time)
    studio.choose(PHOTO)
    expect(studio.find("#history li")).to_have_count(1)
    studio.choose(DRAWING)
    expect(studio.find("#history li")).to_have_count(2)
    studio.page.get_by_role("button", name="photo_1, drawn, number 1").click()
    expect(studio.find("#result-mat .right")).to_have_text("Drawing")
    studio.page.get_by_role("button", name="Clear", exact=True).click()
    expect(studio.find("#history li")).to_have_count(0)
    expect(studio.find("#view-welcome")).to_be_visible()
    studio.page.get_by_role("button", name="Bring back").click()
    expect(studio.find("#clear-history")).to_be_focused()
    expect(studio.find("#history li")).to_have_count(2)
    studio.page.get_by_role("button", name="drawing_1, made a photo, number 2").click()
    expect(studio.result()).to_have_js_property("naturalWidth", 512)
    studio.page.get_by_role("button", name="Clear", exact=True).press("Enter")
    expect(studio.find("#restore-history")).to_be_focused()
    assert studio.page.evaluate("window.addresses.size") == 8  # each picture, and it small
    studio.page.clock.run_for(10_000)
    expect(studio.find("#restore-history")).to_be_hidden()
    expect(studio.find("#stage")).to_be_focused()
    assert studio.page.evaluate("window.addresses.size") == 0


def watch_addresses_without_time(page: Any) -> None:
    page.add_init_script(ADDRESSES)
    stop_the_clock(page)


def test_a_wide_picture_keeps_its_shape(studio: Studio) -> None:
    with Image.open(PHOTO) as photo:
        send_picture(studio, photo.resize((640, 320)))
    expect(studio.result()).to_be_visible()
    box = studio.find("compare-slider").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(2, abs=0.02)


def test_a_picture_that_the_browser_cannot_show_is_converted_all_the_same(studio: Studio) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the heic extra")
    buffer = io.BytesIO()
    with Image.open(PHOTO) as photo:
        heif.from_pillow(photo).save(buffer)
    send_bytes(studio, buffer.getvalue())
    expect(studio.find("#result-mat")).to_contain_text("cannot show the original")
    expect(studio.find("#result-mat img")).to_have_js_property("naturalWidth", 512)


def test_a_portrait_stands_beside_the_picture_it_was_cut_from(studio: Studio) -> None:
    studio.page.get_by_label("Portrait").check()
    send_picture(studio, two_faces())
    figures = studio.find("#result-mat figure")
    expect(figures).to_have_text(["Photo", "Drawing"])
    expect(figures.first.locator("img")).to_have_js_property("naturalWidth", 1100)


def test_every_face_gets_a_portrait_where_that_is_wanted(open_studio: Any) -> None:
    studio = open_studio(before=lambda page: page.add_init_script(ADDRESSES))
    studio.page.get_by_label("Portrait").check()
    studio.page.get_by_label("Every face").check()
    send_picture(studio, two_faces())
    expect(studio.find("#status")).to_contain_text("2 faces, all in This visit.")
    expect(studio.find("#history li")).to_have_count(2)
    assert studio.page.evaluate("window.addresses.size") == 6  # of three: the original once
    for picture in studio.find("#history img").all():
        expect(picture).to_have_js_property("naturalWidth", 160)


def test_the_server_says_that_it_found_no_face(studio: Studio) -> None:
    studio.page.get_by_label("Whole picture").check()
    send_picture(studio, Image.new("RGB", (300, 200), "teal"))
    expect(studio.find("#status")).to_contain_text("No face was found")
