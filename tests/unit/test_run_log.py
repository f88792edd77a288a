"""Every step is logged once; the speed that the progress bar and the logs show."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from facesketch.run_log import RunLog, StepProgress

pytestmark = pytest.mark.train

LOSSES = dict.fromkeys(("gan_sketch", "gan_photo", "cycle_sketch", "cycle_photo"), 0.5)


def test_a_slow_first_step_is_not_taken_for_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("facesketch.run_log.time.monotonic", lambda: now)
    bar = StepProgress(0, 100)
    assert bar.speed(4) == {"images_per_second": 0.0}
    for step, seconds in enumerate((12.0, 0.2, 0.2, 0.2), start=1):
        now += seconds
        bar.advance(LOSSES, 4, step)
        expected = 4 / 12 if step == 1 else 20
        assert bar.speed(4)["images_per_second"] == pytest.approx(expected)


@pytest.mark.parametrize("resumed_at", [0, 1])
def test_steps_done_again_are_logged_once(tmp_path: Path, resumed_at: int) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first, last, loss in ((0, 3, 0.5), (resumed_at, 2, 0.25)):
        with RunLog(tmp_path, first) as log:
            for step in range(first + 1, last + 1):
                log.write(step, {"loss": loss})
    text = (tmp_path / "logs" / "losses.jsonl").read_text(encoding="utf-8")
    values = [0.5] * resumed_at + [0.25] * (2 - resumed_at)
    assert [json.loads(line)["loss"] for line in text.splitlines()] == values
    events = accumulator.EventAccumulator(str(tmp_path / "logs")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == list(enumerate(values, start=1))
