"""What is converted, and where results go: decided before any work, so a bad plan costs nothing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias, cast

from facesketch import images
from facesketch.convert.pictures import (
    ByFolder,
    Folder,
    find_pictures,
    is_among,
    names_on_disk,
    path_key,
    stem_of,
    with_stem,
)
from facesketch.errors import UsageError
from facesketch.images import OUTPUT_FORMATS
from facesketch.weights_info import DIRECTIONS, Direction
from facesketch.writing import UNFINISHED, remove_leftover

NAME_ENDINGS: dict[Direction, str] = {"photo2sketch": "_sketch", "sketch2photo": "_photo"}
"""What a result beside its input is called: portrait.jpg becomes portrait_sketch.png."""

_ANY_ENDING = re.compile(f"({'|'.join(NAME_ENDINGS.values())})$")
_FACE_NUMBER = re.compile(r"_face(?:[2-9]|[1-9]\d+)(?=\.[^.]+$)")

STREAM = Path("-")
"""Standard input among the inputs, standard output as the output."""

MAX_LEFT_OUT = 20
"""So many pictures that are left out are named."""

Targets: TypeAlias = dict[Direction, Path]
"""Where a result goes, for each direction: two until the picture has been looked at."""

FoldersByTarget: TypeAlias = dict[str, list[Folder]]
"""Folders of pictures whose results share a folder, by that folder's key."""


@dataclass(slots=True)
class Plan:
    """What a request comes to.

    Attributes:
        jobs: Pictures to convert and where their results go; sorted within each folder.
        done: Pictures whose result is there already, with that result.
        num_left_out: Pictures found in folders or by patterns that are results of an earlier run
            on the other inputs; a file that was named is never left out.
        left_out: The first `MAX_LEFT_OUT` of them.
        leftovers: What a killed process had begun to write of these results.
    """

    jobs: Mapping[Path, Targets] = field(default_factory=dict)
    done: Mapping[Path, Path] = field(default_factory=dict)
    num_left_out: int = 0
    left_out: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)

    def remove_leftovers(self) -> None:
        """Delete them."""
        for path in self.leftovers:
            remove_leftover(path)


@dataclass(frozen=True, slots=True)
class _Naming:
    """How results are named in one request."""

    directions: Sequence[Direction]
    output: Path | None
    suffix: str
    all_portraits: bool

    def folder(self, pictures: Folder) -> Path:
        """Name the folder that the results go into."""
        return pictures.path if self.output is None else self.output / pictures.relative

    def replaces(self, pictures: Folder) -> bool:
        """Say whether a result may have its picture's own name: -o is where the pictures are."""
        return self.output is not None and path_key(self.folder(pictures)) == path_key(
            pictures.path
        )

    def stem(self, name: str, pictures: Folder) -> str:
        """Name a result without its ending."""
        return name if name in pictures.namesakes else stem_of(name)

    def result(self, stem: str, direction: Direction) -> str:
        """Name a result."""
        return f"{stem}{NAME_ENDINGS[direction] if self.output is None else ''}{self.suffix}"

    def path(self, name: str, pictures: Folder, direction: Direction) -> Path:
        """Say where a picture's result goes."""
        return self.folder(pictures) / self.result(self.stem(name, pictures), direction)

    def targets(self, name: str, pictures: Folder) -> Targets:
        """Say where a picture's result goes, for each direction."""
        return {way: self.path(name, pictures, way) for way in self.directions}


def plan_jobs(
    inputs: Sequence[str],
    *,
    direction: Direction | None = None,
    output: Path | None = None,
    suffix: str | None = None,
    overwrite: bool = False,
    all_portraits: bool = False,
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
        suffix: Ending of results, of `OUTPUT_FORMATS`; None takes .png, or that of the one file.
        overwrite: Convert also what has a result already.
        all_portraits: Pictures may have further results, which `numbered` names.

    Returns:
        The plan. It takes little more memory than the names of the pictures.

    Raises:
        UsageError: If nothing is found, or results would get the name of one another or of an
            input.
        DataError: If a folder cannot be listed.
    """
    from_stream = str(STREAM) in inputs
    if from_stream and len(inputs) > 1:
        raise UsageError("- (standard input) stands alone; convert the files apart from it.")
    folders = [Folder(Path(), Path(), [str(STREAM)])] if from_stream else find_pictures(inputs)
    if output is None and from_stream:
        output = STREAM
    directions = DIRECTIONS if direction is None else (direction,)
    naming = _Naming(directions, output, suffix or ".png", all_portraits)
    if output is None or not _names_one_file(output):
        if from_stream and output is not None:
            one = output / f"stdin{naming.suffix}"
            return _plan_one_file(folders, naming, one, overwrite=overwrite)
        return _plan_folders(folders, naming, overwrite=overwrite)
    if suffix is not None:
        raise UsageError(f"--format is for folders; {output} is one picture, so leave it away.")
    return _plan_one_file(folders, naming, output, overwrite=overwrite)


def is_stream(jobs: Mapping[Path, Targets]) -> bool:
    """Say whether the result goes to standard output; then there is one picture only."""
    return len(jobs) == 1 and STREAM in next(iter(jobs.values())).values()


def numbered(target: Path, number: int) -> Path:
    """Name the portrait of another face than the largest: a_sketch.png, a_sketch_face2.png."""
    return target.with_name(f"{target.stem}_face{number}{target.suffix}")


def _unnumbered(name: str) -> str:
    """Undo `numbered`; a name without a number stays."""
    return _FACE_NUMBER.sub("", name)


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


def _plan_one_file(
    folders: list[Folder], naming: _Naming, output: Path, *, overwrite: bool
) -> Plan:
    num_pictures = sum(len(folder.names) for folder in folders)
    if num_pictures > 1:
        raise UsageError(f"{num_pictures} pictures do not fit into {output}; give -o a folder.")
    (source,) = (folder.path / folder.names[0] for folder in folders)
    if output == STREAM:
        return Plan(jobs={source: dict.fromkeys(naming.directions, output)})
    own = [source, source.with_name(_unnumbered(source.name))] if naming.all_portraits else [source]
    if path_key(output) in map(path_key, own):
        raise UsageError(f"{source} would be replaced by its result; choose another -o.")
    if output.exists() and not overwrite:
        return Plan(done={source: output})
    return Plan(jobs={source: dict.fromkeys(naming.directions, output)})


def _plan_folders(folders: list[Folder], naming: _Naming, *, overwrite: bool) -> Plan:
    by_target: FoldersByTarget = defaultdict(list)
    for folder in folders:
        by_target[path_key(naming.folder(folder))].append(folder)
    plan = Plan()
    _leave_out_results(plan, folders, naming, by_target)
    for folder in folders:
        folder.namesakes = _namesakes(folder, naming)
    for same in by_target.values():
        _check_names(same, naming)
    if overwrite:
        _check_inputs_survive(folders, naming, by_target)
    jobs, done = ByFolder[Targets](), ByFolder[Path]()
    for folder in folders:
        present = _listing(naming.folder(folder))
        plan.leftovers += _leftovers(folder, naming, present)
        made: dict[Direction | None, list[str]] = defaultdict(list)  # None: to be made
        for name in folder.names:
            stem = naming.stem(name, folder)
            results = ((way, naming.result(stem, way)) for way in naming.directions)
            ways = (way for way, result in results if os.path.normcase(result) in present)
            made[None if overwrite else next(ways, None)].append(name)
        jobs.add(folder.path, made.pop(None, []), partial(naming.targets, pictures=folder))
        for way, names in made.items():
            path = partial(naming.path, pictures=folder, direction=cast("Direction", way))
            done.add(folder.path, names, path)
    plan.jobs, plan.done = jobs, done
    return plan


def _listing(folder: Path) -> set[str]:
    try:
        return set(map(os.path.normcase, os.listdir(folder)))  # noqa: PTH208  # maybe millions
    except OSError:  # not there yet, or in the way, which each picture will tell
        return set()


def _leave_out_results(
    plan: Plan, folders: list[Folder], naming: _Naming, by_target: FoldersByTarget
) -> None:
    """Take from the pictures found what has the name of another's result, in either direction."""
    left_out: list[set[str]] = []
    for folder in folders:
        makers = by_target.get(path_key(folder.path), [])
        found = (name for name in folder.names if makers and name not in folder.named)
        left_out.append({name for name in found if _is_result(name, naming, makers, folder)})
    for folder, names in zip(folders, left_out, strict=True):
        plan.num_left_out += len(names)
        room = MAX_LEFT_OUT - len(plan.left_out)
        plan.left_out += [folder.path / name for name in folder.names if name in names][:room]
        folder.names = [name for name in folder.names if name not in names]


def _is_result(
    name: str, naming: _Naming, makers: list[Folder], found_in: Folder | None = None
) -> bool:
    """Say whether a name is what the result of one of these pictures is, or was, called.

    Other formats than today's count too, but not where results go among the pictures: there a.jpg
    may be the picture that a.png was made of. A picture `found_in` a folder did not make itself.
    """
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  # strings: there may be millions
    if ending not in OUTPUT_FORMATS:
        return False
    stem = stem_of(_unnumbered(name))
    if naming.output is None:
        before_ending, num_endings = _ANY_ENDING.subn("", os.path.normcase(stem))
        if not num_endings:
            return False
        stem = before_ending
    for maker in makers:
        if naming.replaces(maker) and ending != naming.suffix:
            continue
        own = os.path.normcase(name) if maker is found_in else None
        found = [stem] if is_among(maker.names, stem) else []
        if any(other != own for other in (*found, *with_stem(maker.names, stem))):
            return True
    return False


def _leftovers(folder: Folder, naming: _Naming, present: set[str]) -> Iterator[Path]:
    """Name the unfinished files of this folder's results."""
    for name in present:
        unfinished = UNFINISHED.fullmatch(name)
        if unfinished and _is_result(unfinished[1], naming, [folder]):
            yield naming.folder(folder) / name


def _namesakes(folder: Folder, naming: _Naming) -> set[str]:
    """Return the pictures that have one of the same name but for the ending beside them.

    The folder on the disk decides, not the request: else `convert a.jpg`, then `convert a.png`
    would take the first result for the second.
    """
    beside = names_on_disk(folder.path)
    replaces = naming.replaces(folder)
    namesakes = set()
    for name in folder.names:
        stem = stem_of(name)
        own = {name, stem + naming.suffix} if replaces else {name}
        if any(other not in map(os.path.normcase, own) for other in with_stem(beside, stem)):
            namesakes.add(name)
    return namesakes


def _check_names(same: list[Folder], naming: _Naming) -> None:
    """Refuse a plan in which a result would replace its own input or another result."""

    def stems() -> Iterator[tuple[str, Folder, str]]:
        for folder in same:
            for name in folder.names:
                yield os.path.normcase(naming.stem(name, folder)), folder, name

    for folder in filter(naming.replaces, same):
        for name in folder.names:
            stem = naming.stem(name, folder)
            if os.path.normcase(stem + naming.suffix) == os.path.normcase(name):
                raise UsageError(
                    f"{folder.path / name} would be replaced by its result; choose another -o."
                )
    made = sorted(stem for stem, _, _ in stems())
    for first, second in pairwise(made):
        if first == second:
            one, other, *_ = (folder.path / name for stem, folder, name in stems() if stem == first)
            target = naming.folder(same[0]) / naming.result(first, naming.directions[0])
            raise UsageError(f"{one} and {other} would both become {target}; convert them apart.")
    if not naming.all_portraits or naming.output is None:  # beside pictures all end in _sketch
        return
    for portrait in made:
        target = naming.folder(same[0]) / naming.result(portrait, naming.directions[0])
        largest = stem_of(_unnumbered(target.name))
        if largest != portrait and is_among(made, largest):
            one, other = (
                folder.path / name for stem, folder, name in stems() if stem in (largest, portrait)
            )
            raise UsageError(
                f"{one} and {other} may both become {target}; convert them into different folders."
            )


def _check_inputs_survive(
    folders: list[Folder], naming: _Naming, by_target: FoldersByTarget
) -> None:
    """Refuse to write over a picture that is an input itself."""
    for inputs in folders:
        portraits = {  # by the result of the largest face
            os.path.normcase(_unnumbered(name)): name
            for name in inputs.names
            if naming.all_portraits and _unnumbered(name) != name
        }
        for folder in by_target.get(path_key(inputs.path), []):
            for name in folder.names:
                for way in naming.directions:
                    target = naming.path(name, folder, way)
                    lost = portraits.get(os.path.normcase(target.name))
                    if lost or is_among(inputs.names, target.name):
                        raise UsageError(
                            f"{target.with_name(lost or target.name)} is among the inputs and "
                            f"would be replaced by the result of {folder.path / name}; convert "
                            "them apart, or leave --overwrite out."
                        )
