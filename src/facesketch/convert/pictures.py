"""Which pictures a request means, kept as names by folder: a million take about 120 MB."""

from __future__ import annotations

import glob
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from facesketch import images
from facesketch.errors import DataError, UsageError
from facesketch.listing import walk

V = TypeVar("V")


@dataclass(slots=True)
class Folder:
    """Pictures of one folder.

    Attributes:
        path: The folder.
        relative: Its path below the folder that was named.
        names: Names of the pictures, as `sort_names` sorts them.
        named: Those that an input named itself.
        namesakes: Those whose results keep the full name, for another picture beside them has the
            same but for the ending.
    """

    path: Path
    relative: Path
    names: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    namesakes: set[str] = field(default_factory=set)


class ByFolder(Mapping[Path, V]):
    """Something about each of many pictures, worked out when it is asked for."""

    def __init__(self) -> None:
        self._parts: dict[Path, list[tuple[list[str], Callable[[str], V]]]] = defaultdict(list)

    def add(self, folder: Path, names: list[str], value_of: Callable[[str], V]) -> None:
        """Add pictures of a folder, sorted by `sort_names`, and what tells the value by a name."""
        if names:
            self._parts[folder].append((names, value_of))

    def __len__(self) -> int:
        return sum(len(names) for parts in self._parts.values() for names, _ in parts)

    def __iter__(self) -> Iterator[Path]:
        for folder, parts in self._parts.items():
            for names, _ in parts:
                yield from (folder / name for name in names)

    def __getitem__(self, picture: Path) -> V:
        for names, value_of in self._parts.get(picture.parent, ()):
            if is_among(names, picture.name):
                return value_of(picture.name)
        raise KeyError(picture)


def find_pictures(inputs: Sequence[str]) -> list[Folder]:
    """List the pictures that inputs name, each once, under the first input that has it.

    Args:
        inputs: Files, folders (all pictures below them) and glob patterns.

    Raises:
        UsageError: If an input does not exist, or there is no picture at all.
        DataError: If a folder cannot be listed.
    """
    found: dict[str, dict[Path, Folder]] = defaultdict(dict)  # by the folder, and by `relative`
    seen: dict[str, set[str]] = defaultdict(set)  # names, by the folder
    for text in inputs:
        for path, relative, names in _expand(text):
            key = path_key(path)
            folder = found[key].setdefault(relative, Folder(path, relative))
            new = [name for name in names if os.path.normcase(name) not in seen[key]]
            seen[key].update(map(os.path.normcase, new))
            folder.names += new
            if path / names[0] == Path(text):
                for other in found[key].values():
                    other.named.add(names[0])
    folders = [folder for same in found.values() for folder in same.values() if folder.names]
    if not folders:
        raise UsageError(f"There are no pictures in {', '.join(inputs)}; name files or folders.")
    for folder in folders:
        folder.names = sort_names(folder.names)
    return folders


def _expand(text: str) -> Iterator[tuple[Path, Path, list[str]]]:
    """Yield folders, their `relative` and the names in them that one input means."""
    path = Path(text)
    if path.is_dir():
        below: dict[str, list[str]] = defaultdict(list)
        for name, is_image in walk(path):
            if is_image:
                inside, name_alone = os.path.split(name)
                below[inside].append(name_alone)
        yield from ((path / inside, Path(inside), names) for inside, names in below.items())
    elif path.exists():
        yield path.parent, Path(), [path.name]
    else:
        # Path.glob takes no absolute patterns.
        matches = glob.glob(text, recursive=True)  # noqa: PTH207
        if not matches:
            raise UsageError(f"{text} does not exist; check the name.")
        in_folders: dict[Path, list[str]] = defaultdict(list)
        for match in map(Path, filter(images.is_image_name, matches)):
            in_folders[match.parent].append(match.name)
        yield from ((folder, Path(), names) for folder, names in sorted(in_folders.items()))


def names_on_disk(folder: Path) -> list[str]:
    """List the names in a folder that are pictures', whatever the request; see `sort_names`.

    Raises:
        DataError: If the folder cannot be listed.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # strings: there may be millions
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error}); make it readable.") from error
    return sort_names(list(filter(images.is_image_name, names)))


def sort_names(names: list[str]) -> list[str]:
    """Sort names for `is_among` and `with_stem`."""
    return sorted(names, key=os.path.normcase)


def is_among(names: list[str], name: str) -> bool:
    """Say whether sorted names hold a name."""
    return next(_from(names, name), None) == os.path.normcase(name)


def with_stem(names: list[str], stem: str) -> Iterator[str]:
    """Yield those of sorted names that are a stem and an ending, as `os.path.normcase` has them."""
    wanted = os.path.normcase(stem)
    for name in _from(names, f"{stem}."):
        if not name.startswith(f"{wanted}."):
            return
        if stem_of(name) == wanted:
            yield name


def _from(names: list[str], start: str) -> Iterator[str]:
    """Yield sorted names from a place in the order on, as `os.path.normcase` has them."""
    first = bisect_left(names, os.path.normcase(start), key=os.path.normcase)
    return (os.path.normcase(names[index]) for index in range(first, len(names)))


def stem_of(name: str) -> str:
    """Return a name without its ending."""
    return os.path.splitext(name)[0]  # noqa: PTH122  # strings: there may be millions


def path_key(path: Path) -> str:
    """Name a file in one way only, without asking the disk."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links
