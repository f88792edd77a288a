from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from train_helpers import (
    as_options,
    assert_same_end,
    command,
    logged,
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
from facesketch.errors import (  # noqa: E402
    CheckpointError,
)
from facesketch.train_state import learning_rate_factor  # noqa: E402
from facesketch.training import train  # noqa: E402

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

PATIENCE_S = 120
"""How long a process may take to show a sign of life on a busy machine."""


# Stopping and going on


def test_max_minutes_ends_after_a_step_with_a_checkpoint_and_resuming_changes_no_bit(
    data: Path, six_steps: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        data=data, out=tmp_path / "run", steps=6, lambda_identity=5.0, max_minutes=1e-9
    )
    outcome = train(config)
    assert (outcome.reason, outcome.step) == ("time is up", 1)
    reasons = [resume(tmp_path / "run", max_minutes=1e-9).reason for _ in range(2)]
    assert reasons == ["time is up", "time is up"]
    outcome = resume(tmp_path / "run")  # the limit was for those calls alone
    assert (outcome.reason, outcome.step) == ("finished", 6)
    assert_same_end(tmp_path / "run", six_steps)
    assert [line["step"] for line in logged(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    losses = [
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in logged(run)]
        for run in (tmp_path / "run", six_steps)
    ]
    assert losses[0] == losses[1]


def test_worker_processes_change_no_bit(data: Path, six_steps: Path, tmp_path: Path) -> None:
    config = tiny_config(
        data=data, out=tmp_path / "run", steps=6, lambda_identity=5.0, num_workers=2
    )
    train(config)
    assert_same_end(tmp_path / "run", six_steps)


def test_a_truncated_newest_checkpoint_costs_a_warning_and_no_bit(
    data: Path, six_steps: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    config = tiny_config(data=data, out=run, steps=6, lambda_identity=5.0, checkpoint_every=3)
    train(config)
    newest = checkpoint.list_checkpoints(run)[-1]
    os.truncate(newest, newest.stat().st_size - 1000)
    caplog.clear()
    resume(run)
    assert_same_end(run, six_steps)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings
    assert all(str(newest) in text for text in warnings)
    assert [line["step"] for line in logged(run)] == [1, 2, 3, 4, 5, 6]


def test_another_torch_or_number_of_threads_is_warned_of(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=1))
    [*_, newest] = checkpoint.list_checkpoints(tmp_path)
    content = torch.load(newest, weights_only=True)
    content["environment"] |= {"threads": "64", "torch": "2.6.0"}
    torch.save(content, newest)
    resume(tmp_path)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.split(" and ")[0] for text in warnings] == [
        f"torch is {torch.__version__} now",
        "threads is 1 now",
    ]
    assert "was 64 when the checkpoint was written" in warnings[1]
    assert all("equal to the bit are not promised" in text for text in warnings)


def spawn(run: Path, *words: str) -> subprocess.Popen[str]:
    """Start a real training process in a process group of its own."""
    log = run.with_suffix(".log").open("a", encoding="utf-8")
    with log:
        return subprocess.Popen(
            command("train", *words),
            env=one_thread_environment(),
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str], log: Path) -> None:
    """Poll until something has happened or the process has ended."""
    limit = time.monotonic() + PATIENCE_S
    while process.poll() is None and not happened():
        if time.monotonic() > limit:
            process.kill()
            pytest.fail(f"nothing happened: {log.read_text(encoding='utf-8')}")
        time.sleep(0.005)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_sigterm_to_the_whole_group_ends_cleanly_with_a_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = options(data=data, steps=100_000, num_workers=1, out=run)
    process = spawn(run, *words)
    losses = run / "logs" / "losses.jsonl"
    log = run.with_suffix(".log")
    wait_until(lambda: losses.exists() and losses.stat().st_size > 0, process, log)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0, log.read_text(encoding="utf-8")
    text = log.read_text(encoding="utf-8")
    assert "interrupted: step" in text
    assert f"facesketch train --resume {run}" in text
    assert newest_step(run) == logged(run)[-1]["step"] >= 1
    with pytest.raises(ProcessLookupError):  # no worker is left behind
        os.killpg(process.pid, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill differs on Windows")
def test_sigint_ends_after_the_step_with_a_checkpoint(data: Path, tmp_path: Path) -> None:
    losses = tmp_path / "logs" / "losses.jsonl"
    ended = threading.Event()
    handler = signal.getsignal(signal.SIGINT)  # ignored where a shell started us in the background

    def interrupt() -> None:
        while not ended.is_set():
            if losses.exists() and losses.stat().st_size > 0:
                os.kill(os.getpid(), signal.SIGINT)
                return
            ended.wait(0.01)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        outcome = train(tiny_config(data=data, out=tmp_path, steps=100_000))
    finally:
        ended.set()
        watcher.join()
    assert outcome.reason == "interrupted"
    assert newest_step(tmp_path) == outcome.step
    assert signal.getsignal(signal.SIGINT) is handler


# Settings of a resumed run


def test_more_steps_are_allowed_and_the_new_schedule_is_told(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=4))
    with caplog.at_level(logging.INFO, logger="facesketch"):
        outcome = resume(tmp_path, steps=8)
    assert (outcome.step, outcome.num_steps) == (8, 8)
    assert "8 steps, not 4" in caplog.text
    rates = [line["learning_rate"] for line in logged(tmp_path)]
    past = [2e-4 * learning_rate_factor(step, 4, 0.5) for step in range(4)]
    assert rates[:4] == pytest.approx(past)
    new = [2e-4 * learning_rate_factor(step, 8, 0.5) for step in range(4, 8)]
    assert rates[4:] == pytest.approx(new)


def test_a_finished_run_is_left_as_it_is(six_steps: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in six_steps.rglob("*")}
    outcome = resume(six_steps)
    assert (outcome.step, outcome.reason) == (6, "finished")
    assert {path: path.stat().st_mtime_ns for path in six_steps.rglob("*")} == before


def test_settings_that_differ_are_listed_and_nothing_is_changed(
    six_steps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = as_options({"seed": 5, "batch-size": 4, "log-every": 7})
    code, out, err = run_cli(capsys, "train", "--resume", str(six_steps), *changes)
    assert (code, out) == (1, "")
    assert "seed is 0, not 5" in err
    assert "batch_size is 2, not 4" in err
    assert "log_every" not in err
    assert err.count("\n") == 1


def test_settings_of_a_preset_that_differ_are_listed_too(
    six_steps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli(capsys, "train", "--resume", str(six_steps), "--preset", "small")
    assert code == 1
    assert "image_size is 32, not 128" in err
    assert "epochs" not in err


def test_a_run_goes_on_with_moved_pictures_but_not_with_others(
    six_steps: Path, data: Path, tmp_path: Path
) -> None:
    moved = write_pictures(tmp_path / "moved")
    assert resume(six_steps, data=moved).reason == "finished"
    (moved / "train" / "photos" / "0.png").rename(moved / "train" / "photos" / "00.png")
    with pytest.raises(CheckpointError, match="the images are not those"):
        resume(six_steps, data=moved, steps=7)


def test_a_folder_that_holds_a_run_is_not_written_over(data: Path, six_steps: Path) -> None:
    with pytest.raises(CheckpointError, match="--resume"):
        train(tiny_config(data=data, out=six_steps, steps=6))
