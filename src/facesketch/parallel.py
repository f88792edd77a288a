"""Work over all cores in processes that end with their parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from facesketch.errors import DataError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

MAX_WORKERS = 61 if os.name == "nt" else sys.maxsize  # Windows waits for no more processes
AHEAD = 3  # calls that wait for each process: it never does

T = TypeVar("T")
R = TypeVar("R")

_stop = ctypes.c_bool(False)  # a worker's is in memory that it shares with its parent
_lock: AbstractContextManager[object] = threading.Lock()  # a worker shares its with the others


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
    chunks = in_chunks(items, chunksize)
    for results in stream_processes(partial(_map_list, function), chunks, num_workers=workers):
        yield from results


def stream_processes(
    function: Callable[[T], R], items: Iterable[T], *, num_workers: int, pinned: bool = False
) -> Generator[R]:
    """Apply a function to items as they come, results in order, in memory that does not grow.

    When the generator is closed, `is_stopping` becomes true in the processes; what they are at is
    waited for.

    Args:
        function: Can be pickled.
        items: Can be pickled; read only a few ahead of the results.
        num_workers: Processes.
        pinned: Give each process cores of its own, where the system can.

    Raises:
        DataError: If a process was killed from outside.
    """
    # Not forked: the progress bar has a thread, and a fork would copy its locks as they are.
    context = multiprocessing.get_context("spawn")
    # No Event: it has a lock, and whoever is killed while holding that would stop all others.
    stop = context.RawValue(ctypes.c_bool, False)
    core_sets: SimpleQueue[list[int]] = context.SimpleQueue()
    for cores in _share_cores(num_workers, pinned=pinned):
        core_sets.put(cores)
    shared = (stop, context.Lock(), core_sets)
    pool = ProcessPoolExecutor(num_workers, context, initializer=_start_worker, initargs=shared)
    try:
        yield from map_ahead(pool, function, items, AHEAD * num_workers)
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process was stopped from outside, perhaps for lack of memory; close other "
            "programs and run the same command again."
        ) from error
    finally:
        stop.value = True
        pool.shutdown(wait=True, cancel_futures=True)


def map_ahead(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], num_ahead: int
) -> Iterator[R]:
    """Do as `Executor.map` does, but read no more than some items ahead of the results."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of so many items; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def is_stopping() -> bool:
    """Say, in a worker of `stream_processes`, whether its results are not wanted any more."""
    return _stop.value


def shared_lock() -> AbstractContextManager[object]:
    """Return the lock that this process shares with the other workers of `stream_processes`."""
    return _lock


def _map_list(function: Callable[[T], R], items: list[T]) -> list[R]:
    return [function(item) for item in items]


def _share_cores(num_workers: int, *, pinned: bool) -> list[list[int]]:
    """Deal out the cores of this process; an empty list pins nothing.

    Every num_workers-th core: the second threads of cores mostly come after all first ones, so a
    worker gets both of one core rather than half of two.
    """
    if not pinned or not hasattr(os, "sched_getaffinity"):
        return [[]] * num_workers
    cores = sorted(os.sched_getaffinity(0))
    if num_workers > len(cores):
        return [[]] * num_workers
    return [cores[number::num_workers] for number in range(num_workers)]


def _start_worker(
    stop: ctypes.c_bool, lock: AbstractContextManager[object], core_sets: SimpleQueue[list[int]]
) -> None:
    """Leave the keyboard to the parent, keep to the own cores, and do not outlive the parent."""
    global _stop, _lock  # a worker belongs to one pool
    _stop, _lock = stop, lock
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if cores := core_sets.get():
        with suppress(OSError):  # a container may forbid it
            os.sched_setaffinity(0, cores)


def _exit_with_parent() -> None:
    """End this worker when its parent was killed: the pool itself would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
