"""The processes that read images for training, of which any may be killed at any moment."""

from __future__ import annotations

import copy
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader

Item = TypeVar("Item")


class Flag:
    """An Event that nobody waits for, and that takes no lock to be set or read.

    A DataLoader's workers look at an Event between images. One that is killed while it looks (out
    of memory, say) keeps the lock of multiprocessing's Event, and torch sets that Event as it ends
    its workers: it would wait forever, after the error was told.
    """

    def __init__(self, context: BaseContext) -> None:
        """Share it with the processes that `context` starts."""
        self._value = context.RawValue("b", 0)

    def set(self) -> None:
        """Raise the flag."""
        self._value.value = 1

    def is_set(self) -> bool:
        """Say whether it was raised."""
        return bool(self._value.value)


def worker_context() -> BaseContext:
    """Return what a DataLoader is to start its workers by: Python's default, with `Flag`s."""
    context = copy.copy(multiprocessing.get_context())
    context.Event = lambda: Flag(context)  # type: ignore[method-assign, assignment, return-value]
    return context


@contextmanager
def reading(loader: DataLoader[Item]) -> Iterator[Iterator[Item]]:
    """Start a loader's workers at once, give what they read, and end them with the block.

    They heed no signal, and no program ends before them: torch ends them when nobody holds the
    iterator, but who ends by an error holds its traceback, and would hang.
    """
    items: Any = iter(loader)
    try:
        yield items
    finally:
        if loader.num_workers:
            items._shutdown_workers()


def start_worker(_worker: int) -> None:
    """Prepare a worker, in its process."""
    torch.set_num_threads(1)
    # Ctrl-C and a job scheduler's SIGTERM reach the whole process group; the trainer decides when
    # reading ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
