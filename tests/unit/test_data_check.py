"""`facesketch data check`: what it finds, what it calls an error, how it tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facesketch
from facesketch.cli import main
from facesketch.data.check import DataReport, FolderReport, ShorterSide, check_folders, check_root
from facesketch.data.inspection import MIN_IMAGES, list_files
from facesketch.errors import DataError

RNG = np.random.default_rng(0)


def picture(size: tuple[int, int] = (80, 100), mode: str = "RGB") -> Image.Image:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(RNG.integers(0, 255, shape, dtype=np.uint8))


def fill(folder: Path, number: int, mode: str = "RGB") -> None:
    folder.mkdir(parents=True)
    for index in range(number):
        picture(mode=mode).save(folder / f"{index}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound set: three pairs to train, one to validate."""
    for split, number in {"train": 3, "val": 1}.items():
        fill(tmp_path / "set" / split / "photos", number)
        fill(tmp_path / "set" / split / "sketches", number, "L")
    return tmp_path / "set"


def folder(report: DataReport, label: str = "train/photos") -> FolderReport:
    return next(each for each in report.folders if each.label == label)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, captured.out, captured.err


def test_a_sound_set_has_nothing_to_complain_of(root: Path) -> None:
    report = check_root(root)
    assert report.ok
    assert report.errors == report.warnings == []
    assert [(each.label, each.num_usable, each.modes) for each in report.folders] == [
        ("train/photos", 3, {"RGB": 3}),
        ("train/sketches", 3, {"L": 3}),
        ("val/photos", 1, {"RGB": 1}),
        ("val/sketches", 1, {"L": 1}),
    ]
    assert [(pair.split, pair.num_pairs) for pair in report.pairs] == [("train", 3), ("val", 1)]


def truncated(path: Path) -> None:
    picture((300, 300)).save(path)
    path.write_bytes(path.read_bytes()[:2_000])


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.jpg", truncated, "is broken and cannot be read (image file is truncated"),
        ("a.png", lambda path: path.write_text("no picture"), "is not a picture that can be read"),
        ("a.webp", lambda path: path.write_bytes(b""), "is empty"),
        ("a.gif", lambda path: path.symlink_to("nowhere.gif"), "does not exist"),
        ("b.png", lambda path: Image.new("1", (14_000, 14_000)).save(path), "too many pixels"),
    ],
)
def test_a_file_that_does_not_decode_is_named_with_the_reason(
    root: Path, name: str, make: Callable[[Path], object], reason: str
) -> None:
    path = root / "train/photos" / name
    make(path)
    (broken,) = folder(check_root(root)).broken
    assert broken.path == str(path)
    assert reason in broken.reason
    assert str(path) not in broken.reason


def test_every_kind_of_picture_counts_as_usable(root: Path) -> None:
    photos = root / "train/photos"
    deep = RNG.integers(0, 65_535, (80, 80), dtype=np.uint16)
    Image.fromarray(deep).save(photos / "sixteen.png")
    picture().convert("CMYK").save(photos / "cmyk.jpg")
    picture().quantize(16).save(photos / "palette.png", transparency=0)
    picture().convert("RGBA").save(photos / "UPPER.PNG")
    picture().save(photos / "moving.gif", save_all=True, append_images=[picture()])
    (photos / "deeper").mkdir()
    picture().save(photos / "deeper/inside.tiff")
    report = folder(check_root(root))
    assert report.broken == []
    assert report.modes == {"RGB": 4, "P": 2, "I;16": 1, "CMYK": 1, "RGBA": 1}


def test_sizes_are_those_of_upright_pictures(tmp_path: Path) -> None:
    fill(tmp_path / "sketches", 1)
    (tmp_path / "photos").mkdir()
    for index, size in enumerate([(64, 70), (90, 300), (200, 110)]):
        picture(size).save(tmp_path / f"photos/{index}.png")
    picture((20, 300)).save(tmp_path / "photos/small.png")
    report = check_folders(tmp_path / "photos", tmp_path / "sketches")
    assert folder(report, "photos").shorter_side == ShorterSide(20, 64, 110)
    assert folder(report, "photos").small == [str(tmp_path / "photos/small.png")]
    assert "below 64 px" in report.warnings[0]


def test_files_that_training_passes_over_are_named_but_hidden_ones_are_not(root: Path) -> None:
    (root / "train/photos/notes.txt").write_text("x")
    (root / "train/photos/.DS_Store").write_text("x")
    (root / "train/photos/.cache").mkdir()
    (root / "train/photos/.cache/a.jpg").write_text("x")
    report = check_root(root)
    assert folder(report).not_images == [str(root / "train/photos/notes.txt")]
    assert folder(report).num_images == 3
    assert report.ok


def test_a_link_that_leads_back_up_does_not_go_round_for_ever(root: Path) -> None:
    (root / "train/photos/again").symlink_to(root / "train/photos", target_is_directory=True)
    assert folder(check_root(root)).num_images == 3


def test_images_without_a_partner_are_named_and_no_error(root: Path) -> None:
    picture().save(root / "train/photos/only.png")
    report = check_root(root)
    assert report.ok
    assert report.pairs[0].num_pairs == 3
    assert report.pairs[0].photos_without_sketch == [str(root / "train/photos/only.png")]
    assert "1 image without a partner" in report.warnings[0]


def test_partners_may_differ_in_suffix(root: Path) -> None:
    (root / "train/sketches/2.png").unlink()
    picture(mode="L").save(root / "train/sketches/2.jpg")
    assert check_root(root).pairs[0].num_pairs == 3


def test_sketches_in_folders_of_styles_have_their_photos(root: Path) -> None:
    sketches = root / "train/sketches"
    for style in ("line", "hatch"):
        (sketches / style).mkdir()
        picture(mode="L").save(sketches / style / "2.png")
    (sketches / "2.png").unlink()
    pairs = check_root(root).pairs[0]
    assert (pairs.num_pairs, pairs.photos_without_sketch, pairs.sketches_without_photo) == (
        4,
        [],
        [],
    )


def test_pairs_that_cannot_be_cropped_alike_are_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, sketch = (root / "train" / name / "1.png" for name in ("photos", "sketches"))
    picture((160, 201)).save(photo)
    assert check_root(root).warnings == []
    picture((160, 203)).save(photo)
    report = check_root(root)
    assert report.ok
    assert report.pairs[0].other_shapes == [(str(photo), str(sketch))]
    assert f"train: 1 pair of two shapes (for instance {photo} and {sketch})" in report.warnings[0]
    assert f"Pairs of two shapes, train\n  {photo} and {sketch}\n" in run(capsys, root)[1]


def test_pairs_are_found_from_within_the_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "train" / "photos")
    assert check_folders(Path(), Path("../sketches")).pairs[0].num_pairs == 3


def test_folders_that_were_never_pairs_bring_no_warning(tmp_path: Path) -> None:
    fill(tmp_path / "a", 2)
    (tmp_path / "b").mkdir()
    picture().save(tmp_path / "b/other.png")
    report = check_folders(tmp_path / "a", tmp_path / "b")
    assert report.ok
    assert report.warnings == []


def test_equal_pixels_are_found_across_splits_domains_and_in_a_folder(root: Path) -> None:
    train, val = root / "train/photos", root / "val/photos"
    Image.open(train / "0.png").save(val / "leak.tiff")
    Image.open(train / "1.png").save(root / "train/sketches/swap.bmp")
    Image.open(train / "2.png").save(train / "twin.png", compress_level=1)
    duplicates = check_root(root).duplicates
    assert duplicates.across_splits == [[str(train / "0.png"), str(val / "leak.tiff")]]
    assert duplicates.across_domains == [
        [str(train / "1.png"), str(root / "train/sketches/swap.bmp")]
    ]
    assert duplicates.within_folder == [[str(train / "2.png"), str(train / "twin.png")]]


def test_the_same_folder_for_both_domains_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "a", 2)
    report = check_folders(tmp_path / "a", tmp_path / "a")
    assert len(report.duplicates.across_domains) == 2
    assert not report.ok


def test_a_folder_within_the_other_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path / "a", 2)
    fill(tmp_path / "a/b", 2)
    for folders in ((tmp_path / "a", tmp_path / "a/b"), (tmp_path / "a/b", tmp_path / "a")):
        (told,) = check_folders(*folders).errors
        assert told.startswith(f"{tmp_path / 'a/b'} lies in {tmp_path / 'a'}, so")


@pytest.mark.parametrize(
    ("num_broken", "num_images", "ok"),
    [(3, 5, True), (4, 100, False), (4, 400, True), (5, 400, False)],
)
def test_more_than_three_and_than_one_percent_broken_is_an_error(
    tmp_path: Path, num_broken: int, num_images: int, ok: bool
) -> None:
    fill(tmp_path / "photos", num_images - num_broken)
    fill(tmp_path / "sketches", 1)
    for index in range(num_broken):
        (tmp_path / f"photos/broken{index}.jpg").write_text("x")
    report = check_folders(tmp_path / "photos", tmp_path / "sketches")
    assert report.ok is ok
    told = report.warnings if ok else report.errors
    assert f"{num_broken} of {num_images} images are broken" in told[0]


def test_broken_images_outside_of_train_are_only_a_warning(root: Path) -> None:
    (root / "val/photos/0.png").write_text("x")
    report = check_root(root)
    assert report.ok
    assert "none of 1 images can be read" in report.warnings[0]


def test_a_domain_without_images_or_folder_is_an_error(root: Path) -> None:
    for path in (root / "train/photos").iterdir():
        path.unlink()
    assert check_root(root).errors == [f"{root / 'train/photos'}: holds no images."]
    (root / "train/photos").rmdir()
    assert check_root(root).errors == [f"{root / 'train/photos'} is missing."]


def test_half_a_validation_split_is_pointed_out(root: Path) -> None:
    (root / "val/sketches/0.png").unlink()
    (root / "val/sketches").rmdir()
    report = check_root(root)
    assert report.ok
    assert report.warnings == [f"{root / 'val/sketches'} is missing, so val cannot be used."]


def test_a_root_one_level_off_gets_a_hint(root: Path) -> None:
    assert check_root(root.parent).errors[-1] == f"Did you mean {root}?"
    assert "--photos" in check_root(root / "train").errors[-1]


def test_the_layout_of_cyclegan_and_other_names_of_val_get_a_hint(root: Path) -> None:
    (root / "val").rename(root / "validation")
    assert check_root(root).warnings[-1].startswith(f"{root / 'validation'} is not used; rename")
    for domain, name in {"photos": "trainA", "sketches": "trainB"}.items():
        (root / "train" / domain).rename(root / name)
    told = check_root(root).errors[-1]
    assert f"--photos {root / 'trainA'} --sketches {root / 'trainB'}" in told


def test_folders_that_are_swapped_are_noticed(tmp_path: Path) -> None:
    samples = Path(facesketch.__file__).parent / "samples"
    for name, kind in {"photos": "drawing", "sketches": "photo"}.items():
        (tmp_path / name).mkdir()
        for path in samples.glob(f"{kind}_*"):
            shutil.copy(path, tmp_path / name)
    found = check_folders(tmp_path / "photos", tmp_path / "sketches").warnings
    assert "most of the photos look like sketches" in found[0]
    assert "most of the sketches look like photos" in found[1]
    right = check_folders(tmp_path / "sketches", tmp_path / "photos").warnings
    assert not any("look like" in told for told in right)


def test_a_pack_is_not_taken_for_a_data_set_without_images(root: Path) -> None:
    (root / "pack.json").write_text("{}")
    with pytest.raises(DataError, match="is a pack; check the folder that it was packed from"):
        check_root(root)


def test_pictures_of_kinds_that_are_not_read_are_told_apart(root: Path) -> None:
    (root / "train/photos/a.psd").touch()
    (root / "train/photos/notes.txt").touch()
    assert check_root(root).warnings == [
        f"{root / 'train/photos'}: 2 files not named like an image that can be read: 1 .psd; "
        "training passes them over."
    ]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone cannot be listed"):
        list_files(tmp_path / "gone")


def test_many_files_are_read_by_several_processes_with_the_same_findings(tmp_path: Path) -> None:
    for name in ("photos", "sketches"):
        (tmp_path / name).mkdir()
    for index in range(2 * MIN_IMAGES):
        picture((8, 8)).save(tmp_path / f"photos/{index:03}.png")
    (tmp_path / "photos/050.png").write_text("x")
    Image.open(tmp_path / "photos/000.png").save(tmp_path / "sketches/copy.png")
    report = check_folders(tmp_path / "photos", tmp_path / "sketches")
    assert [broken.path for broken in folder(report, "photos").broken] == [
        str(tmp_path / "photos/050.png")
    ]
    assert report.duplicates.across_domains == [
        [str(tmp_path / "photos/000.png"), str(tmp_path / "sketches/copy.png")]
    ]


def test_the_command_prints_a_table_and_the_verdict(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, root)
    assert code == 0
    assert err == ""
    assert "train/sketches" in out
    assert "Ready for training: 3 photos and 3 sketches can be read." in out


def test_the_command_fails_with_the_reasons_at_the_end(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        (root / f"train/photos/bad\x1b[31m{number}.png").write_text("x")
    code, out, _ = run(capsys, root)
    assert code == 1
    assert out.rstrip().endswith(
        "4 of 7 images are broken (57.1%, the limit is 3); replace or delete them."
    )
    assert "\x1b" not in out


def test_long_lists_are_cut_in_the_table_and_whole_in_the_json(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(25):
        (root / f"train/photos/x{index:02}.png").write_text("x")
    _, out, _ = run(capsys, root)
    assert "x19.png" in out
    assert "x20.png is" not in out
    assert "... and 5 more" in out
    code, out, _ = run(capsys, root, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["ok"] is False
    assert len(report["folders"][0]["broken"]) == 25
    assert "25 of 28" in report["errors"][0]


def test_two_folders_of_any_names_can_be_checked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, sketches = root / "train/photos", root / "val/sketches"
    code, out, _ = run(capsys, "--photos", photos, "--sketches", sketches, "--json")
    assert code == 0
    assert [each["label"] for each in json.loads(out)["folders"]] == ["photos", "sketches"]


@pytest.mark.parametrize("arguments", [[], ["--photos", "."], [".", "--photos", "."], ["missing"]])
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, *arguments)
    assert (code, out) == (2, "")
