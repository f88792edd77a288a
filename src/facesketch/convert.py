"""Many pictures: plan what to convert, convert it in batches, go on after failures.

Planning decodes nothing. While one batch is in the network, threads decode the next one and write
the last one, so that memory holds a few batches at working size and one full picture a thread.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from facesketch import images
from facesketch.domain import DomainClassifier, DomainGuess
from facesketch.errors import ImageError, UsageError
from facesketch.images import Float32Array
from facesketch.translator import BATCH_SIZE, Prepared, Translator, result_size
from facesketch.weights_info import DIRECTIONS, Direction

NAME_ENDINGS: dict[Direction, str] = {"photo2sketch": "_sketch.png", "sketch2photo": "_photo.png"}
"""What a result beside its input is called: portrait.jpg becomes portrait_sketch.png."""

FORMATS: dict[str, Literal["PNG", "JPEG", "WEBP"]] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
}
"""File name endings of results, and what is written into such files."""

STREAM = Path("-")
"""Standard input among the inputs, standard output as the output."""

DRAFT_SIZE = 1024  # shorter side that is decoded of a large JPEG: the network sees less
MAX_WORKERS = 4  # each may hold a full picture

T = TypeVar("T")
Targets: TypeAlias = dict[Direction, Path]
"""Where a result goes, for each direction: two until the picture has been looked at."""


@dataclass(slots=True)
class Plan:
    """What a request comes to.

    Attributes:
        jobs: Pictures to convert and where their results go; sorted within each folder.
        done: Pictures whose result is there already, with that result.
        left_out: Inputs that are results of an earlier run on the other inputs.
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
    """
    pictures = _pictures(inputs)
    if output is None and STREAM in pictures:
        output = STREAM
    one_file = output is not None and _names_one_file(output)
    if one_file and len(pictures) > 1:
        raise UsageError(f"{len(pictures)} pictures do not fit into {output}; give -o a folder.")
    directions = DIRECTIONS if direction is None else (direction,)
    jobs: dict[Path, Targets] = {}
    for source, relative in pictures.items():
        if output is None:
            jobs[source] = {way: _beside(source, way) for way in directions}
        else:
            target = output if one_file else (output / relative).with_suffix(".png")
            jobs[source] = dict.fromkeys(directions, target)
    plan = Plan(left_out=_earlier_results(jobs, beside=output is None))
    for source in plan.left_out:
        del jobs[source]
    _check_names(jobs)
    for source, targets in jobs.items():
        present = [target for target in targets.values() if target != STREAM and target.exists()]
        if present and not overwrite:
            plan.done[source] = present[0]
        else:
            plan.jobs[source] = targets
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

    def load(batch: Sequence[Task]) -> list[Future[Prepared | None]]:
        return [pool.submit(_load, task, translator, classifier, size) for task in batch]

    def save(batch: Sequence[Task], loading: list[Future[Prepared | None]]) -> list[Future[None]]:
        prepared = [future.result() for future in loading]
        loaded = [(task, item) for task, item in zip(batch, prepared, strict=True) if item]
        translated = translator.run_prepared([item for _, item in loaded])
        return [
            pool.submit(_save, task, item, planes, translator)
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


def _pictures(inputs: Sequence[str]) -> dict[Path, Path]:
    """List the pictures, each once, with its path below the folder that was named."""
    if str(STREAM) in inputs:
        if len(inputs) > 1:
            raise UsageError("- (standard input) stands alone; convert the files apart from it.")
        return {STREAM: Path("stdin")}
    found: dict[str, tuple[Path, Path]] = {}
    for text in inputs:
        for source, relative in _expand(text):
            found.setdefault(_key(source), (source, relative))
    if not found:
        raise UsageError(f"There are no pictures in {', '.join(inputs)}; name files or folders.")
    return dict(found.values())


def _expand(text: str) -> Iterator[tuple[Path, Path]]:
    """Yield the pictures that one input names: a file, all below a folder, a pattern's matches."""
    path = Path(text)
    if path.is_dir():
        for parent, subfolders, names in os.walk(path):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in filter(images.is_image_name, sorted(names)):
                yield Path(parent, name), Path(parent, name).relative_to(path)
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
    if suffix in images.IMAGE_SUFFIXES and suffix not in FORMATS:
        raise UsageError(f"{output} cannot be written; use .png, .jpg or .webp.")
    if suffix not in FORMATS and output.exists():
        raise UsageError(
            f"{output} is not a folder; give -o a folder or a .png, .jpg or .webp file."
        )
    return suffix in FORMATS


def _beside(source: Path, direction: Direction) -> Path:
    return source.with_name(source.stem + NAME_ENDINGS[direction])


def _key(path: Path) -> str:
    """Name a file in one way only, without asking the disk."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links


def _earlier_results(jobs: dict[Path, Targets], *, beside: bool) -> list[Path]:
    """List the inputs that have the name of another input's result, in either direction."""
    makers: dict[str, set[Path]] = {}
    for source, targets in jobs.items():
        results = (_beside(source, way) for way in DIRECTIONS) if beside else targets.values()
        for target in results:
            makers.setdefault(_key(target), set()).add(source)
    return [source for source in jobs if makers.get(_key(source), set()) - {source}]


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


def _load(
    task: Task, translator: Translator, classifier: DomainClassifier | None, size: int | None
) -> Prepared | None:
    """Decode a picture, decide what it becomes, bring it to working size; None if it is broken."""
    try:
        wanted = result_size(images.upright_size(task.picture), size)
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


def _save(task: Task, prepared: Prepared, planes: Float32Array, translator: Translator) -> None:
    """Bring a result to its size and write it, whole or not at all."""
    target = task.targets[prepared.direction]
    image = translator.finish(prepared, planes)
    try:
        data = images.encode(
            image,
            "PNG" if target == STREAM else FORMATS[target.suffix.lower()],
            generated_photo=prepared.direction == "sketch2photo",
        )
        if target == STREAM:
            sys.stdout.buffer.write(data)
        else:
            _write(target, data)
        task.result = target
    except (OSError, ValueError) as error:  # the disk; a side longer than the format allows
        task.error = ImageError(f"{target} cannot be written: {error}.")


def _write(path: Path, data: bytes) -> None:
    """Write a file in one go: readers see the old one, none, or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
