from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from train_helpers import (
    GOLDEN,
    as_options,
    command,
    differences,
    logged,
    loss_curve,
    one_thread_environment,
    options,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch import checkpoint  # noqa: E402
from facesketch.cli import main  # noqa: E402
from facesketch.data.dataset import find_domains  # noqa: E402
from facesketch.data.sampler import StepSampler  # noqa: E402
from facesketch.errors import (  # noqa: E402
    CheckpointError,
    DataError,
    NonFiniteLossError,
    WeightsError,
)
from facesketch.train_state import TrainState, learning_rate_factor  # noqa: E402
from facesketch.training import Outcome, train  # noqa: E402

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

PATIENCE_S = 120
"""How long a process may take to show a sign of life on a busy machine."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums have another order, so other last bits, on another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "set")


def resume(run: Path, **changes: Any) -> Outcome:
    """Continue a run as `--resume` does."""
    settings = checkpoint.merge_settings(checkpoint.load_latest(run).settings, changes)
    return train(settings, resume=run)


def assert_same_end(run: Path, expected: Path) -> None:
    """Compare the newest checkpoints of two runs to the bit: every tensor and number in them."""
    a, b = checkpoint.load_latest(run), checkpoint.load_latest(expected)
    assert a.step == b.step
    assert {"model", "ema", "optimizers", "pools"} <= set(a.state)
    assert not list(differences(a.state, b.state))


def run_cli(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


# Stopping and going on


@pytest.fixture(scope="module")
def six_steps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nothing disturbed."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "six"
    outcome = train(tiny_config(data=data, out=run, steps=6, lambda_identity=5.0))
    assert (outcome.step, outcome.num_steps, outcome.reason) == (6, 6, "finished")
    return run


def test_max_minutes_ends_after_a_step_with_a_checkpoint_and_resuming_changes_no_bit(
    data: Path, six_steps: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        data=data, out=tmp_path / "run", steps=6, lambda_identity=5.0, max_minutes=1e-9
    )
    outcome = train(config)
    assert (outcome.reason, outcome.step) == ("time is up", 1)
    reasons = [resume(tmp_path / "run").reason for _ in range(2)]
    assert reasons == ["time is up", "time is up"]
    outcome = resume(tmp_path / "run", max_minutes=60)
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


def test_another_number_of_threads_is_warned_of(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=2, max_minutes=1e-9))
    torch.set_num_threads(2)
    resume(tmp_path)
    assert "threads is 2 now and was 1" in caplog.text
    assert "equal to the bit are not promised" in caplog.text


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


def newest_step(run: Path) -> int:
    paths = checkpoint.list_checkpoints(run)
    return int(paths[-1].stem.removeprefix("step-")) if paths else -1


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a thing of POSIX")
def test_a_run_killed_at_any_moment_ends_equal_to_the_bit(data: Path, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    log = run.with_suffix(".log")
    plan = options(data=data, steps=18, checkpoint_every=2, keep_checkpoints=2)
    undisturbed = spawn(whole, *plan, "--out", str(whole))
    rng = random.Random()
    kills = []
    for attempt in range(4):
        before = newest_step(run)
        words = ["--resume", str(run)] if before >= 0 else [*plan, "--out", str(run)]
        process = spawn(run, *words)
        if attempt == 1:  # in the middle of writing a checkpoint
            wait_until(lambda: any(run.glob("checkpoints/*.partial")), process, log)
        else:
            wait_until(lambda before=before: newest_step(run) > before, process, log)
            delay = rng.uniform(0, 0.6)
            kills.append(delay)
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                pass
        process.kill()
        process.wait()
    last = spawn(run, "--resume", str(run))
    assert last.wait(timeout=PATIENCE_S) == 0, (kills, log.read_text(encoding="utf-8"))
    assert undisturbed.wait(timeout=PATIENCE_S) == 0
    assert_same_end(run, whole)
    assert [line["step"] for line in logged(run)] == list(range(1, 19))
    assert not list(run.glob("checkpoints/*.partial"))


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
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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


# Bad numbers


def test_a_loss_that_is_not_finite_stops_before_the_step_and_keeps_the_last_good_state(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = options(data=data, out=run, steps=50, learning_rate=1e30)
    code, _, err = run_cli(capsys, "train", *words)
    assert code == 1
    assert "became non-finite in step" in err
    assert "Traceback" not in err
    saved = checkpoint.load_latest(run)
    assert str(saved.path) in err
    lines = logged(run)
    assert saved.step == lines[-1]["step"] == len(lines) < 50
    for optimizer in saved.state["optimizers"].values():
        assert {int(values["step"]) for values in optimizer["state"].values()} == {saved.step}
    for name in ("model", "ema"):
        assert all(tensor.isfinite().all() for tensor in saved.state[name].values())


def copied(state: TrainState) -> dict[str, Any]:
    """Return a state dict that later steps do not change."""
    import copy

    return copy.deepcopy(state.state_dict()) | {"step": state.step}


def batch(state: TrainState, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = (state.config.batch_size, 3, 32, 32)
    photo = torch.rand(size, generator=generator) * 2 - 1
    return photo, photo[:, :1].flip(0).contiguous()


def test_a_step_that_is_given_up_changes_nothing() -> None:
    state, undisturbed = (TrainState(tiny_config(pool_size=2), 10) for _ in range(2))
    for seed in range(2):
        assert state.train_step(*batch(state, seed)) == undisturbed.train_step(*batch(state, seed))
    before = copied(state)
    photo, sketch = batch(state, 9)
    photo[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="step 2"):
        state.train_step(photo, sketch)
    assert not list(differences(copied(state), before))
    assert state.train_step(*batch(state, 3)) == undisturbed.train_step(*batch(state, 3))
    assert not list(differences(copied(state), copied(undisturbed)))


def test_a_batch_in_parts_gives_the_same_step_as_a_whole_one() -> None:
    kind = {"batch_size": 4, "pool_size": 6, "lambda_identity": 5.0}
    whole = TrainState(tiny_config(**kind), 10)
    parts = TrainState(tiny_config(**kind, accumulate=2), 10)
    for seed in range(3):
        a, b = (state.train_step(*batch(state, seed)) for state in (whole, parts))
        assert a == pytest.approx(b, rel=1e-3)
    pools = [state.state_dict()["pools"]["photo"] for state in (whole, parts)]
    assert torch.equal(pools[0]["rng"], pools[1]["rng"])
    torch.testing.assert_close(pools[0]["images"], pools[1]["images"], rtol=1e-2, atol=1e-2)


def test_a_state_that_was_saved_and_loaded_goes_on_to_the_bit(tmp_path: Path) -> None:
    state = TrainState(tiny_config(pool_size=2), 10)
    for seed in range(3):
        state.train_step(*batch(state, seed))
    torch.save(state.state_dict(), tmp_path / "state.pt")
    loaded = TrainState(tiny_config(pool_size=2), 10)
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), 3)
    for seed in range(3, 7):
        a, b = (one.train_step(*batch(state, seed)) for one in (state, loaded))
        assert a == b
    assert not list(differences(copied(state), copied(loaded)))


def test_the_running_average_follows_the_generators() -> None:
    state = TrainState(tiny_config(ema_decay=0.999), 10)
    name = "photo2sketch.head.bias"
    average = state.ema.state_dict()[name].clone()
    for step in range(3):
        state.train_step(*batch(state, step))
        decay = min(0.999, (1 + step) / (10 + step))
        now = state.model.state_dict()["gen_photo2sketch.head.bias"]
        average = decay * average + (1 - decay) * now
        torch.testing.assert_close(state.ema.state_dict()[name], average)


# What a run leaves behind


def test_a_run_leaves_settings_losses_events_samples_and_checkpoints(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(tiny_config(data=data, out=run, steps=4, sample_every=2, checkpoint_every=2))
    assert [path.name for path in checkpoint.list_checkpoints(run)] == [
        "step-00000000.pt",
        "step-00000002.pt",
        "step-00000004.pt",
    ]
    assert [path.name for path in sorted((run / "samples").iterdir())] == [
        "step-00000002.png",
        "step-00000004.png",
    ]
    with Image.open(run / "samples" / "step-00000004.png") as grid:
        # Six stages, two validation pictures, 4 px between them.
        assert (grid.size, grid.mode) == ((6 * 36 - 4, 2 * 36 - 4), "RGB")
    events = list((run / "logs").glob("events.out.tfevents.*"))
    assert events
    assert max(path.stat().st_size for path in events) > 500
    lines = logged(run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[0]) >= {
        *("gan_sketch", "gan_photo", "cycle_photo", "cycle_sketch", "disc_photo", "disc_sketch"),
        *("learning_rate", "images_per_second"),
    }


def test_the_settings_a_run_writes_start_the_same_run_again(
    six_steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    words = ["--config", str(six_steps / "settings.toml"), "--out", str(again)]
    code, out, _ = run_cli(capsys, "train", *words)
    assert code == 0
    assert f"finished: step 6 of 6, in {again}" in out
    assert_same_end(again, six_steps)


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = options(data=data, out=run, steps=1500, learning_rate=0.001)
    code, out, err = run_cli(capsys, "train", *words, "--dry-run")
    assert (code, err) == (0, "")
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert lines >= {
        "image_size 32 px",
        "learning_rate 0.001",
        f"images 5 photos in {data / 'train' / 'photos'}",
        f"4 sketches in {data / 'train' / 'sketches'}",
        "steps 1,500",
        "device cpu, float32",
    }
    for word in ("gen_photo2sketch", "gen_sketch2photo", "disc_photo", "disc_sketch"):
        assert any(line.startswith(word) and "parameters" in line for line in lines)
    assert any(line.startswith("memory of a step about") for line in lines)
    assert not run.exists()


def test_broken_pictures_are_skipped_named_and_reported_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    root = write_pictures(tmp_path / "set", num_photos=101, num_sketches=1)
    config = tiny_config(data=root)
    photos = find_domains(config).photos
    first = next(iter(StepSampler(101, 1, batch_size=2, seed=0, num_steps=1)))[0]
    bad = photos.path(first.photo)
    bad.write_bytes(bad.read_bytes()[:200])
    run = tmp_path / "run"
    code, out, _ = run_cli(capsys, "train", *options(data=root, out=run, steps=2))
    assert code == 0
    assert "1 broken images were skipped" in out
    assert str(bad) in out
    assert caplog.text.count(f"Skipped a broken image: {bad}") == 1
    other = photos.path((first.photo + 1) % 101)
    other.write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 101 images in .*photos are broken") as caught:
        resume(run, steps=200)
    assert "data check" in str(caught.value)
    assert checkpoint.load_latest(run).step > 2


# Starting from generators that exist


def test_a_new_run_starts_from_the_averaged_generators_of_another(
    six_steps: Path, data: Path, tmp_path: Path
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=1, seed=4, init_from=six_steps))
    source = checkpoint.load_latest(six_steps).state["ema"]
    start = checkpoint.load(checkpoint.list_checkpoints(tmp_path)[0])
    assert start.step == 0
    assert not list(differences(dict(start.state["ema"]), dict(source)))
    model = start.state["model"]
    assert all(torch.equal(model[f"gen_{name}"], tensor) for name, tensor in source.items())


def test_generators_of_another_shape_are_refused(
    six_steps: Path, data: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        data=data, out=tmp_path / "run", steps=1, init_from=six_steps, sketch_channels=3
    )
    with pytest.raises(WeightsError, match="sketch_channels=3"):
        train(config)


# Errors of the command line

ERRORS: dict[str, tuple[int, str, list[str]]] = {
    "no data": (2, "say where the images are", []),
    "bad value": (2, "epochs: ", ["--data", "{data}", "--epochs", "0"]),
    "bad number": (2, "learning_rate: ", ["--data", "{data}", "--learning-rate", "fast"]),
    "unknown preset": (2, "choose from compact, paper, small", ["--preset", "huge"]),
    "no such device": (2, "cuda:63", ["--data", "{data}", "--device", "cuda:63"]),
    "missing folder": (1, "nowhere is not a folder", ["--data", "{tmp}/nowhere"]),
    "empty folder": (
        1,
        "empty holds no images",
        ["--photos", "{tmp}/empty", "--sketches", "{data}/train/sketches"],
    ),
    "one folder": (2, "go together", ["--photos", "{tmp}/empty"]),
    "no run": (1, "holds no checkpoint", ["--resume", "{tmp}/empty"]),
    "other out": (2, "leave --out away", ["--resume", "{run}", "--out", "{tmp}/x"]),
    "no weights": (1, "does not exist", ["--data", "{data}", "--init-from", "{tmp}/empty"]),
    "no TOML": (2, "cannot be read", ["--config", "{tmp}/no.toml"]),
    "broken TOML": (2, "not valid TOML", ["--config", "{tmp}/broken.toml"]),
    "unknown in TOML": (2, "colour: is not a setting", ["--config", "{tmp}/odd.toml"]),
    "odd preset in TOML": (2, "preset [1] is unknown", ["--config", "{tmp}/preset.toml"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_sentence_on_stderr_with_its_exit_code(
    case: str,
    data: Path,
    six_steps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.toml").write_text("epochs =")
    (tmp_path / "odd.toml").write_text('colour = "red"')
    (tmp_path / "preset.toml").write_text("preset = [1]")
    monkeypatch.chdir(tmp_path)
    expected, text, words = ERRORS[case]
    words = [word.format(data=data, tmp=tmp_path, run=six_steps) for word in words]
    code, _, err = run_cli(capsys, "train", *words)
    assert (code, err.count("\n")) == (expected, 1)
    assert text in err
    assert err.startswith("facesketch: ")
    assert not (tmp_path / "runs").exists()


def test_a_real_process_answers_an_error_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        command("train", "--data", str(tmp_path / "nowhere"), "--device", "cpu"),
        env=one_thread_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"facesketch: {tmp_path / 'nowhere'} is not a folder; --data wants the data set's root."
    ]


# The golden curve


def test_losses_follow_the_golden_curve(data: Path, tmp_path: Path) -> None:
    """To change what training computes on purpose: `python tests/train_helpers.py`."""
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    seen = loss_curve(data, tmp_path / "run")
    assert len(seen) == len(expected) == 5
    for step, (values, wanted) in enumerate(zip(seen, expected, strict=True), start=1):
        assert values == pytest.approx(wanted, rel=1e-3), f"step {step}"
