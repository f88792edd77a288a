"""`facesketch convert` on many pictures: several processes, kills, memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from facesketch.convert.all_cores import Settings, convert_all
from facesketch.convert.plan import MAX_LEFT_OUT, plan_jobs
from facesketch.convert.task import Task
from facesketch.errors import UsageError
from train_helpers import contents_of, write_photos

PATIENCE_S = 120  # long enough for a loaded machine

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="named pipes and signals of POSIX")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
pytestmark = pytest.mark.usefixtures("work_here")


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "facesketch", "convert", "--to", "sketch", *map(str, args)]


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*args), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def start(*args: object, until: Callable[[], bool]) -> subprocess.Popen[str]:
    """Start a command and wait until something is so."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command(*args), stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        if process.poll() is not None:
            pytest.fail(f"ended early: {process.communicate()}")
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"too slow: {process.communicate()}")
        time.sleep(0.01)
    return process


def are_there(names: Sequence[str]) -> Callable[[], bool]:
    return lambda: all(Path("out", name).exists() for name in names)


def convert_here(out: str, weights: Path) -> list[Task]:
    """Convert in this process what the command converts."""
    plan = plan_jobs(["in"], direction="photo2sketch", output=Path(out))
    return list(convert_all(plan.jobs, Settings(weights), num_workers=1))


def test_several_processes_make_what_one_makes_and_go_on_after_failures(weights_dir: Path) -> None:
    write_photos("in", 70)
    Path("in/030.png").write_text("no picture")
    Path("in/050.png").write_bytes(Path("in/049.png").read_bytes()[:100])
    done = run("in", "--weights", weights_dir, "-o", "many", "--num-workers", 2)
    assert done.returncode == 1
    assert done.stdout.strip() == (
        "70 pictures: 68 drawn as sketches, 0 turned into photos, 0 skipped (their results are "
        "there), 2 failed"
    )
    failed = [task for task in convert_here("one", weights_dir) if task.error]
    assert done.stderr.splitlines() == [f"facesketch: {task.error}" for task in failed]
    assert [str(task.source) for task in failed] == ["in/030.png", "in/050.png"]
    assert contents_of("one") == contents_of("many")


@posix_only
def test_a_killed_run_goes_on_with_nothing_lost_and_nothing_done_twice(weights_dir: Path) -> None:
    names = write_photos("in", 70)
    options = ("in", "--weights", weights_dir)
    convert_here("whole", weights_dir)
    blocked = Path("in/045.png")  # in the second process's share, which waits for it for ever
    picture = blocked.read_bytes()
    blocked.unlink()
    os.mkfifo(blocked)
    process = start(*options, "-o", "out", "--num-workers", 2, until=are_there(names[:32]))
    process.kill()
    process.communicate(timeout=PATIENCE_S)  # until the other processes have ended too
    finished = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    assert 32 <= len(finished) < len(names)
    for name in (
        ".000.png.999999999.partial",
        ".045.png.999999999.partial",
        ".another.png.999999999.partial",
    ):
        Path("out", name).write_bytes(picture[:50])  # what a kill during a write leaves

    blocked.unlink()
    blocked.write_bytes(picture)
    again = run(*options, "-o", "out")
    assert again.returncode == 0, again.stderr
    assert f"{len(names) - len(finished)} drawn as sketches" in again.stdout
    assert f"{len(finished)} skipped" in again.stdout
    Path("out/.another.png.999999999.partial").unlink()  # of no picture here: it may be in use
    assert contents_of("out") == contents_of("whole")
    assert all(path.stat().st_mtime_ns == before for path, before in finished.items())


@linux_only
def test_a_worker_that_dies_is_a_sentence(weights_dir: Path) -> None:
    names = write_photos("in", 70)
    Path("in/045.png").unlink()
    os.mkfifo("in/045.png")
    options = ("in", "-o", "out", "--num-workers", 2, "--weights", weights_dir)
    process = start(*options, until=are_there(names[:32]))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [
        pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(workers) == 2
    os.kill(int(workers[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith("facesketch: a worker process was stopped from outside")
    assert "run the same command again" in line

    # The other worker is ended wherever it is; what it was writing goes with the next run.
    Path("in/045.png").unlink()
    Path("in/045.png").write_bytes(Path("in/044.png").read_bytes())
    again = run(*options)
    assert again.returncode == 0, again.stderr
    assert sorted(contents_of("out")) == names


def test_faces_are_found_in_several_processes_too(weights_dir: Path) -> None:
    names = write_photos("in", 4)
    done = run("in", "--align", "whole", "--num-workers", 2, "-o", "out", "--weights", weights_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No face was found") == 4
    assert sorted(contents_of("out")) == names


def test_broken_weights_are_said_once_by_several_processes(tmp_path: Path) -> None:
    write_photos("in", 4)
    (tmp_path / "weights").mkdir()
    Path("weights/photo2sketch.onnx").write_text("no network")
    done = run("in", "--num-workers", 2, "-o", "out", "--weights", "weights")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "photo2sketch.onnx cannot be loaded" in line


def test_the_format_of_results_can_be_chosen(weights_dir: Path) -> None:
    write_photos("in", 2)
    assert run("in", "--format", "jpg", "--weights", weights_dir).returncode == 0
    with Image.open("in/000_sketch.jpg") as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "L", (20, 24))
    elsewhere = plan_jobs(["in/000.png"], output=Path("out"), suffix=".webp")
    assert elsewhere.jobs[Path("in/000.png")]["photo2sketch"] == Path("out/000.webp")
    # Results of any format are none of the next run's pictures.
    again = plan_jobs(["in"], direction="photo2sketch")
    assert sorted(map(str, again.jobs)) == ["in/000.png", "in/001.png"]
    assert list(map(str, again.left_out)) == ["in/000_sketch.jpg", "in/001_sketch.jpg"]
    with pytest.raises(UsageError, match=r"--format is for folders; one\.png is one picture"):
        plan_jobs(["in/000.png"], output=Path("one.png"), suffix=".jpg")


def test_a_plan_takes_little_more_memory_than_the_names(weights_dir: Path) -> None:
    count = 1000
    for folder in ("in", "out"):
        Path(folder).mkdir()
        for index in range(count):
            Path(folder, f"{index:06}.png").touch()
    for index in range(count):  # to do: half of what is there
        Path("in", f"a{index:06}.png").touch()
        Path("in", f"{index:06}_sketch.png").touch()
    kept = []
    for _ in range(3):  # Python's own table of names may grow within one of them, hardly in two
        tracemalloc.start()
        plan = plan_jobs(["in"], output=Path("out"))
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    beside = plan_jobs(["in"])
    assert (len(plan.done), len(plan.jobs)) == (count, 2 * count)
    assert sorted(kept)[1] / (3 * count) < 150  # bytes a picture; a Path alone has more
    assert (beside.num_left_out, len(beside.left_out)) == (count, MAX_LEFT_OUT)
    tasks = convert_all(plan.jobs, Settings(weights_dir), num_workers=1)
    assert str(next(tasks).error).startswith("in/000000_sketch.png is ")
    tasks.close()  # the others are left
