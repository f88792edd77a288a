from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from train_helpers import (
    GOLDEN,
    assert_same_end,
    command,
    differences,
    logged,
    loss_curve,
    one_thread_environment,
    options,
    resume,
    run_cli,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch import checkpoint, training  # noqa: E402
from facesketch.data.batch import Batch  # noqa: E402
from facesketch.data.dataset import find_domains  # noqa: E402
from facesketch.data.sampler import Pen, StepSampler  # noqa: E402
from facesketch.errors import (  # noqa: E402
    DataError,
    NonFiniteLossError,
    WeightsError,
)
from facesketch.samples import Samples  # noqa: E402
from facesketch.train_state import TrainState  # noqa: E402
from facesketch.training import train  # noqa: E402

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

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
    return copy.deepcopy(state.state_dict()) | {"step": state.step}


def batch(state: TrainState, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    size = (state.config.batch_size, 3, 32, 32)
    photo = torch.rand(size, generator=generator) * 2 - 1
    return Batch.of(photo, photo[:, :1].flip(0).contiguous())


def test_a_step_that_is_given_up_changes_nothing() -> None:
    state, undisturbed = (TrainState(tiny_config(pool_size=2), 10) for _ in range(2))
    for seed in range(2):
        assert state.train_step(batch(state, seed)) == undisturbed.train_step(batch(state, seed))
    before = copied(state)
    spoilt = batch(state, 9)
    spoilt.photo[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="step 2"):
        state.train_step(spoilt)
    assert not list(differences(copied(state), before))
    assert state.train_step(batch(state, 3)) == undisturbed.train_step(batch(state, 3))
    assert not list(differences(copied(state), copied(undisturbed)))


def test_a_batch_in_parts_gives_the_same_step_as_a_whole_one() -> None:
    kind = {"batch_size": 4, "pool_size": 6, "lambda_identity": 5.0}
    whole = TrainState(tiny_config(**kind), 10)
    parts = TrainState(tiny_config(**kind, accumulate=2), 10)
    for seed in range(3):
        a, b = (state.train_step(batch(state, seed)) for state in (whole, parts))
        assert a == pytest.approx(b, rel=1e-2)  # rounding grows from step to step
    pools = [state.state_dict()["pools"]["photo"] for state in (whole, parts)]
    assert torch.equal(pools[0]["rng"], pools[1]["rng"])
    torch.testing.assert_close(pools[0]["images"], pools[1]["images"], rtol=1e-2, atol=1e-2)


def test_a_state_that_was_saved_and_loaded_goes_on_to_the_bit(tmp_path: Path) -> None:
    state = TrainState(tiny_config(pool_size=2), 10)
    for seed in range(3):
        state.train_step(batch(state, seed))
    torch.save(state.state_dict(), tmp_path / "state.pt")
    loaded = TrainState(tiny_config(pool_size=2), 10)
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), 3)
    for seed in range(3, 7):
        a, b = (one.train_step(batch(state, seed)) for one in (state, loaded))
        assert a == b
    assert not list(differences(copied(state), copied(loaded)))


def test_a_state_from_a_device_without_the_fused_optimizer_goes_on(tmp_path: Path) -> None:
    state = TrainState(tiny_config(), 10)
    state.train_step(batch(state, 0))
    saved = copy.deepcopy(state.state_dict())
    for optimizer in saved["optimizers"].values():
        optimizer["param_groups"][0]["fused"] = False
    loaded = TrainState(tiny_config(), 10)
    loaded.load_state_dict(saved, 1)
    assert all(o.param_groups[0]["fused"] for o in loaded.optimizers.values())
    assert state.train_step(batch(state, 1)) == loaded.train_step(batch(loaded, 1))
    assert not list(differences(copied(state), copied(loaded)))


def test_the_running_average_follows_the_generators() -> None:
    state = TrainState(tiny_config(ema_decay=0.15), 10)
    name = "photo2sketch.head.bias"
    average = state.ema.state_dict()[name].clone()
    for step in range(3):
        state.train_step(batch(state, step))
        decay = min(0.15, (1 + step) / (10 + step))  # 0.1, and then what was set
        now = state.model.state_dict()["gen_photo2sketch.head.bias"]
        average = decay * average + (1 - decay) * now
        torch.testing.assert_close(state.ema.state_dict()[name], average)


def flat(network: torch.nn.Module) -> torch.Tensor:
    """Return all parameters in one vector."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def two_steps(**changes: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the losses of each of two steps, and the weights after it."""
    state = TrainState(tiny_config(**changes), num_steps=4)
    for number in (1, 2):
        yield f"losses {number}", state.train_step(batch(state, number))
        nets = {"gen": state.model.generators(), "disc": state.model.discriminators()}
        weights = {name: flat(torch.nn.ModuleDict(parts)) for name, parts in nets.items()}
        yield f"weights {number}", weights | {"ema": flat(state.ema)}


@cache
def as_it_is() -> list[tuple[str, dict[str, Any]]]:
    return list(two_steps())


COMING_BACK = {"cycle_photo", "cycle_sketch", "grad_norm_gen"}
JUDGED = {"gan_photo", "gan_sketch", "disc_photo", "disc_sketch", "grad_norm_gen", "grad_norm_disc"}
WEIGHTS = {"gen", "disc", "ema"}


@pytest.mark.parametrize(
    ("change", "when", "what"),
    [
        ({"cycle_noise": 0.2}, "losses 1", COMING_BACK),
        ({"cycle_blur": 2.0}, "losses 1", COMING_BACK),
        ({"diff_augment": "color"}, "losses 1", JUDGED),
        ({"learning_rate": 1e-3}, "weights 1", WEIGHTS),
        # Of one gradient Adam takes the sign, whatever its betas; the rate falls to 3/4, then.
        ({"beta1": 0.9}, "weights 2", WEIGHTS),
        ({"beta2": 0.5}, "weights 2", WEIGHTS),
        ({"decay_start": 0.0}, "weights 2", WEIGHTS),
    ],
    ids=str,
)
def test_a_setting_changes_what_it_should_and_nothing_before(
    change: dict[str, Any], when: str, what: set[str]
) -> None:
    for (moment, values), (_, before) in zip(two_steps(**change), as_it_is(), strict=True):
        differ = {
            name
            for name, value in values.items()
            if not np.allclose(value, before[name], rtol=1e-3, atol=1e-6)
        }
        if moment == when:
            assert differ == what
            return
        assert not differ, moment


# What a run leaves behind


def test_a_run_leaves_settings_losses_events_samples_and_checkpoints(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    often = {"sample_every": 2, "checkpoint_every": 2, "log_every": 3}
    train(tiny_config(data=data, out=run, steps=4, **often))
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
    assert [line["step"] for line in lines] == [3, 4]  # and the last one
    assert set(lines[0]) >= {
        *("gan_sketch", "gan_photo", "cycle_photo", "cycle_sketch", "disc_photo", "disc_sketch"),
        *("learning_rate", "images_per_second"),
    }


def test_samples_are_made_by_the_running_averages(data: Path, tmp_path: Path) -> None:
    state = TrainState(tiny_config(data=data), 10)
    domains = find_domains(state.config)
    assert domains is not None
    samples = Samples(state.config, domains)

    def picture_without(network: torch.nn.Module) -> bytes:
        with torch.no_grad():
            for tensor in network.parameters():
                tensor.zero_()
        samples.save(tmp_path, state)
        return (tmp_path / "samples" / "step-00000000.png").read_bytes()

    before = picture_without(torch.nn.Module())
    assert picture_without(state.model) == before
    assert picture_without(state.ema) != before


def test_the_settings_a_run_writes_start_the_same_run_again(
    six_steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    words = ["--config", str(six_steps / "settings.toml"), "--out", str(again)]
    code, out, _ = run_cli(capsys, "train", *words)
    assert code == 0
    assert f"finished: step 6 of 6, in {again}" in out
    assert_same_end(again, six_steps)


def test_a_run_says_what_it_trains_on_and_with_what_it_may_run_out_of(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="facesketch")
    monkeypatch.setattr(training, "free_bytes", lambda _device: 1)
    train(tiny_config(data=data, out=tmp_path / "run", steps=1))
    assert (
        "Training on the CPU, 1 thread, float32, with 5 photos and 4 sketches: steps 1 to 1."
        in caplog.messages
    )
    assert any("--accumulate 2 would need less." in message for message in caplog.messages)


def test_the_first_steps_are_shown_and_time_makes_checkpoints_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(training, "EARLY_SAMPLES", (2,))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    train(tiny_config(data=data, out=run, steps=4, keep_checkpoints=9))
    shown = [path.name for path in sorted((run / "samples").iterdir())]
    assert shown == ["step-00000002.png", "step-00000004.png"]
    assert (run / "losses.png").is_file()
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(run)] == [
        0,
        1,
        2,
        3,
        4,
    ]


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
        "device the CPU, 1 thread, float32",
    }
    for word in ("gen_photo2sketch", "gen_sketch2photo", "disc_photo", "disc_sketch"):
        assert any(line.startswith(word) and "parameters" in line for line in lines)
    assert any(line.startswith("memory of a step about") for line in lines)
    assert not run.exists()
    _, out, _ = run_cli(capsys, "train", *options(data=data, epochs=3), "--dry-run")
    assert "steps 9 " in " ".join(out.split())  # 5 photos, 2 a step, 3 times


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"styles": "chalk"}, "sketches/chalk holds no images; --styles wants"),
        ({"photos": "{data}/train/photos", "sketches": "{data}/odd", "lambda_paired": 1.0},
         "lambda_paired needs pairs"),
        ({"teacher": "{data}/gone"}, "the teacher cannot be loaded: "),
        ({"init_from": "{data}/gone"}, "gone"),
        ({"init_from": "{run}", "sketch_channels": 3}, "do not fit generator=compact"),
    ],
)  # fmt: skip
def test_a_dry_run_refuses_what_training_would(
    settings: dict[str, Any],
    answer: str,
    six_steps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_pictures(tmp_path / "set")
    (data / "odd").mkdir()
    Image.new("L", (40, 40)).save(data / "odd" / "x.png")
    given = {name: str(value).format(data=data, run=six_steps) for name, value in settings.items()}
    where = {} if "photos" in given else {"data": data}
    code, out, err = run_cli(capsys, "train", *options(**where, **given), "--dry-run")
    assert code == 1
    assert answer in err
    assert "Plan" not in out


def test_broken_pictures_are_skipped_named_and_reported_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    root = write_pictures(tmp_path / "set", num_photos=101, num_sketches=1)
    config = tiny_config(data=root)
    photos = find_domains(config).photos
    pen = Pen(0, np.zeros(1, np.int32))
    draws = list(StepSampler(101, [pen], batch_size=2, seed=0, num_steps=4))
    bad = photos.path(draws[0][0].photo)
    bad.write_bytes(bad.read_bytes()[:200])
    run = tmp_path / "run"
    code, out, _ = run_cli(capsys, "train", *options(data=root, out=run, steps=2))
    assert code == 0
    assert "1 broken images were skipped" in out
    assert str(bad) in out
    assert caplog.text.count(f"Skipped a broken image: {bad}") == 1
    for draw in (*draws[2], draws[3][0]):
        photos.path(draw.photo).write_bytes(b"")
    with pytest.raises(DataError, match=r"4 of 101 images in .*photos are broken") as caught:
        resume(run, steps=9)
    assert "data check" in str(caught.value)
    assert checkpoint.load_latest(run).step == 3


# Starting from generators that exist


def test_a_new_run_starts_from_the_averaged_generators_and_the_discriminators_of_another(
    six_steps: Path, data: Path, tmp_path: Path
) -> None:
    train(tiny_config(data=data, out=tmp_path, steps=1, seed=4, init_from=six_steps))
    former = checkpoint.load_latest(six_steps).state
    source = former["ema"]
    start = checkpoint.load(checkpoint.list_checkpoints(tmp_path)[0])
    assert start.step == 0
    assert not list(differences(dict(start.state["ema"]), dict(source)))
    model = start.state["model"]
    assert all(torch.equal(model[f"gen_{name}"], tensor) for name, tensor in source.items())
    judges = [name for name in model if name.startswith(("disc_photo.", "disc_sketch."))]
    assert judges
    assert all(torch.equal(model[name], former["model"][name]) for name in judges)


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
    "missing folder": (2, "nowhere is not a folder", ["--data", "{tmp}/nowhere"]),
    "mistyped folder": (
        2,
        "did you mean {tmp}/empty?",
        ["--photos", "{tmp}/emty", "--sketches", "{data}/train/sketches"],
    ),
    "out on a file": (2, "choose another", ["--data", "{data}", "--out", "{tmp}/odd.toml/run"]),
    "name that is no text": (2, "is not valid UTF-8", ["--data", "{tmp}/\udcff"]),
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
def test_an_error_is_one_sentence_on_stderr_with_its_exit_code(  # noqa: PLR0917
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
    text, *words = (word.format(data=data, tmp=tmp_path, run=six_steps) for word in (text, *words))
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
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"facesketch: --data {tmp_path / 'nowhere'} is not a folder; check the name."
    ]


# The golden curve


def test_losses_follow_the_golden_curve(data: Path, tmp_path: Path) -> None:
    """To change what training computes on purpose: `python tests/train_helpers.py`.

    Other CPUs round otherwise, and each step makes some ten times as much of it: Adam's first ones
    go by the signs of gradients.
    """
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    seen = loss_curve(data, tmp_path / "run")
    assert len(seen) == len(expected) == 3
    for step, (values, wanted) in enumerate(zip(seen, expected, strict=True), start=1):
        assert values == pytest.approx(wanted, rel=10.0 ** (step - 5)), f"step {step}"
