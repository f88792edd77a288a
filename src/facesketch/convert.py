"""Many pictures: plan what to convert, convert it in batches, go on after failures.

Planning decodes nothing. While one batch is in the network, threads decode the next one and write
the last one, so that memory holds a few batches at working size and one full picture a thread; of
very large pictures one in all.
"""

from __future__ import annotations

import glob
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from facesketch import images
from facesketch.domain import DomainClassifier, DomainGuess
from facesketch.errors import DataError, ImageError, UsageError
from facesketch.images import OUTPUT_FORMATS, Float32Array
from facesketch.listing import walk
from facesketch.translator import BATCH_SIZE, Prepared, Translator, result_size
from facesketch.weights_info import DIRECTIONS, Direction
from facesketch.writing import write_whole

NAME_ENDINGS: dict[Direction, str] = {"photo2sketch": "_sketch.png", "sketch2photo": "_photo.png"}
"""What a result beside its input is called: portrait.jpg becomes portrait_sketch.png."""

STREAM = Path("-")
"""Standard input among the inputs, standard output as the output."""

DRAFT_SIZE = 1024  # shorter side that is decoded of a large JPEG: the network sees less
MAX_WORKERS = 4  # each may hold a full picture
LARGE_PIXELS = 32_000_000  # larger pictures are decoded and written one at a time

T = TypeVar("T")
Targets: TypeAlias = dict[Direction, Path]
"""Where a result goes, for each direction: two until the picture has been looked at."""


@dataclass(slots=True)
class Plan:
    """What a request comes to.

    Attributes:
        jobs: Pictures to convert and where their results go; sorted within each folder.
        done: Pictures whose result is there already, with that result.
        left_out: Pictures found in folders or by patterns that are results of an earlier run on
            the other inputs; a file that was named is never left out.
    """

    jobs: dict[Path, Targets] = field(default_factory=dict)
    done: dict[Path, Path] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class Task:
    """One picture on its way, and what became of it.

    Attributes:
        source: The picture.
        targets: Where its result may go.
        picture: Its path again, or what came from standard input.
        direction: Which way it is translated, once that is known.
        guess: What it was taken for, where nobody had said.
        result: Where the result stands, once it is written.
        error: Why it failed.
    """

    source: Path
    targets: Targets
    picture: Path | bytes
    direction: Direction | None = None
    guess: DomainGuess | None = None
    result: Path | None = None
    error: Exception | None = None


def plan_jobs(
    inputs: Sequence[str],
    *,
    direction: Direction | None = None,
    output: Path | None = None,
    overwrite: bool = False,
) -> Plan:
    """Find the pictures and say where their results go.

    A result is called after its picture without the ending: a.jpg becomes a_sketch.png, or a.png
    in another folder. Where a picture of the same name but for the ending lies beside it, both
    results keep their full names, a.jpg_sketch.png and a.png_sketch.png, whichever was asked for.

    Args:
        inputs: Files, folders (all pictures below them), glob patterns, or "-" alone for
            standard input.
        direction: Which way to translate all of them; None decides for each picture.
        output: A file for a single picture; otherwise a folder, which keeps the sub-folders of
            the inputs; "-" for standard output. None puts results beside their inputs, and that
            of standard input on standard output.
        overwrite: Convert also what has a result already.

    Returns:
        The plan.

    Raises:
        UsageError: If nothing is found, or results would get the name of one another or of an
            input.
        DataError: If a folder cannot be listed.
    """
    pictures, named = _pictures(inputs)
    if output is None and STREAM in pictures:
        output = STREAM
    one_file = output is not None and _names_one_file(output)
    if one_file and len(pictures) > 1:
        raise UsageError(f"{len(pictures)} pictures do not fit into {output}; give -o a folder.")
    directions = DIRECTIONS if direction is None else (direction,)
    jobs: dict[Path, Targets] = {}
    plan = Plan()
    if output is not None and one_file:
        jobs = {source: dict.fromkeys(directions, output) for source in pictures}
    else:
        plan.left_out = _earlier_results(pictures, named, output)
        for source in plan.left_out:
            del pictures[source]
        jobs = _name_results(pictures, directions, output)
    _check_names(jobs)
    for source, targets in jobs.items():
        present = [target for target in targets.values() if target != STREAM and target.exists()]
        if present and not overwrite:
            plan.done[source] = present[0]
        else:
            plan.jobs[source] = targets
    if overwrite:
        _check_inputs_survive(jobs)
    return plan


def convert_jobs(
    jobs: dict[Path, Targets], translator: Translator, *, size: int | None = None
) -> Iterator[Task]:
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
    tasks = [
        Task(source, targets, sys.stdin.buffer.read() if source == STREAM else source)
        for source, targets in jobs.items()
    ]
    batches = [tasks[start : start + BATCH_SIZE] for start in range(0, len(tasks), BATCH_SIZE)]
    is_undecided = any(len(task.targets) > 1 for task in tasks)
    classifier = DomainClassifier() if is_undecided else None
    pool = ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1))
    large = threading.Lock()

    def load(batch: Sequence[Task]) -> list[Future[Prepared | None]]:
        return [pool.submit(_load, task, translator, classifier, size, large) for task in batch]

    def save(batch: Sequence[Task], loading: list[Future[Prepared | None]]) -> list[Future[None]]:
        prepared = [future.result() for future in loading]
        loaded = [(task, item) for task, item in zip(batch, prepared, strict=True) if item]
        translated = translator.run_prepared([item for _, item in loaded])
        return [
            pool.submit(_save, task, item, planes, translator, large)
            for (task, item), planes in zip(loaded, translated, strict=True)
        ]

    try:
        loading = ((batch, load(batch)) for batch in batches)
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


def _pictures(inputs: Sequence[str]) -> tuple[dict[Path, Path], set[Path]]:
    """List the pictures, each once, with its path below the folder that was named.

    Returns:
        That path by picture, and the pictures that an input named itself.
    """
    if str(STREAM) in inputs:
        if len(inputs) > 1:
            raise UsageError("- (standard input) stands alone; convert the files apart from it.")
        return {STREAM: Path("stdin")}, {STREAM}
    found: dict[str, tuple[Path, Path]] = {}
    named: set[Path] = set()
    for text in inputs:
        for source, relative in _expand(text):
            first, _ = found.setdefault(_key(source), (source, relative))
            if source == Path(text):
                named.add(first)
    if not found:
        raise UsageError(f"There are no pictures in {', '.join(inputs)}; name files or folders.")
    return dict(found.values()), named


def _expand(text: str) -> Iterator[tuple[Path, Path]]:
    """Yield the pictures that one input names: a file, all below a folder, a pattern's matches."""
    path = Path(text)
    if path.is_dir():
        for relative in sorted(Path(name) for name, is_image in walk(path) if is_image):
            yield path / relative, relative
    elif path.exists():
        yield path, Path(path.name)
    else:
        # Path.glob takes no absolute patterns.
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207
        if not matches:
            raise UsageError(f"{text} does not exist; check the name.")
        for match in filter(images.is_image_name, matches):
            yield Path(match), Path(Path(match).name)


def _names_one_file(output: Path) -> bool:
    """Say whether -o names a file for one picture; else it is a folder."""
    if output == STREAM:
        return True
    if output.is_dir():
        return False
    suffix = output.suffix.lower()
    if suffix in images.IMAGE_SUFFIXES and suffix not in OUTPUT_FORMATS:
        raise UsageError(f"{output} cannot be written; use .png, .jpg or .webp.")
    if suffix not in OUTPUT_FORMATS and output.exists():
        raise UsageError(
            f"{output} is not a folder; give -o a folder or a .png, .jpg or .webp file."
        )
    for parent in output.parents:
        if parent.is_file():
            raise UsageError(f"{parent} is a file, so nothing can be written into it; change -o.")
    return suffix in OUTPUT_FORMATS


def _name_results(
    pictures: dict[Path, Path], directions: Sequence[Direction], output: Path | None
) -> dict[Path, Targets]:
    """Say where results go, by full names where a picture has a namesake beside it.

    The folder on the disk decides, not the request: else `convert a.jpg`, then `convert a.png`
    would take the first result for the second.
    """
    beside: dict[Path, dict[str, set[str]]] = {}  # names of pictures by stem, by folder
    jobs: dict[Path, Targets] = {}
    for source, relative in pictures.items():
        if source.parent not in beside:
            stems = beside[source.parent] = defaultdict(set)
            for name in _picture_names(source.parent):
                stems[os.path.normcase(Path(name).stem)].add(name)
        results = [_result(source, relative, way, output, full=False) for way in directions]
        own = {source.name, *(path.name for path in results if path.parent == source.parent)}
        is_alone = not beside[source.parent][os.path.normcase(source.stem)] - own
        if not is_alone:
            results = [_result(source, relative, way, output, full=True) for way in directions]
        jobs[source] = dict(zip(directions, results, strict=True))
    return jobs


def _picture_names(folder: Path) -> Iterator[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208  # strings: there may be millions
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error}); make it readable.") from error
    return filter(images.is_image_name, names)


def _result(
    source: Path, relative: Path, direction: Direction, output: Path | None, *, full: bool
) -> Path:
    """Name the result beside a picture, or in an output folder."""
    stem = source.name if full else source.stem
    if output is None:
        return source.with_name(stem + NAME_ENDINGS[direction])
    return output / relative.with_name(f"{stem}.png")


def _key(path: Path) -> str:
    """Name a file in one way only, without asking the disk."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links


def _earlier_results(
    pictures: dict[Path, Path], named: set[Path], output: Path | None
) -> list[Path]:
    """List the pictures found that have the name of another's result, in either direction."""
    makers: dict[str, set[Path]] = defaultdict(set)
    for source, relative in pictures.items():
        for way in DIRECTIONS:
            for full in (False, True):
                makers[_key(_result(source, relative, way, output, full=full))].add(source)
    found = (source for source in pictures if source not in named)
    return [source for source in found if makers.get(_key(source), set()) - {source}]


def _check_names(jobs: dict[Path, Targets]) -> None:
    """Refuse a plan in which a result would replace its own input or another result."""
    makers: dict[str, Path] = {}
    for source, targets in jobs.items():
        for target in targets.values():
            if target != STREAM and _key(target) == _key(source):
                raise UsageError(f"{source} would be replaced by its result; choose another -o.")
            other = makers.setdefault(_key(target), source)
            if other != source:
                raise UsageError(
                    f"{other} and {source} would both become {target}; convert them apart."
                )


def _check_inputs_survive(jobs: dict[Path, Targets]) -> None:
    """Refuse to write over a picture that is an input itself."""
    inputs = {_key(source) for source in jobs}
    for source, targets in jobs.items():
        for target in targets.values():
            if _key(target) in inputs:
                raise UsageError(
                    f"{target} is among the inputs and would be replaced by the result of "
                    f"{source}; convert them apart, or leave --overwrite out."
                )


def _turn(size: tuple[int, int], large: threading.Lock) -> AbstractContextManager[object]:
    """Let very large pictures wait for one another; the others need not."""
    return large if size[0] * size[1] > LARGE_PIXELS else nullcontext()


def _load(
    task: Task,
    translator: Translator,
    classifier: DomainClassifier | None,
    size: int | None,
    large: threading.Lock,
) -> Prepared | None:
    """Decode a picture, decide what it becomes, bring it to working size; None if it is broken."""
    try:
        own_size = images.upright_size(task.picture)
        wanted = result_size(own_size, size)
        with _turn(own_size, large):
            image = images.open_image(task.picture, draft_size=DRAFT_SIZE)
            direction = next(iter(task.targets))
            if classifier and len(task.targets) > 1:
                task.guess = classifier.guess(image)
                direction = "photo2sketch" if task.guess.domain == "photo" else "sketch2photo"
            prepared = translator.prepare(image, direction, size=wanted)
    except ImageError as error:
        task.error = error
        return None
    except MemoryError:
        task.error = ImageError(f"{task.source} does not fit into memory; make it smaller first.")
        return None
    task.direction = direction
    return prepared


def _save(
    task: Task,
    prepared: Prepared,
    planes: Float32Array,
    translator: Translator,
    large: threading.Lock,
) -> None:
    """Bring a result to its size and write it, whole or not at all."""
    target = task.targets[prepared.direction]
    try:
        with _turn(prepared.result_size, large):
            data = images.encode(
                translator.finish(prepared, planes),
                "PNG" if target == STREAM else OUTPUT_FORMATS[target.suffix.lower()],
                generated_photo=prepared.direction == "sketch2photo",
            )
            if target == STREAM:
                sys.stdout.buffer.write(data)
            else:
                with write_whole(target) as partial:
                    partial.write_bytes(data)
        task.result = target
    except OSError as error:
        reason = error.strerror or error
        task.error = ImageError(f"{target} cannot be written ({reason}); give another place by -o.")
    except ImageError as error:
        task.error = ImageError(f"{target} cannot be written: {error}")
    except MemoryError:
        task.error = ImageError(
            f"the result of {task.source} does not fit into memory; give a smaller --size."
        )
