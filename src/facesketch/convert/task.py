"""One picture on its way from its file to its results; what goes wrong with it is noted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from facesketch import images
from facesketch.convert.plan import STREAM, Targets
from facesketch.domain import DomainClassifier, DomainGuess
from facesketch.errors import ImageError
from facesketch.framing import Done
from facesketch.images import OUTPUT_FORMATS
from facesketch.weights_info import DIRECTION_FROM, Direction
from facesketch.writing import write_whole

LARGE_PIXELS = 32_000_000  # larger pictures are decoded and written one at a time


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
        others: Further results: portraits of the smaller faces.
        framing: What was done with the faces; "none" converted the picture as it is.
        num_faces: How many faces were found, where they were looked for.
        note: What else there is to say of it: a sentence.
    """

    source: Path
    targets: Targets
    picture: Path | bytes
    direction: Direction | None = None
    guess: DomainGuess | None = None
    result: Path | None = None
    error: Exception | None = None
    others: list[Path] = field(default_factory=list)
    framing: Done = "none"
    num_faces: int | None = None
    note: str | None = None


def make_tasks(jobs: Mapping[Path, Targets]) -> Iterator[Task]:
    """Turn a plan's jobs into tasks, one by one; standard input is read."""
    for source, targets in jobs.items():
        yield Task(source, targets, sys.stdin.buffer.read() if source == STREAM else source)


def turn_of(
    size: tuple[int, int], large: AbstractContextManager[object]
) -> AbstractContextManager[object]:
    """Let very large pictures wait for one another; the others need not."""
    return large if size[0] * size[1] > LARGE_PIXELS else nullcontext()


def decide_direction(task: Task, image: Image.Image) -> Direction:
    """Say which way a picture goes; what it was taken for, if nobody had said, is noted."""
    if len(task.targets) == 1:
        return next(iter(task.targets))
    task.guess = DomainClassifier().guess(image)
    return DIRECTION_FROM[task.guess.domain]


def write_result(task: Task, image: Image.Image, target: Path, *, keep: bool = False) -> None:
    """Write a result, whole or not at all, and note where it stands or why it failed.

    With `keep` no other file is replaced; the very same one is of a run that was killed.
    """
    try:
        data = images.encode(
            image,
            "PNG" if target == STREAM else OUTPUT_FORMATS[target.suffix.lower()],
            generated_photo=task.direction == "sketch2photo",
        )
        if target == STREAM:
            sys.stdout.buffer.write(data)
        elif keep and target.exists():
            if target.read_bytes() != data:
                task.error = ImageError(
                    f"{target} is there and would be replaced by a face of {task.source}; give "
                    "another place by -o, or --overwrite."
                )
                return
        else:
            with write_whole(target) as partial:
                partial.write_bytes(data)
    except OSError as error:
        reason = error.strerror or error
        task.error = ImageError(f"{target} cannot be written ({reason}); give another place by -o.")
    except ImageError as error:
        task.error = ImageError(f"{target} cannot be written: {error}")
    except MemoryError:
        task.error = result_too_large(task)
    else:
        if target in task.targets.values():
            task.result = target
        else:
            task.others.append(target)


def result_too_large(task: Task) -> ImageError:
    """Say that a result takes more memory than there is."""
    return ImageError(
        f"the result of {task.source} does not fit into memory; give a smaller --size."
    )


def picture_too_large(task: Task) -> ImageError:
    """Say that a picture takes more memory than there is."""
    return ImageError(f"{task.source} does not fit into memory; make it smaller first.")
