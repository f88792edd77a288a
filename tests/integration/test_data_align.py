"""`facesketch data align` on real folders, with real processes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_pictures import GREY, eyes, eyes_of_sample, scene
from facesketch.cli import main
from facesketch.data.align import align_folder, portrait_names
from facesketch.errors import DataError
from facesketch.faces import FaceDetector


def write_photo(path: Path, *placed: tuple[int, int, int], roll: float = 0) -> None:
    """Lay the sample face on grey; none gives a photo of nobody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene((640, 480), *placed, roll=roll).save(path)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", "align", *map(str, args)])
    return int(stop.value.code or 0)


def test_a_face_is_cut_out_upright_in_the_framing_of_the_generators(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos/deep/er/a.jpg", (300, 100, 320), roll=20)

    assert run(tmp_path / "photos", tmp_path / "out", "--size", "128") == 0

    with Image.open(tmp_path / "out/deep/er/a.png") as portrait:
        assert portrait.size == (128, 128)
        assert portrait.mode == "RGB"
        (face,) = FaceDetector().find(portrait)
    assert np.abs(eyes(face) - eyes_of_sample(0, 0, 128)).max() < 6


def test_what_gave_no_portrait_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    write_photo(photos / "one.png", (100, 100, 300))
    write_photo(photos / "two.png", (20, 100, 200), (300, 60, 320))
    write_photo(photos / "none/nobody.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "notes.txt").write_text("no photo")

    assert run(photos, tmp_path / "out") == 1

    out, err = capsys.readouterr()
    assert out == (
        f"2 cut into {tmp_path / 'out'}, 0 there already, 1 with several faces (the largest "
        "taken), 1 without a face, 1 failed.\n"
    )
    assert "none/nobody.png" in err.replace(os.sep, "/")
    assert "broken.jpg is broken" in err
    assert files(tmp_path / "out") == ["one.png", "two.png"]
    (largest,) = FaceDetector().find(Image.open(tmp_path / "out/two.png"))
    assert np.abs(eyes(largest) - eyes_of_sample(0, 0, 256)).max() < 12


def test_a_second_run_cuts_only_what_is_missing(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number in range(3):
        write_photo(photos / f"{number}.jpg", (100 + 50 * number, 100, 300))
    align_folder(photos, out, num_workers=1)
    complete = (out / "1.png").read_bytes()
    os.utime(out / "0.png", (1, 1))
    (out / "1.png").write_bytes(b"")  # what a power cut can leave
    (out / "2.png").unlink()
    (out / ".2.png.999999999.partial").write_bytes(complete[:50])  # what a kill can leave

    report = align_folder(photos, out, num_workers=1)

    assert (report.num_cut, report.num_skipped, report.failed) == (2, 1, ())
    assert (out / "0.png").stat().st_mtime == 1
    assert (out / "1.png").read_bytes() == complete
    assert files(out) == ["0.png", "1.png", "2.png"]


def test_several_processes_cut_what_one_cuts(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(5):
        write_photo(photos / f"{number}.png", (40 * number, 100, 300))
    align_folder(photos, tmp_path / "one", num_workers=1)
    align_folder(photos, tmp_path / "two", num_workers=2)
    assert len(files(tmp_path / "one")) == 5
    for name in files(photos):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_photos_that_differ_in_their_ending_alone_keep_both_portraits(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_photo(photos / "a.jpg", (0, 100, 300))
    write_photo(photos / "a.png", (300, 100, 300))
    write_photo(photos / "sub/a.jpg", (100, 100, 300))

    align_folder(photos, tmp_path / "out")

    assert files(tmp_path / "out") == ["a.jpg.png", "a.png.png", "sub/a.png"]


@pytest.mark.parametrize(
    "photos",
    [
        ["a.jpg", "a.png", "a.jpg.png"],
        ["a.jpg", "A.jpg", "a.webp"],
        ["a.jpg", "a.jpg.webp", "a.jpg.png.png", "a.png"],
        ["x.y/a.jpg", "x.y/a.b.jpg", "a.b.jpg"],
    ],
)
def test_no_two_photos_get_one_name(photos: list[str]) -> None:
    names = portrait_names(photos)
    assert list(names) == photos
    assert len({name.casefold() for name in names.values()}) >= len({p.casefold() for p in photos})
    assert len(set(names.values())) == len(photos)


def test_out_inside_photos_and_a_folder_without_photos_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photo(tmp_path / "photos/a.png")
    assert run(tmp_path / "photos", tmp_path / "photos/out") == 2
    assert "outside" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        align_folder(tmp_path / "empty", tmp_path / "out")


def test_an_out_that_cannot_be_written_stops_with_its_name(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos/sub/a.png", (100, 100, 300))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").write_text("a file where a folder is needed")
    with pytest.raises(DataError, match=r"a\.png cannot be written"):
        align_folder(tmp_path / "photos", tmp_path / "out")


def test_pictures_in_which_no_face_can_be_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name, size in {"dot.png": (1, 1), "strip.png": (2000, 1)}.items():
        Image.new("RGB", size, GREY).save(tmp_path / "photos" / name)
    report = align_folder(tmp_path / "photos", tmp_path / "out")
    assert report.without_face == ("dot.png", "strip.png")
