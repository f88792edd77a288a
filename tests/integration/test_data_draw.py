"""`facesketch data draw` on real folders, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facesketch.cli import main
from facesketch.data.draw import draw_folder
from facesketch.errors import DataError

pytestmark = pytest.mark.data
pytest.importorskip("cv2")

COMMAND = [sys.executable, "-m", "facesketch", "data", "draw"]


def write_photo(path: Path, seed: int = 0) -> None:
    """A disc somewhere on a light ground."""
    x, y = np.random.default_rng(seed).integers(10, 40, 2).tolist()
    image = Image.new("RGB", (96, 120), "white")
    ImageDraw.Draw(image).ellipse((x, y, x + 40, y + 50), fill=(90, 60, 50))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", "draw", *map(str, args)])
    return int(stop.value.code or 0)


def test_sketches_get_the_photos_names_and_sizes_and_mode_l(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, sketches = tmp_path / "photos", tmp_path / "set" / "sketches"
    names = ["a.jpg", "b.PNG", "deep/er/c.webp", "d.bmp", "deep/e.tiff", "f.jfif"]
    for seed, name in enumerate(names):
        write_photo(photos / name, seed)
    (photos / "notes.txt").write_text("no photo")

    assert run(photos, sketches) == 0

    assert files(sketches) == sorted(names)
    assert capsys.readouterr().out == f"6 drawn into {sketches}, 0 there already, 0 failed.\n"
    for name in names:
        with Image.open(sketches / name) as sketch, Image.open(photos / name) as photo:
            assert sketch.size == photo.size
            assert sketch.format == photo.format
            assert sketch.mode == ("RGB" if sketch.format == "WEBP" else "L")  # WebP has no gray
            gray = np.asarray(sketch.convert("L"))
            assert gray.min() < 80
            assert np.median(gray) == 255


def test_a_broken_file_is_named_and_the_others_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, sketches = tmp_path / "photos", tmp_path / "sketches"
    write_photo(photos / "a.png")
    write_photo(photos / "sub/b.png")
    (photos / "sub/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "empty.png").touch()

    assert run(photos, sketches) == 1

    out, err = capsys.readouterr()
    assert "2 drawn" in out
    assert "2 failed" in out
    assert "empty.png" in err
    assert "sub/broken.jpg" in err.replace(os.sep, "/")
    assert files(sketches) == ["a.png", "sub/b.png"]


def test_a_second_run_draws_only_what_is_missing(tmp_path: Path) -> None:
    photos, sketches = tmp_path / "photos", tmp_path / "sketches"
    for seed in range(3):
        write_photo(photos / f"{seed}.png", seed)
    draw_folder(photos, sketches, num_workers=1)
    complete = (sketches / "1.png").read_bytes()
    os.utime(sketches / "0.png", (1, 1))
    (sketches / "1.png").write_bytes(b"")  # what a power cut can leave
    (sketches / "2.png").unlink()
    (sketches / ".2.png.999999999.partial").write_bytes(complete[:50])  # what a kill can leave

    report = draw_folder(photos, sketches, num_workers=1)

    assert (report.num_drawn, report.num_skipped, report.failed) == (2, 1, ())
    assert (sketches / "0.png").stat().st_mtime == 1
    assert (sketches / "1.png").read_bytes() == complete
    assert files(sketches) == ["0.png", "1.png", "2.png"]


def test_several_processes_draw_what_one_draws(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for seed in range(5):
        write_photo(photos / f"{seed}.png", seed)
    draw_folder(photos, tmp_path / "one", num_workers=1)
    draw_folder(photos, tmp_path / "two", num_workers=2)
    for name in files(photos):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_killed_run_leaves_whole_sketches_and_can_go_on(tmp_path: Path) -> None:
    photos, sketches = tmp_path / "photos", tmp_path / "sketches"
    for seed in range(8):
        write_photo(photos / f"{seed:02}.png", seed)

    process = subprocess.Popen([*COMMAND, photos, sketches])
    while not (sketches.is_dir() and list(sketches.glob("*.png"))):
        try:
            assert process.wait(0.01) == 0, "ended before it drew anything"
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    process.wait()

    done = sorted(sketches.glob("*.png"))
    for path in done:
        with Image.open(path) as sketch:
            sketch.load()
    assert run(photos, sketches) == 0
    assert [f for f in files(sketches) if f.endswith(".png")] == files(photos)


@pytest.mark.parametrize("out", ["photos", "photos/sketches", "other/../photos/x"])
def test_out_inside_photos_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    write_photo(tmp_path / "photos/a.png")
    assert run(tmp_path / "photos", tmp_path / out) == 2
    assert "outside" in capsys.readouterr().err
    assert files(tmp_path) == ["photos/a.png"]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match="holds no pictures"):
        draw_folder(tmp_path / "photos", tmp_path / "sketches")


def test_an_out_that_cannot_be_written_stops_with_its_name(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos/sub/a.png")
    (tmp_path / "sketches").mkdir()
    (tmp_path / "sketches/sub").write_text("a file where a folder is needed")
    with pytest.raises(DataError, match=r"a\.png cannot be written"):
        draw_folder(tmp_path / "photos", tmp_path / "sketches")
