"""Which pictures are measured, and what is done to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation_helpers import blob, write_set
from facesketch.errors import DataError
from facesketch.evaluation.pictures import degrade, find_pictures, pencil


def find(root: Path, **settings: object) -> object:
    given = {"size": 64, "limit": None, "needed": 2} | settings
    return find_pictures(root / "test" / "photos", root / "test" / "sketches", **given)


def test_too_few_images_say_how_many_are_needed(tmp_path: Path) -> None:
    root = write_set(tmp_path, 6)
    with pytest.raises(
        DataError, match=r"photos gives 6 images, and 40 are needed: .*--subset-size"
    ):
        find(root, needed=40)


def test_a_limit_that_is_too_low_is_named(tmp_path: Path) -> None:
    root = write_set(tmp_path, 6)
    with pytest.raises(DataError, match=r"gives 4 images \(--limit 4\), and 5 are needed"):
        find(root, needed=5, limit=4)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="photos is not a folder"):
        find(tmp_path)


def test_pairs_have_one_name_whatever_their_ending(tmp_path: Path) -> None:
    pictures = find(write_set(tmp_path, 5))
    assert pictures.num_pairs == 5
    photo = pictures.photos[3]
    assert pictures.partners[photo].name == "003.jpg"
    assert pictures.partner(photo, "photo").mode == "L"
    assert pictures.partner(pictures.sketches[3], "sketch").mode == "RGB"


def test_a_photo_has_its_sketch_in_the_folder_of_any_style(tmp_path: Path) -> None:
    root = write_set(tmp_path, 6)
    sketches = root / "test" / "sketches"
    for style in ("line", "edge"):
        (sketches / style).mkdir()
        for path in sketches.glob("*.jpg"):
            shutil.copy(path, sketches / style)
    for path in sketches.glob("*.jpg"):
        path.unlink()
    pictures = find(root)
    assert (len(pictures.sketches), pictures.num_pairs) == (12, 6)
    assert all(pictures.partners[sketch].stem == sketch.stem for sketch in pictures.sketches)
    assert pictures.partners[pictures.photos[2]] == sketches / "edge" / "002.jpg"


def test_pictures_of_other_names_are_no_pairs(tmp_path: Path) -> None:
    pictures = find(write_set(tmp_path, 3, paired=False))
    assert pictures.num_pairs == 0
    assert pictures.partner(pictures.photos[0], "photo") is None


def test_a_limit_takes_pictures_from_all_over_the_folder(tmp_path: Path) -> None:
    pictures = find(write_set(tmp_path, 10), limit=5)
    assert [path.stem for path in pictures.photos] == ["000", "002", "004", "006", "008"]
    assert pictures.num_pairs == 5


def test_a_limit_keeps_pairs_where_one_folder_has_more(tmp_path: Path) -> None:
    root = write_set(tmp_path, 10)
    (root / "test" / "sketches" / "001.jpg").unlink()
    pictures = find(root, limit=5)
    assert pictures.num_pairs == 5
    (root / "test" / "sketches" / "004.jpg").unlink()
    pictures = find(root, limit=5)
    assert (pictures.num_pairs, len(pictures.sketches)) == (4, 5)


def test_pictures_are_squares_of_their_middle(tmp_path: Path) -> None:
    root = write_set(tmp_path, 2)
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    wide.save(root / "test" / "photos" / "000.png")
    pictures = find(root)
    read = pictures.read(pictures.photos[0], "photo")
    assert read.size == (64, 64)
    assert read.getpixel((32, 32)) == (0, 0, 255)


def test_a_broken_picture_ends_with_its_name(tmp_path: Path) -> None:
    root = write_set(tmp_path, 2)
    (root / "test" / "photos" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    pictures = find(root)
    with pytest.raises(DataError, match=r"001\.png .*take it out"):
        pictures.read(pictures.photos[1], "photo")


def test_what_is_hidden_in_single_pixels_does_not_survive() -> None:
    plain = np.full((64, 64), 200, np.uint8)
    hidden = plain.copy()
    hidden[::2, ::2] += 3
    after = [np.asarray(degrade(Image.fromarray(each))).astype(int) for each in (plain, hidden)]
    inside = np.abs(after[1] - after[0])[8:-8, 8:-8]
    assert np.ptp(inside) <= 1


def test_degrading_keeps_size_and_mode() -> None:
    assert degrade(blob(1)).mode == "RGB"
    assert degrade(blob(1).convert("L")).mode == "L"
    assert degrade(blob(1, 100)).size == (100, 100)


def test_the_pencil_filter_leaves_plain_ground_white_and_edges_dark() -> None:
    photo = Image.new("RGB", (100, 100), (180, 160, 140))
    photo.paste((40, 30, 20), (50, 0, 100, 100))
    drawn = np.asarray(pencil(photo))
    assert drawn[50, 20] == 255
    assert drawn[50, 51] < 160
