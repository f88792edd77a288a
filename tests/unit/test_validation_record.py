from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.train

from facesketch.validation import Validation  # noqa: E402
from facesketch.validation.record import (  # noqa: E402
    Measured,
    best_of,
    last_progress,
    num_without_progress,
    write_record,
)


def history(*kids: float, error: float = 0.01) -> list[Measured]:
    return [
        Measured(
            step=100 * number,
            kid_sketch=kid + 0.02,
            kid_photo=kid - 0.02,
            error_sketch=error * 2**0.5,
            error_photo=error * 2**0.5,
            cycle_photo=9.0,
            cycle_sketch=8.0,
        )
        for number, kid in enumerate(kids, start=1)
    ]


def test_weights_are_chosen_by_the_mean_of_both_kids_the_first_of_equal_ones() -> None:
    assert best_of(history(0.3, 0.1, 0.2, 0.1)).step == 200
    assert history(0.3)[0].kid == pytest.approx(0.3)
    assert history(0.3)[0].error == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("kids", "step", "idle"),
    [
        ([0.3], 100, 0),
        ([0.3, 0.2, 0.1], 300, 0),
        ([0.3, 0.2, 0.195, 0.199, 0.21], 200, 3),  # better, but not by more than the error
        ([0.3, 0.295, 0.2899, 0.285, 0.2798], 500, 0),  # small steps add up
        ([0.1, 0.2, 0.3], 100, 2),
    ],
)
def test_progress_is_more_than_the_error(kids: list[float], step: int, idle: int) -> None:
    assert last_progress(history(*kids)).step == step
    assert num_without_progress(history(*kids)) == idle


def test_the_record_is_a_line_each_and_replaces_the_one_before(tmp_path: Path) -> None:
    write_record(tmp_path, history(0.3, 0.2, 0.1))
    write_record(tmp_path, history(0.3, 0.2))
    lines = (tmp_path / "logs" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Measured(**json.loads(line)) for line in lines] == history(0.3, 0.2)


def test_no_progress_is_warned_of_with_what_to_do_and_told_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("matplotlib")
    kids = [0.3, 0.2, 0.199, 0.201, 0.2, 0.198, 0.2, 0.21]
    validation = Validation(tmp_path)
    for each in history(*kids):
        validation.history.append(each)
        validation.publish()
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "No progress in 5 validations: since step 200 KID" in warning
    assert f"facesketch export {tmp_path} --best -o weights" in warning
    assert validation.summary() == [
        "No progress: in the last 6 validations, since step 200",
        f"Best KID:    0.1980 at step 600; {tmp_path / 'validation.png'}",
    ]
