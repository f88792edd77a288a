from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

pytest.importorskip("torch")

from torch.utils.data import DataLoader

from facesketch.data.dataset import Loaded, UnpairedImages, find_domains, make_loader
from facesketch.data.workers import Flag, reading
from train_helpers import tiny_config, write_pictures

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


def die_holding_the_lock(*_: object) -> None:
    """Be killed in a worker at the worst moment: while it looks whether it is to end."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and "done_event" not in frame.f_locals:
        frame = frame.f_back
    assert frame is not None
    condition = getattr(frame.f_locals["done_event"], "_cond", None)
    if condition is not None:  # multiprocessing.Event
        condition.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def failure(loader: DataLoader[Loaded]) -> str:
    """Say why a loader fails; with it goes the traceback, and torch ends the workers."""
    try:
        next(iter(loader))
    except RuntimeError as error:
        return str(error)
    raise AssertionError


def hang(*_: object) -> None:
    raise TimeoutError


def test_a_worker_killed_with_a_lock_in_its_hands_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnpairedImages, "__getitem__", die_holding_the_lock)
    config = tiny_config(data=write_pictures(tmp_path), num_workers=1)
    domains = find_domains(config)
    assert domains is not None
    loader = make_loader(domains, config, num_steps=1)
    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(30)
    try:
        assert "DataLoader worker (pid" in failure(loader)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_and_fail(loader: DataLoader[Loaded]) -> None:
    with reading(loader) as batches:
        assert len(multiprocessing.active_children()) == 2
        next(batches)
        hang()


@pytest.mark.parametrize("is_of_the_loader", [False, True])
def test_workers_end_though_an_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_of_the_loader: bool
) -> None:
    if is_of_the_loader:
        monkeypatch.setattr(UnpairedImages, "__getitem__", hang)
    config = tiny_config(data=write_pictures(tmp_path), num_workers=2)
    domains = find_domains(config)
    assert domains is not None
    with pytest.raises(TimeoutError) as error:  # keeps the traceback, as Python does at its end
        read_and_fail(make_loader(domains, config, num_steps=9))
    assert error.traceback
    assert not multiprocessing.active_children()


def raise_flag(flag: Flag) -> None:
    assert not flag.is_set()
    flag.set()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_flag_is_seen_by_other_processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    flag = Flag(context)
    process = context.Process(target=raise_flag, args=(flag,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert flag.is_set()
