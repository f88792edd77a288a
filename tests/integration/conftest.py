"""Fixtures of the tests that train."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from train_helpers import tiny_config, write_pictures


@pytest.fixture
def work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder; what is written there appears whole or not at all."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("*.partial")), "a temporary file was left behind"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums have another order, so other last bits, on another number of threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "set")


@pytest.fixture(scope="session")
def six_steps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of six steps that nothing disturbed."""
    torch = pytest.importorskip("torch")
    from facesketch.training import train  # noqa: PLC0415  # inference tests have no torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "six"
    outcome = train(tiny_config(data=data, out=run, steps=6, lambda_identity=5.0))
    torch.set_num_threads(before)
    assert (outcome.step, outcome.num_steps, outcome.reason) == (6, 6, "finished")
    yield run
    shutil.rmtree(run)
