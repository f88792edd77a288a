"""What goes wrong around a training: other trainers, killed processes, moved files.

Full disks, lost workers and more are in soak/training_faults.py; test_soak.py runs a sample.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train_helpers import (
    children,
    command,
    newest_step,
    one_thread_environment,
    options,
    resume,
    run_cli,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch import checkpoint  # noqa: E402
from facesketch.errors import CheckpointError, DataError, TrainingError  # noqa: E402
from facesketch.run_folder import claimed  # noqa: E402
from facesketch.training import train  # noqa: E402

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.usefixtures("one_thread", "translated_once"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

PATIENCE_S = 60
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc and sets limits")


def start(run: Path, **settings: object) -> subprocess.Popen[bytes]:
    """Start a real training process that has reached its first checkpoint after step 0."""
    words = options(out=run, steps=100_000, checkpoint_every=2, **settings)
    with run.with_suffix(".log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command("train", *words), env=one_thread_environment(), stdout=log, stderr=log
        )
    limit = time.monotonic() + PATIENCE_S
    while newest_step(run) <= 0:
        assert process.poll() is None, run.with_suffix(".log").read_text("utf-8")
        assert time.monotonic() < limit
        time.sleep(0.005)
    return process


def test_a_run_that_failed_before_its_first_step_can_be_given_again(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=2, num_sketches=2)
    config = tiny_config(data=root, out=tmp_path / "run", steps=1)
    photos = {path: path.read_bytes() for path in (root / "train/photos").iterdir()}
    for path in photos:
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="images in a row"):
        train(config)
    for path, whole in photos.items():
        path.write_bytes(whole)
    assert train(config).step == 1
    assert [p.name for p in checkpoint.list_checkpoints(tmp_path / "run")] == [
        "step-00000000.pt",
        "step-00000001.pt",
    ]
    assert len(list((tmp_path / "run/logs").glob("events.*"))) == 1
    with pytest.raises(CheckpointError, match="--resume"):  # now it holds something
        train(config)


def test_a_second_trainer_is_refused_while_the_first_one_works(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny_config(data=data, out=run, steps=1))
    with claimed(run):
        unfinished = run / ".settings.toml.999999999.partial"
        unfinished.touch()  # as the first one would
        with pytest.raises(TrainingError, match="another process is training in"):
            resume(run, steps=2)
        assert unfinished.exists()
    assert resume(run, steps=2).step == 2


def test_what_a_killed_trainer_left_half_written_is_cleared_away(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(tiny_config(data=data, out=run, steps=1))
    for name in (".validation.png", "checkpoints/.step-00000009.pt", "samples/.step-00000009.png"):
        (run / f"{name}.999999999.partial").write_bytes(b"half")
    resume(run, steps=2)
    assert not list(run.rglob("*.partial"))


@linux_only
def test_a_killed_trainer_leaves_no_lock_though_its_workers_live_on(
    data: Path, tmp_path: Path
) -> None:
    process = start(tmp_path / "run", data=data, num_workers=1)
    workers = children(process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # it cannot notice that its parent is gone
    process.kill()
    process.wait()
    try:
        assert workers
        with claimed(tmp_path / "run"):
            pass
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


def test_a_run_goes_on_and_is_exported_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "set")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folders = {"photos": "set/train/photos", "sketches": "set/train/sketches"}
    assert run_cli(capsys, "train", *options(**folders, out="run", steps=1))[0] == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run_cli(capsys, "train", "--resume", "../run", "--steps", "2")[0] == 0

    (tmp_path / "set").rename(tmp_path / "moved")
    code, _, err = run_cli(capsys, "export", "../run", "-o", "again")
    assert code == 1
    assert "--photos and --sketches" in err
    moved = [word for name in folders for word in (f"--{name}", f"../moved/train/{name}")]
    assert run_cli(capsys, "export", "../run", "-o", "again", *moved)[0] == 0
    assert sorted(p.name for p in Path("again").iterdir()) == [
        "photo2sketch.onnx",
        "sketch2photo.onnx",
    ]
    code, _, err = run_cli(capsys, "export", "../run", "-o", "x", *moved, "--data", "../moved")
    assert code == 2
    assert "not both" in err


def test_a_broken_newest_checkpoint_is_put_aside(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    train(tiny_config(data=data, out=run, steps=6, checkpoint_every=2, keep_checkpoints=2))
    newest = checkpoint.list_checkpoints(run)[-1]
    os.truncate(newest, newest.stat().st_size - 1000)
    with caplog.at_level(logging.INFO, logger="facesketch"):
        resume(run, max_minutes=1e-9)
    assert sorted(path.name for path in newest.parent.iterdir()) == [
        "step-00000004.pt",
        "step-00000005.pt",
        "step-00000006.broken",
    ]
    assert "step-00000006.broken" in caplog.text


def test_a_dry_run_of_a_resume_refuses_other_images_too(
    data: Path, six_steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(data, tmp_path / "other")
    (other / "train/photos/0.png").unlink()
    words = ["--resume", str(six_steps), "--dry-run", "--data"]
    assert run_cli(capsys, "train", *words, str(data))[0] == 0
    code, out, err = run_cli(capsys, "train", *words, str(other))
    assert (code, out) == (1, "")
    assert "the images are not those" in err


def test_a_learning_rate_that_falls_at_once_is_told(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=40, max_minutes=1e-9))
    train_again = {"steps": 4, "max_minutes": 1e-9}
    with caplog.at_level(logging.INFO, logger="facesketch"):
        resume(tmp_path, **train_again)  # step 1 of 4: still before the fall
        assert "is still 0.0002, falls from step 2 on" in caplog.text
        resume(tmp_path, steps=3)
    assert "goes from 0.0002 to 0.000133, falls from step 2 on" in caplog.text
