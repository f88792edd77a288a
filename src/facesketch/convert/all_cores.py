"""Many pictures over all cores: processes that each decode, convert and write.

Each has cores of its own and one network that uses just these; within it, threads read and write
while the network runs. One network on all cores would wait for itself between its layers.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from facesketch.convert.as_is import convert_jobs
from facesketch.convert.by_faces import Request, convert_faces
from facesketch.convert.plan import Targets
from facesketch.convert.task import Task
from facesketch.parallel import MAX_WORKERS, in_chunks, is_stopping, num_cores, stream_processes
from facesketch.translator import Translator

CHUNK_SIZE = 32  # pictures that a process is sent at a time: a second or two of work
MIN_PICTURES = 32  # for which it pays to start another process


@dataclass(frozen=True, slots=True)
class Settings:
    """What all pictures of a request have in common; made of what can be pickled.

    Attributes:
        weights: Folder of the generators; None takes the shipped ones.
        style: Style to draw in; None takes the folder's default.
        device: As `Translator` takes it.
        size: Shorter side of the results in pixels, or None.
        faces: What to do with faces; None converts pictures as they are.
    """

    weights: Path | None = None
    style: str | None = None
    device: str = "cpu"
    size: int | None = None
    faces: Request | None = None


def convert_all(
    jobs: Mapping[Path, Targets], settings: Settings, *, num_workers: int | None = None
) -> Generator[Task]:
    """Convert pictures, many of them in several processes; one that fails stops no other.

    Args:
        jobs: The pictures and where their results go, from `plan_jobs`.
        settings: What is done with them.
        num_workers: Processes; None takes one a core of the CPU, fewer for few pictures. Other
            devices have one.

    Yields:
        Each picture's task, in order, when its results are written or it has failed.

    Raises:
        UsageError: If the device or the style is not there.
        WeightsError: If a network is missing or fails.
        DataError: If a process was killed from outside.
    """
    translator = Translator(settings.weights, style=settings.style, device=settings.device)
    if num_workers is None:
        num_workers = min(num_cores(), len(jobs) // MIN_PICTURES) if translator.is_cpu else 1
    num_workers = min(num_workers, MAX_WORKERS, len(jobs))
    if num_workers <= 1:
        yield from _convert_here(jobs, translator, settings)
        return
    threads = max(1, num_cores() // num_workers)
    work = partial(convert_chunk, settings=settings, num_threads=threads)
    chunks = in_chunks(jobs.items(), min(CHUNK_SIZE, -(-len(jobs) // num_workers)))
    with closing(stream_processes(work, chunks, num_workers=num_workers, pinned=True)) as stream:
        for tasks in stream:
            yield from tasks


def _convert_here(
    jobs: Mapping[Path, Targets], translator: Translator, settings: Settings
) -> Generator[Task]:
    if settings.faces is not None:
        return convert_faces(jobs, translator, settings.faces)
    return convert_jobs(jobs, translator, size=settings.size)


def convert_chunk(
    chunk: list[tuple[Path, Targets]], *, settings: Settings, num_threads: int
) -> list[Task]:
    """Convert some pictures in this process, with the network that it has loaded before."""
    tasks = []
    translator = _translator(settings, num_threads)
    with closing(_convert_here(dict(chunk), translator, settings)) as converted:
        for task in converted:
            tasks.append(task)
            if is_stopping():
                break
    return tasks


@cache
def _translator(settings: Settings, num_threads: int) -> Translator:
    return Translator(
        settings.weights, style=settings.style, device=settings.device, num_threads=num_threads
    )
