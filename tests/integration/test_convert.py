"""`facesketch convert` and what it is made of, on real files."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesketch.convert.as_is import convert_jobs
from facesketch.convert.plan import Plan, plan_jobs
from facesketch.convert.task import Task
from facesketch.errors import UsageError
from facesketch.translator import Translator
from train_helpers import run_cli

pytestmark = pytest.mark.usefixtures("work_here")

AI_MARK = b"trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def translator(weights_dir: Path) -> Translator:
    return Translator(weights_dir)


def save(name: str, size: tuple[int, int] = (80, 64), **options: object) -> Path:
    """A picture of colours of its own, by name, so that no two results are alike."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(name.encode()))
    soft = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    soft.resize(size, Image.Resampling.BICUBIC).save(path, **options)  # type: ignore[arg-type]
    return path


def sketch_all(plan: Plan, translator: Translator) -> list[Task]:
    return list(convert_jobs(plan.jobs, translator))


def names(folder: str = ".") -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())


def facesketch(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "facesketch", "convert", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)


# What is planned


def test_results_stand_beside_their_inputs() -> None:
    save("a.jpg")
    save("sub/b.webp")
    plan = plan_jobs(["."], direction="photo2sketch")
    assert plan.jobs == {
        Path("a.jpg"): {"photo2sketch": Path("a_sketch.png")},
        Path("sub/b.webp"): {"photo2sketch": Path("sub/b_sketch.png")},
    }


def test_without_a_direction_both_names_are_possible() -> None:
    save("a.jpg")
    assert plan_jobs(["a.jpg"]).jobs[Path("a.jpg")] == {
        "photo2sketch": Path("a_sketch.png"),
        "sketch2photo": Path("a_photo.png"),
    }


def test_an_output_folder_keeps_the_folders_of_the_input() -> None:
    save("in/a.jpg")
    save("in/deep/er/b.png")
    plan = plan_jobs(["in"], direction="sketch2photo", output=Path("out"))
    targets = [target for job in plan.jobs.values() for target in job.values()]
    assert targets == [Path("out/a.png"), Path("out/deep/er/b.png")]


def test_folders_skip_what_is_hidden_or_no_picture() -> None:
    save("in/a.jpg")
    save("in/.hidden.jpg")
    save("in/.cache/b.jpg")
    Path("in/notes.txt").write_text("no picture")
    assert list(plan_jobs(["in"]).jobs) == [Path("in/a.jpg")]


def test_patterns_that_the_shell_left_alone_are_expanded() -> None:
    for name in ("in/a.jpg", "in/b.jpg", "in/sub/c.jpg", "in/d.png"):
        save(name)
    assert list(plan_jobs(["in/*.jpg"]).jobs) == [Path("in/a.jpg"), Path("in/b.jpg")]
    assert len(plan_jobs(["in/**/*.jpg"]).jobs) == 3


def test_a_name_with_brackets_is_a_name() -> None:
    save("a[1].jpg")
    assert list(plan_jobs(["a[1].jpg"]).jobs) == [Path("a[1].jpg")]


def test_a_picture_named_twice_is_converted_once() -> None:
    save("in/a.jpg")
    assert list(plan_jobs(["in", "in/a.jpg", "./in/../in"]).jobs) == [Path("in/a.jpg")]


def test_results_of_an_earlier_run_are_no_inputs() -> None:
    for name in ("a.jpg", "a_sketch.png", "b_sketch.png"):
        save(name)
    plan = plan_jobs(["."])
    assert plan.left_out == [Path("a_sketch.png")]
    assert list(plan.done) == [Path("a.jpg")]
    assert list(plan.jobs) == [Path("b_sketch.png")]  # nothing here would make it


@pytest.mark.parametrize("inputs", [["a_sketch.png"], ["a_sketch.png", "."], [".", "a_sketch.png"]])
def test_a_file_that_is_named_is_never_left_out(inputs: list[str]) -> None:
    for name in ("a.jpg", "a_sketch.png"):
        save(name)
    plan = plan_jobs(inputs)
    assert plan.left_out == []
    assert Path("a_sketch.png") in plan.jobs


def test_an_input_is_not_written_over_by_the_result_of_another() -> None:
    for name in ("a.jpg", "a_sketch.png"):
        save(name)
    with pytest.raises(UsageError, match=r"a_sketch\.png is among the inputs"):
        plan_jobs(["a.jpg", "a_sketch.png"], overwrite=True)


def result_names(plan: Plan) -> dict[str, str]:
    return {str(source): str(targets["photo2sketch"]) for source, targets in plan.jobs.items()}


@pytest.mark.parametrize(
    ("output", "results"),
    [
        (None, {"in/a.jpg": "in/a.jpg_sketch.png", "in/a.webp": "in/a.webp_sketch.png"}),
        ("out", {"in/a.jpg": "out/a.jpg.png", "in/a.webp": "out/a.webp.png"}),
    ],
)
def test_namesakes_keep_their_full_names_and_run_again_are_done(
    translator: Translator, output: str | None, results: dict[str, str]
) -> None:
    for name in ("in/a.jpg", "in/a.webp", "in/b.jpg", "in/sub/a.jpg"):
        save(name)
    out = None if output is None else Path(output)
    plan = plan_jobs(["in"], direction="photo2sketch", output=out)
    assert result_names(plan).items() >= results.items()
    assert len(set(result_names(plan).values())) == 4
    assert not any(".jpg" in result_names(plan)[name] for name in ("in/b.jpg", "in/sub/a.jpg"))
    # The request does not matter, so that one file's result is never taken for the other's.
    alone = plan_jobs(["in/a.jpg"], direction="photo2sketch", output=out)
    assert result_names(alone)["in/a.jpg"] == results["in/a.jpg"]
    assert not any(task.error for task in sketch_all(plan, translator))
    again = plan_jobs(["in"], direction="photo2sketch", output=out)
    assert (list(again.jobs), len(again.done)) == ([], 4)
    assert len(again.left_out) == (4 if output is None else 0)


def test_results_among_the_inputs_make_no_namesakes() -> None:
    save("in/a.jpg")
    save("in/a.png")
    plan = plan_jobs(["in"], direction="photo2sketch", output=Path("in"))
    assert plan.left_out == [Path("in/a.png")]
    assert plan.done == {Path("in/a.jpg"): Path("in/a.png")}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_to_folders_are_followed_and_loops_end() -> None:
    save("elsewhere/b.jpg")
    save("in/a.jpg")
    Path("in/linked").symlink_to(Path("elsewhere").resolve())
    Path("in/back").symlink_to(Path("in").resolve())
    assert list(plan_jobs(["in"]).jobs) == [Path("in/a.jpg"), Path("in/linked/b.jpg")]


def test_an_output_folder_inside_the_input_folder_is_no_input() -> None:
    save("in/a.jpg")
    save("in/out/a.png")
    plan = plan_jobs(["in"], output=Path("in/out"))
    assert plan.left_out == [Path("in/out/a.png")]
    assert plan.done == {Path("in/a.jpg"): Path("in/out/a.png")}


@pytest.mark.parametrize(
    ("inputs", "output", "sentence"),
    [
        (["nowhere.jpg"], None, "nowhere.jpg does not exist"),
        (["*.nothing"], None, "does not exist"),
        (["empty"], None, "There are no pictures in empty"),
        (["-", "a.jpg"], None, "stands alone"),
        (["a.jpg", "b.jpg"], "one.png", "2 pictures do not fit into one.png"),
        (["a.jpg"], "one.bmp", "one.bmp cannot be written"),
        (["a.jpg"], "file", "file is not a folder"),
        (["a.jpg"], "a.jpg", "a.jpg would be replaced by its result"),
        (["a.jpg"], "file/x.png", "file is a file"),
        (["a.jpg"], "file/deep/er", "file is a file"),
        (["b.jpg", "sub/b.jpg"], "out", "b.jpg and sub/b.jpg would both become out/b.png"),
    ],
)
def test_a_wrong_request_is_refused_before_work(
    inputs: list[str], output: str | None, sentence: str
) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    for name in ("a.jpg", "b.jpg", "sub/b.jpg"):
        save(name)
    before = names()
    with pytest.raises(UsageError, match=sentence.replace(".", r"\.")):
        plan_jobs(inputs, output=None if output is None else Path(output))
    assert names() == before


# What is done


def test_many_pictures_of_many_shapes_each_get_their_own_result(translator: Translator) -> None:
    sizes = [(80, 64), (64, 64), (300, 200), (64, 64), (31, 77)] * 5
    for index, size in enumerate(sizes):
        save(f"in/{index:02}.png", size)
    tasks = sketch_all(plan_jobs(["in"], direction="photo2sketch", output=Path("out")), translator)
    assert [task.error for task in tasks] == [None] * len(sizes)
    for index, size in enumerate(sizes):
        with Image.open(f"in/{index:02}.png") as source, Image.open(f"out/{index:02}.png") as made:
            assert made.size == size
            assert made.mode == "L"
            expected = np.asarray(source.convert("L"), float)
            assert np.abs(np.asarray(made, float) - expected).mean() < 4


def test_what_is_done_is_skipped_and_overwritten_only_when_told(translator: Translator) -> None:
    save("a.jpg")
    save("b.jpg")
    Path("a_sketch.png").write_text("precious")
    plan = plan_jobs(["a.jpg", "b.jpg"], direction="photo2sketch")
    assert plan.done == {Path("a.jpg"): Path("a_sketch.png")}
    assert [task.source for task in sketch_all(plan, translator)] == [Path("b.jpg")]
    assert Path("a_sketch.png").read_text() == "precious"
    assert not plan_jobs(["."], direction="photo2sketch").jobs

    plan = plan_jobs(["a.jpg"], direction="photo2sketch", overwrite=True)
    sketch_all(plan, translator)
    assert Path("a_sketch.png").read_bytes().startswith(b"\x89PNG")


def test_one_broken_picture_does_not_stop_the_others(translator: Translator) -> None:
    whole = save("a.jpg").read_bytes()
    save("c.jpg")
    Path("b.jpg").write_bytes(whole[: len(whole) // 2])
    Path("d.jpg").write_text("no picture")
    Path("e.jpg").write_bytes(b"")
    tasks = sketch_all(plan_jobs(["."], direction="photo2sketch"), translator)
    assert [str(task.source) for task in tasks if task.error] == ["b.jpg", "d.jpg", "e.jpg"]
    assert all(str(task.source) in str(task.error) for task in tasks if task.error)
    assert [name for name in names() if name.endswith(".png")] == ["a_sketch.png", "c_sketch.png"]


def test_a_result_that_cannot_be_written_does_not_stop_the_others(translator: Translator) -> None:
    save("in/a.jpg")
    save("in/sub/b.jpg")
    Path("out").mkdir()
    Path("out/sub").write_text("in the way")
    plan = plan_jobs(["in"], direction="photo2sketch", output=Path("out"))
    good, bad = sketch_all(plan, translator)
    assert good.result == Path("out/a.png")
    assert str(bad.error).startswith("out/sub/b.png cannot be written (")
    assert "Errno" not in str(bad.error)


def test_a_side_longer_than_the_format_allows_is_an_error_of_that_picture(
    translator: Translator,
) -> None:
    save("long.png", (17_000, 2))
    plan = plan_jobs(["long.png"], direction="photo2sketch", output=Path("long.webp"))
    (task,) = sketch_all(plan, translator)
    assert str(task.error) == (
        "long.webp cannot be written: a WEBP file has at most 16,383 pixels a side, "
        "not 17,000 x 2; write .png, or choose a smaller size."
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_generated_photos_say_so_and_nothing_else_survives(
    translator: Translator, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x0112] = 6
    save("a.jpg", exif=exif)
    for direction in ("photo2sketch", "sketch2photo"):
        out = Path(direction + suffix)
        sketch_all(plan_jobs(["a.jpg"], direction=direction, output=out), translator)
        data = out.read_bytes()
        assert b"secret" not in data
        assert (AI_MARK in data) == (direction == "sketch2photo")
        with Image.open(out) as image:
            assert image.size == (64, 80)
            assert not dict(image.getexif())


def test_a_size_can_be_asked_for(translator: Translator) -> None:
    save("large.jpg", (3000, 2400))
    plan = plan_jobs(["large.jpg"], direction="photo2sketch", output=Path("small.png"))
    list(convert_jobs(plan.jobs, translator, size=160))
    with Image.open("small.png") as image:
        assert image.size == (200, 160)


# The command


def test_the_command_names_inputs_and_results(weights_dir: Path) -> None:
    save("a.jpg")
    save("in/b.jpg")
    options = ("--to", "photo", "--align", "none", "--weights", weights_dir)
    done = facesketch("a.jpg", "in", *options)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [
        "a.jpg -> a_photo.png",
        f"{Path('in/b.jpg')} -> {Path('in/b_photo.png')}",
    ]
    assert done.stderr.strip() == b""  # rich before 13.8 ends a hidden progress bar with a newline
    again = facesketch("a.jpg", "in", *options)
    assert again.returncode == 0
    assert again.stdout.count(b"skipped") == 2
    whole = facesketch(".", *options)
    assert whole.stdout.decode().splitlines()[2:] == [
        "2 more left out: they are results of an earlier run",
        "  a_photo.png",
        f"  {Path('in/b_photo.png')}",
    ]


def test_the_command_lists_what_failed_and_exits_with_1(weights_dir: Path) -> None:
    save("a.jpg")
    Path("b.jpg").write_text("no picture")
    done = facesketch(".", "--to", "sketch", "--align", "none", "--weights", weights_dir)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == ["a.jpg -> a_sketch.png"]
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("facesketch: b.jpg is not a picture that can be read")


def test_names_are_not_obeyed_by_the_terminal(weights_dir: Path) -> None:
    save("a\x1b[31m.png")
    Path("b\x1b[31m.png").write_text("no picture")
    for _ in ("made", "skipped"):
        done = facesketch(".", "--to", "sketch", "--weights", weights_dir)
        assert b"a?[31m_sketch.png" in done.stdout
        assert b"b?[31m.png is not a picture" in done.stderr
        assert b"\x1b" not in done.stdout + done.stderr


def test_the_command_sums_up_many_pictures(weights_dir: Path) -> None:
    for index in range(25):
        save(f"{index:02}.png", (16, 16))
    done = facesketch(".", "--to", "sketch", "-o", "out", "--weights", weights_dir)
    assert done.returncode == 0
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith("25 pictures: 25 drawn as sketches, 0 turned into photos, 0 skipped")
    assert len(names("out")) == 25


def test_standard_input_goes_to_standard_output(weights_dir: Path) -> None:
    data = save("a.jpg").read_bytes()
    done = facesketch("-", "--to", "photo", "--weights", weights_dir, stdin=data)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (80, 64))
    assert names() == ["a.jpg"]


def test_standard_input_goes_to_a_file_when_told(weights_dir: Path) -> None:
    data = save("a.jpg").read_bytes()
    facesketch("-", "--to", "photo", "-o", "b.webp", "--weights", weights_dir, stdin=data)
    with Image.open("b.webp") as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize(
    "args",
    [
        ["nowhere.jpg"],
        ["a.jpg", "--to", "painting"],
        ["a.jpg", "--size", "0"],
        ["a.jpg", "--weights", "nowhere"],
        ["a.jpg", "--device", "coffee"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_a_sentence(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save("a.jpg")
    code, out, err = run_cli(capsys, "convert", *args)
    assert (code, out) == (2, "")
    assert err.rstrip().endswith(".")
    assert "Traceback" not in err
    assert names() == ["a.jpg"]


def test_the_command_says_what_it_took_a_picture_for(weights_dir: Path) -> None:
    save("a.png", (256, 256))
    done = facesketch("a.png", "--align", "none", "--weights", weights_dir)
    assert done.returncode == 0, done.stderr
    line = re.fullmatch(
        r"a\.png: (photo|sketch)(?: \(unsure: \d\d%\))? -> a_(sketch|photo)\.png",
        done.stdout.decode().strip(),
    )
    assert line
    assert {"photo": "sketch", "sketch": "photo"}[line[1]] == line[2]
    assert Path(f"a_{line[2]}.png").exists()
