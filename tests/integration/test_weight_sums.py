"""Sums of the weights of several runs, as the shipped generators are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facesketch.checkpoint import list_checkpoints, load, load_latest  # noqa: E402
from facesketch.training import train  # noqa: E402
from train_helpers import tiny_config, write_pictures  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread")]

AVERAGE = Path(__file__).parents[2] / "recipes" / "generators" / "average.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sums")
    data = write_pictures(root / "data")
    train(tiny_config(data=str(data), out=root / "run", steps=2, checkpoint_every=1))
    return root / "run"


def average(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(AVERAGE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_runs_and_their_files_are_summed_by_their_shares(run: Path, tmp_path: Path) -> None:
    first = list_checkpoints(run)[0]
    done = average(
        str(tmp_path / "sum"),
        *("--photo2sketch", f"{first}=3", f"{run}=-1"),
        *("--sketch2photo", str(first), str(run)),
        *("--lighter", "0.25"),
        *("--clean-paper", "0.1"),
    )
    assert done.returncode == 0, done.stderr
    summed, a, b = load_latest(tmp_path / "sum"), load(first), load_latest(run)
    settings = b.settings.model_copy(update={"clean_paper": 0.1})
    assert (summed.step, summed.settings) == (b.step, settings)
    shares = {"photo2sketch": (1.5, -0.5), "sketch2photo": (0.5, 0.5)}
    for direction, (of_a, of_b) in shares.items():
        in_a, in_b = a.generator_state(direction), b.generator_state(direction)
        for name, value in summed.generator_state(direction).items():
            expected = of_a * in_a[name] + of_b * in_b[name]
            if (direction, name) == ("photo2sketch", "head.bias"):
                expected = expected + 0.25
            torch.testing.assert_close(value, expected)


def test_what_only_compact_has_is_not_asked_of_others(run: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    train(tiny_config(data=run.parent / "data", out=paper, steps=1, generator="resnet6"))
    words = [str(tmp_path / "sum"), "--photo2sketch", str(paper), "--sketch2photo", str(paper)]
    assert "for the compact generator" in average(*words, "--lighter", "0.1").stderr
    assert average(*words).returncode == 0


def test_a_run_that_is_there_is_not_written_over(run: Path) -> None:
    before = list_checkpoints(run)
    done = average(str(run), "--photo2sketch", str(run), "--sketch2photo", str(run))
    assert done.returncode == 2
    assert "holds a run already; give another folder" in done.stderr
    assert list_checkpoints(run) == before


@pytest.mark.parametrize(
    ("shares", "named"),
    [
        (("=1", "=-1"), "the shares of --photo2sketch sum to zero"),
        (("=half",), "half"),
        (("-that-is-not-there=2",), "-that-is-not-there"),
    ],
)
def test_shares_that_make_no_sum_are_said(
    run: Path, tmp_path: Path, shares: tuple[str, ...], named: str
) -> None:
    parts = [f"{run}{share}" for share in shares]
    done = average(str(tmp_path / "sum"), "--photo2sketch", *parts, "--sketch2photo", str(run))
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_may_hold_what_sets_shares_off(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run=2")
    other = str(tmp_path / "run=2")
    done = average(str(tmp_path / "sum"), "--photo2sketch", other, "--sketch2photo", f"{other}=3")
    assert done.returncode == 0, done.stderr
