"""`facesketch convert --align` on real files."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from face_pictures import GREY, sample, scene
from facesketch import Translator, images
from facesketch.convert import by_faces, task
from facesketch.convert.plan import plan_jobs
from facesketch.framing import NO_FACE
from train_helpers import run_cli

pytestmark = pytest.mark.usefixtures("work_here")


@pytest.fixture
def three_faces() -> Path:
    path = Path("three.jpg")
    scene((1200, 600), (30, 250, 160), (280, 80, 400), (800, 200, 250)).save(path, quality=95)
    return path


def run(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "facesketch", "convert", "--to", "sketch", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def names() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())


def size_of(name: str) -> tuple[int, int]:
    with Image.open(name) as image:
        return image.size


def test_the_largest_face_becomes_a_square_portrait(three_faces: Path, weights_dir: Path) -> None:
    done = run(three_faces, "--align", "portrait", "--weights", weights_dir)
    assert lines(done) == ["three.jpg -> three_sketch.png (3 faces, the largest taken)"]
    assert size_of("three_sketch.png") == pytest.approx((400, 400), rel=0.1)


def test_very_large_pictures_wait_for_one_another(
    three_faces: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        shutil.copy(three_faces, f"{number}.jpg")
    lock, num_inside, most_inside = threading.Lock(), 0, 0
    open_with_size = images.open_with_size

    def watched(*args: Any, **options: Any) -> Any:
        nonlocal num_inside, most_inside
        num_inside += 1
        most_inside = max(most_inside, num_inside)
        time.sleep(0.05)
        num_inside -= 1
        return open_with_size(*args, **options)

    monkeypatch.setattr(by_faces, "shared_lock", lambda: lock)
    monkeypatch.setattr(task, "LARGE_PIXELS", 1200 * 600 - 1)
    monkeypatch.setattr(images, "open_with_size", watched)
    jobs = plan_jobs(["[0-3].jpg"], direction="photo2sketch").jobs
    request = by_faces.Request("portrait")
    done = list(by_faces.convert_faces(jobs, Translator(weights_dir), request))
    assert [each.error for each in done] == [None] * 4
    assert most_inside == 1


def test_every_face_gets_a_numbered_portrait_and_is_no_input_later(
    three_faces: Path, weights_dir: Path
) -> None:
    options = ("--align", "portrait", "--faces", "all", "--weights", weights_dir)
    results = [f"three_sketch{end}.png" for end in ("", "_face2", "_face3")]
    assert lines(run(".", *options)) == [f"three.jpg -> {', '.join(results)} (3 faces)"]
    assert names() == ["three.jpg", *sorted(results)]
    assert size_of(results[0]) > size_of(results[1]) > size_of(results[2])
    again = lines(run(".", *options))
    assert again[0].startswith("three.jpg: skipped, three_sketch.png is there")
    assert again[1].startswith("3 more left out")
    assert names() == ["three.jpg", *sorted(results)]


def test_further_portraits_replace_no_file_unless_told(
    three_faces: Path, weights_dir: Path
) -> None:
    options = (three_faces, "--align", "portrait", "--faces", "all", "--weights", weights_dir)
    Path("out").mkdir()
    precious = Path("out/b_face2.png")
    precious.write_text("precious")
    done = run(*options, "-o", "out/b.png")
    assert done.returncode == 1
    assert done.stderr.decode().strip() == (
        f"facesketch: {precious} is there and would be replaced by a face of three.jpg; give "
        "another place by -o, or --overwrite."
    )
    assert precious.read_text() == "precious"
    assert names() == ["out/b_face2.png", "three.jpg"]
    assert lines(run(*options, "-o", "out/b.png", "--overwrite"))
    assert size_of(str(precious))


def test_a_picture_of_ones_own_is_no_place_for_a_portrait(
    three_faces: Path, weights_dir: Path
) -> None:
    own = Path("three_face3.png")
    scene((64, 64)).save(own)
    before = own.read_bytes()
    done = run(".", "-o", ".", "--align", "portrait", "--faces", "all", "--weights", weights_dir)
    assert done.returncode == 1
    assert b"three_face3.png is there and would be replaced" in done.stderr
    assert own.read_bytes() == before


def test_a_run_that_was_killed_between_portraits_goes_on(
    three_faces: Path, weights_dir: Path
) -> None:
    options = (three_faces, "--align", "portrait", "--faces", "all", "--weights", weights_dir)
    assert lines(run(*options))
    made = {name: Path(name).read_bytes() for name in names()}
    for name in ("three_sketch.png", "three_sketch_face3.png"):
        Path(name).unlink()
    assert lines(run(*options))
    assert {name: Path(name).read_bytes() for name in names()} == made


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["in", "-o", "out"], "a.jpg and in/a_face2.jpg may both become out/a_face2.png"),
        (["in/a.jpg", "in/a_face2.jpg", "-o", "out"], "convert them into different folders"),
        (["b_face2.png", "-o", "b.png", "--overwrite"], "b_face2.png would be replaced"),
        (
            ["in/a.jpg", "in/a_sketch_face2.png", "--overwrite"],
            "in/a_sketch_face2.png is among the inputs",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_plan_in_which_portraits_may_replace_a_picture_is_refused(
    args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").mkdir()
    for name in ("in/a.jpg", "in/a_face2.jpg", "in/a_sketch_face2.png", "b_face2.png"):
        scene((64, 64)).save(name)
    before = names()
    chosen = ("--to", "sketch", "--align", "portrait", "--faces", "all")
    code, _, err = run_cli(capsys, "convert", *chosen, *args)
    assert code == 2
    assert sentence in err
    assert names() == before


def test_a_plan_in_which_no_names_meet_is_not_refused() -> None:
    pictures = ["a.jpg", "a_face2.jpg"]
    for name in pictures:
        scene((64, 64)).save(name)
    one_each = plan_jobs(pictures, output=Path("out"))
    beside = plan_jobs(pictures, all_portraits=True)  # a_sketch_face2 and a_face2_sketch
    assert len(one_each.jobs) == len(beside.jobs) == 2


def test_the_whole_picture_keeps_its_size(three_faces: Path, weights_dir: Path) -> None:
    options = ("--align", "whole", "--faces", "all", "-o", "out", "--weights", weights_dir)
    assert lines(run(three_faces, *options)) == [f"three.jpg -> {Path('out/three.png')} (3 faces)"]
    assert size_of("out/three.png") == (1200, 600)


def test_a_small_face_in_a_large_jpeg_is_not_lost_to_a_draft(weights_dir: Path) -> None:
    scene((6000, 4000), (4000, 1500, 420)).save("holiday.jpg")
    done = run("holiday.jpg", "--align", "portrait", "--weights", weights_dir)
    assert lines(done) == ["holiday.jpg -> holiday_sketch.png (1 face)"]


def test_a_picture_without_a_face_is_converted_as_it_is_and_that_is_said(
    three_faces: Path, weights_dir: Path
) -> None:
    Image.new("RGB", (90, 60), GREY).save("empty.png")
    done = run("empty.png", three_faces, "--align", "portrait", "--weights", weights_dir)
    assert lines(done) == [
        "empty.png -> empty_sketch.png (No face was found, so the picture was converted as it is.)",
        "three.jpg -> three_sketch.png (3 faces, the largest taken)",
    ]
    assert size_of("empty_sketch.png") == (90, 60)


def test_without_a_word_faces_get_their_scale_where_they_need_it(
    three_faces: Path, weights_dir: Path
) -> None:
    sample(256).save("framed.png")
    Image.new("RGB", (90, 60), GREY).save("empty.png")
    pictures = ("empty.png", "framed.png", three_faces)
    assert lines(run(*pictures, "-o", "auto", "--weights", weights_dir)) == [
        f"empty.png -> {Path('auto/empty.png')} ({NO_FACE})",
        f"framed.png -> {Path('auto/framed.png')}",
        f"three.jpg -> {Path('auto/three.png')} (3 faces, converted as by --align whole)",
    ]
    for align in ("none", "whole"):
        lines(run(*pictures, "-o", align, "--align", align, "--weights", weights_dir))
    for name, align in (("empty", "none"), ("framed", "none"), ("three", "whole")):
        made, expected = (Path(folder, f"{name}.png") for folder in ("auto", align))
        assert made.read_bytes() == expected.read_bytes()
    assert Path("none/three.png").read_bytes() != Path("whole/three.png").read_bytes()


@pytest.mark.parametrize(("place", "align"), [((0, 0, 2200), "none"), ((900, 300, 500), "whole")])
def test_large_jpegs_come_out_as_if_that_had_been_asked_for(
    weights_dir: Path, place: tuple[int, int, int], align: str
) -> None:
    scene((2600, 2200), place).save("large.jpg")
    for number, options in enumerate([(), ("--align", align)]):
        assert lines(run("large.jpg", "-o", f"{number}.png", "--weights", weights_dir, *options))
    assert Path("0.png").read_bytes() == Path("1.png").read_bytes()


def test_all_faces_get_their_own_scale_without_a_word_on_how(
    three_faces: Path, weights_dir: Path
) -> None:
    options = (three_faces, "--faces", "all", "--weights", weights_dir)
    (line,) = lines(run(*options, "-o", "auto.png"))
    assert line == "three.jpg -> auto.png (3 faces, converted as by --align whole)"
    assert lines(run(*options, "-o", "whole.png", "--align", "whole"))
    assert Path("auto.png").read_bytes() == Path("whole.png").read_bytes()


def test_a_result_too_large_is_refused_before_work(three_faces: Path, weights_dir: Path) -> None:
    done = run(three_faces, "--size", 20_000, "--weights", weights_dir)
    assert done.returncode == 1
    assert "choose a smaller size" in done.stderr.decode()


def test_one_that_fails_does_not_stop_the_others(three_faces: Path, weights_dir: Path) -> None:
    Path("broken.jpg").write_text("no picture")
    done = run("broken.jpg", three_faces, "--align", "whole", "--weights", weights_dir)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("facesketch: broken.jpg is not a picture that can be read")
    assert size_of("three_sketch.png") == (1200, 600)


def test_standard_input_goes_to_standard_output(three_faces: Path, weights_dir: Path) -> None:
    done = run("-", "--align", "whole", "--weights", weights_dir, stdin=three_faces.read_bytes())
    assert done.stderr.decode().strip() == "- -> - (3 faces, the largest taken)"
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.size == (1200, 600)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["three.jpg", "--align", "none", "--faces", "all"], "--faces says which faces --align"),
        (["three.jpg", "--align", "mouth"], "'mouth' is not one of 'auto', 'none', 'portrait'"),
        (["-", "--align", "portrait", "--faces", "all"], "Standard output takes one picture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_usage_exits_with_2_and_a_sentence(
    three_faces: Path, args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli(capsys, "convert", "--to", "sketch", *args)
    assert code == 2
    assert sentence in err
    assert names() == ["three.jpg"]
