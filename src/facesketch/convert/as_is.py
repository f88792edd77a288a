"""Pictures as they are, in batches.

While one batch is in the network, threads decode the next one and write the last one, so that
memory holds a few batches at working size and one full picture a thread; of very large pictures one
in all processes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from facesketch import images
from facesketch.convert.plan import Targets
from facesketch.convert.task import (
    Task,
    decide_direction,
    make_tasks,
    picture_too_large,
    result_too_large,
    turn_of,
    write_result,
)
from facesketch.errors import ImageError
from facesketch.framing import AS_IT_IS_DRAFT
from facesketch.images import Float32Array
from facesketch.parallel import in_chunks, num_cores, shared_lock
from facesketch.translator import BATCH_SIZE, Prepared, Translator, result_size

MAX_WORKERS = 4  # each may hold a full picture

T = TypeVar("T")


def convert_jobs(
    jobs: Mapping[Path, Targets], translator: Translator, *, size: int | None = None
) -> Generator[Task]:
    """Convert pictures; one that fails does not stop the others.

    Args:
        jobs: The pictures and where their results go, from `plan_jobs`.
        translator: The generators.
        size: Shorter side of the results in pixels; None keeps the size of each input.

    Yields:
        Each picture's task, in order, when its result is written or it has failed.

    Raises:
        WeightsError: If a generator is missing or fails.
    """
    pool = ThreadPoolExecutor(min(MAX_WORKERS, num_cores()))

    def load(batch: Sequence[Task]) -> list[Future[Prepared | None]]:
        return [pool.submit(_load, task, translator, size) for task in batch]

    def save(batch: Sequence[Task], loading: list[Future[Prepared | None]]) -> list[Future[None]]:
        prepared = [future.result() for future in loading]
        loaded = [(task, item) for task, item in zip(batch, prepared, strict=True) if item]
        translated = translator.run_prepared([item for _, item in loaded])
        return [
            pool.submit(_save, task, item, planes, translator)
            for (task, item), planes in zip(loaded, translated, strict=True)
        ]

    try:
        loading = ((batch, load(batch)) for batch in in_chunks(make_tasks(jobs), BATCH_SIZE))
        saving = ((batch, save(batch, futures)) for batch, futures in _one_ahead(loading))
        for batch, futures in _one_ahead(saving):
            for future in futures:
                future.result()
            yield from batch
    finally:
        pool.shutdown(cancel_futures=True)


def _one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield each item when the one after it has been made, so that its work is under way."""
    previous: list[T] = []
    for item in items:
        yield from previous
        previous = [item]
    yield from previous


def _load(task: Task, translator: Translator, size: int | None) -> Prepared | None:
    """Decode a picture, decide what it becomes, bring it to working size; None if it is broken."""
    try:
        stored_size = images.stored_size(task.picture)
        result_size(stored_size, size)  # refuse before decoding
        with turn_of(stored_size, shared_lock()):
            image, own_size = images.open_with_size(task.picture, draft_size=AS_IT_IS_DRAFT)
            direction = decide_direction(task, image)
            prepared = translator.prepare(image, direction, size=result_size(own_size, size))
    except ImageError as error:
        task.error = error
        return None
    except MemoryError:
        task.error = picture_too_large(task)
        return None
    task.direction = direction
    return prepared


def _save(task: Task, prepared: Prepared, planes: Float32Array, translator: Translator) -> None:
    """Bring a result to its size and write it."""
    with turn_of(prepared.result_size, shared_lock()):
        try:
            image = translator.finish(prepared, planes)
        except MemoryError:
            task.error = result_too_large(task)
            return
        write_result(task, image, task.targets[prepared.direction])
