"""Many pictures whose faces are found first: one after another, the next already being decoded."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from facesketch import images
from facesketch.convert.plan import Targets, is_stream, numbered
from facesketch.convert.task import (
    Task,
    decide_direction,
    make_tasks,
    picture_too_large,
    result_too_large,
    turn_of,
    write_result,
)
from facesketch.errors import ImageError, UsageError
from facesketch.framing import Chosen, Framing, open_and_find, translate_found
from facesketch.parallel import map_ahead, shared_lock
from facesketch.translator import Translator, result_size

MAX_WORKERS = 2  # one decodes and writes while the other is in the network


@dataclass(frozen=True, slots=True)
class Request:
    """What to do with the faces.

    Attributes:
        framing: "auto", "portrait" or "whole".
        faces: "largest" or "all".
        size: Shorter side of the results in pixels, or None.
        overwrite: Replace files that have the names of further portraits.
    """

    framing: Framing
    faces: Chosen = "largest"
    size: int | None = None
    overwrite: bool = False


def convert_faces(
    jobs: Mapping[Path, Targets], translator: Translator, request: Request
) -> Generator[Task]:
    """Convert pictures by their faces; one that fails does not stop the others.

    Where there are several portraits, the largest face's gets the name that was planned, the next
    ones that name with _face2, _face3 and so on. The planned one is written last: where it
    stands, all of them do.

    Args:
        jobs: The pictures and where their results go, from `plan_jobs`.
        translator: The generators.
        request: What to do with the faces.

    Yields:
        Each picture's task, in order, when its results are written or it has failed.

    Raises:
        UsageError: If several portraits would go to standard output.
        WeightsError: If a network is missing or fails.
    """
    if is_stream(jobs) and request.framing == "portrait" and request.faces == "all":
        raise UsageError(
            "Standard output takes one picture, not a portrait of every face; give -o a file."
        )
    pool = ThreadPoolExecutor(MAX_WORKERS)
    convert = partial(_convert, translator=translator, request=request)
    try:
        yield from map_ahead(pool, convert, make_tasks(jobs), MAX_WORKERS)
    finally:
        pool.shutdown(cancel_futures=True)


def _convert(task: Task, translator: Translator, request: Request) -> Task:
    """Take one picture from its file to its results; what goes wrong is noted."""
    is_enlarged = False
    try:
        stored_size = images.stored_size(task.picture)
        wanted = stored_size
        if request.framing != "portrait":
            wanted = result_size(stored_size, request.size)  # refuse before decoding
        is_enlarged = math.prod(wanted) > math.prod(stored_size)
        with turn_of(wanted if is_enlarged else stored_size, shared_lock()):
            _convert_or_raise(task, translator, request)
    except ImageError as error:
        task.error = error
    except MemoryError:
        task.error = result_too_large(task) if is_enlarged else picture_too_large(task)
    return task


def _convert_or_raise(task: Task, translator: Translator, request: Request) -> None:
    found = open_and_find(
        translator,
        lambda draft_size: images.open_with_size(task.picture, draft_size=draft_size),
        partial(decide_direction, task),
        request.framing,
        request.faces,
    )
    task.direction = found.direction
    framed = translate_found(translator, found, size=request.size, max_pixels=None)
    task.framing, task.num_faces, task.note = framed.framing, len(framed.faces), framed.note
    target = task.targets[task.direction]
    first, *others = framed.pictures
    for number, picture in enumerate(others, start=2):
        write_result(task, picture, numbered(target, number), keep=not request.overwrite)
        if task.error:
            return
    write_result(task, first, target)
