"""Work over all cores in processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from facesketch.errors import DataError

MAX_WORKERS = 61  # Windows waits for no more processes than that

T = TypeVar("T")
R = TypeVar("R")


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    num_workers: int | None = None,
    min_items: int = 4,
    chunksize: int = 1,
) -> Generator[R]:
    """Apply a function to every item, results in order.

    Args:
        function: Can be pickled.
        items: Can be pickled.
        num_workers: Processes; None takes one a core.
        min_items: A process is started only for at least so many items; few items are done here.
        chunksize: Items sent to a process at a time.

    Raises:
        DataError: If a process was killed from outside.
    """
    workers = min(num_workers or num_cores(), MAX_WORKERS, -(-len(items) // min_items))
    if workers <= 1:
        yield from map(function, items)
        return
    # Not forked: the progress bar has a thread, and a fork would copy its locks as they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        yield from pool.map(function, items, chunksize=chunksize)
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process was stopped from outside, perhaps for lack of memory; close other "
            "programs and run the same command again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leave the keyboard to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent was killed: the pool itself would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
