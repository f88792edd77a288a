"""A sample of each fault campaign of soak/; `make soak` runs them in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the extra train")
pytest.importorskip("flask", reason="needs the extra serve")

from soak import campaign, mixed_load, requests, server_stops, uploads, weights
from soak.campaign import Report
from soak.fuzz_decode import read_hostile
from soak.hostile import KINDS
from soak.requests import KINDS as REQUEST_KINDS
from train_helpers import one_thread_environment

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.dev,
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, sets limits and forks"),
]


def test_training_survives_what_disturbs_it(tmp_path: Path) -> None:
    """Killed in its start, a step, a checkpoint, a grid and a validation; five other faults."""
    pytest.importorskip("torch", reason="needs the extra train")
    out = tmp_path / "report.json"
    names = ("training_kills", "training_faults")
    command = [sys.executable, "-m", "soak", "--share", "0.05", "--out", str(out), *names]
    done = subprocess.run(
        command,
        env=one_thread_environment() | {"TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert any(row["what was tried"].startswith("training killed in ") for row in rows)
    assert sum(row["times"] for row in rows) == 5 + 5 + 1


def test_training_survives_a_disk_that_is_really_full() -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    full_disk = pytest.importorskip("soak.full_disk")
    if not full_disk.may_mount():
        pytest.skip("unshare is not allowed to mount here")
    report = full_disk.fill_disk(0, 2)
    assert report.is_good, report.broken
    assert report.outcomes["disk really full"]["ended with a sentence"] == 2


def test_a_server_answers_hostile_uploads_and_stays_what_it_was(weights_dir: Path) -> None:
    count = 3 * len(KINDS)
    assert count // 3 >= len(REQUEST_KINDS)
    report = uploads.upload(0, count, "--weights", str(weights_dir))
    assert report.is_good, report.broken
    assert len(report.outcomes) == len(KINDS) + len(REQUEST_KINDS) + 2


def test_a_server_under_mixed_load_answers_what_is_good(weights_dir: Path) -> None:
    report = mixed_load.mix(0, 0.05, "--weights", str(weights_dir))
    assert report.is_good, report.broken
    assert report.outcomes[requests.GOOD]["200"] > 0


def test_a_server_that_stops_finishes_what_is_in_and_refuses_the_rest(weights_dir: Path) -> None:
    report = server_stops.stop_servers(0, 1, "--weights", str(weights_dir))
    assert report.is_good, report.broken
    assert report.outcomes[server_stops.IN]["200"] > 0


def test_weights_that_are_not_as_they_should_be_are_refused() -> None:
    report = weights.try_weights(0, 17)
    assert report.is_good, report.broken
    assert len(report.outcomes) == 18


def test_hostile_pictures_are_read_or_refused() -> None:
    report = read_hostile(0, 5 * len(KINDS))
    assert report.outcomes["hostile pictures read"].total() == 5 * len(KINDS)


def test_a_report_that_tried_nothing_is_not_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Report().is_good
    Report().tell()
    assert "nothing was tried" in capsys.readouterr().out


def test_a_report_tells_what_was_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add("a thing", "went well")
    report.add("a thing", "went wrong", "it fell")
    report.tell()
    assert "BROKEN  a thing: it fell" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        campaign.finish(report, tmp_path / "report.json")
    assert stop.value.code == 1
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert told["rows"] == [
        {
            "what was tried": "a thing",
            "times": 2,
            "what happened": "went well: 1; went wrong: 1",
            "promises broken": 1,
        }
    ]
