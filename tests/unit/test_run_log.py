"""The speed that the progress bar and the logs show."""

import pytest

pytest.importorskip("torch")

from facesketch.run_log import StepProgress

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
