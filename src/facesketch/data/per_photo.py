"""One file for each photo of a folder: on all cores, whole or not at all, skipped where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from facesketch.console import progress_bar
from facesketch.errors import DataError, UsageError
from facesketch.listing import walk
from facesketch.parallel import map_processes
from facesketch.writing import remove_leftovers, write_whole

T = TypeVar("T")
R = TypeVar("R")


def list_photos(photos: Path, out: Path) -> list[str]:
    """List the pictures below a folder by their relative names, with / on every system, sorted.

    Args:
        photos: Folder of photos, searched with its sub-folders.
        out: Folder for what is made of them.

    Raises:
        UsageError: If `out` is `photos` or lies inside it.
        DataError: If there are no photos.
    """
    if out.resolve().is_relative_to(photos.resolve()):
        raise UsageError(
            f"OUT ({out}) lies in PHOTOS ({photos}), where results would be taken for photos; "
            "give a folder outside it."
        )
    names = sorted(Path(name).as_posix() for name, is_image in walk(photos) if is_image)
    if not names:
        raise DataError(f"{photos} holds no pictures; give a folder with photos in it.")
    return names


def clear_leftovers(results: Iterable[Path]) -> None:
    """Delete what killed processes left of files that are to be made."""
    for folder in {result.parent for result in results}:
        remove_leftovers(folder)


def run_all(
    job: Callable[[T], R], todo: list[T], *, doing: str, num_done: int, num_workers: int | None
) -> Iterator[R]:
    """Do a job for each item in processes, in order, behind a progress bar.

    Args:
        job: Can be pickled.
        todo: What it is done for.
        doing: What the bar says.
        num_done: Items beside these that were done before.
        num_workers: Processes; None takes one a core.
    """
    with progress_bar() as bar:
        task = bar.add_task(doing, total=num_done + len(todo), completed=num_done)
        for result in map_processes(job, todo, num_workers=num_workers):
            yield result
            bar.advance(task)


def is_done(result: Path) -> bool:
    """Say whether a result is there; an empty file is what a power cut can leave."""
    return result.is_file() and result.stat().st_size > 0


def write_result(result: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all.

    Raises:
        DataError: If it cannot be written.
    """
    try:
        with write_whole(result) as partial_file:
            partial_file.write_bytes(data)
    except OSError as error:
        raise DataError(
            f"{result} cannot be written ({error.strerror}); make room or give another OUT, "
            "then run the same command again."
        ) from error
