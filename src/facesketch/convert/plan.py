"""Which pictures to convert and where their results go; decodes nothing."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from facesketch import images
from facesketch.errors import DataError, UsageError
from facesketch.images import OUTPUT_FORMATS
from facesketch.listing import walk
from facesketch.weights_info import DIRECTIONS, Direction

NAME_ENDINGS: dict[Direction, str] = {"photo2sketch": "_sketch.png", "sketch2photo": "_photo.png"}
"""What a result beside its input is called: portrait.jpg becomes portrait_sketch.png."""

STREAM = Path("-")
"""Standard input among the inputs, standard output as the output."""

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


def numbered(target: Path, number: int) -> Path:
    """Name the portrait of another face than the largest: a_sketch.png, a_sketch_face2.png."""
    return target.with_name(f"{target.stem}_face{number}{target.suffix}")


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
    return [source for source in found if makers.get(_key(_of_largest(source)), set()) - {source}]


def _of_largest(path: Path) -> Path:
    """Name the result that `numbered` made a name from, or return any other as it is."""
    return path.with_stem(re.sub(r"_face\d+$", "", path.stem))


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
