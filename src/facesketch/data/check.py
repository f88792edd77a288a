"""Looks for what would spoil a training: broken files, strays, copies, folders that are missing."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facesketch.config import max_broken
from facesketch.data.inspection import Finding, Listing, inspect_all, list_files
from facesketch.data.layout import misnamed_split, overlap, where_instead
from facesketch.data.pack_index import INDEX_NAME
from facesketch.data.pairs import PairReport, Sizes, find_pairs
from facesketch.data.swapped import tell_swapped
from facesketch.errors import DataError
from facesketch.images import Domain
from facesketch.unread import suffix_of, tell_unread

SPLITS = ("train", "val", "test")
FOLDER_NAMES: dict[Domain, str] = {"photo": "photos", "sketch": "sketches"}

SMALL_PX = 64
"""Images with a shorter side below this are counted as small."""


@dataclass(frozen=True)
class Folder:
    """A folder to look at, with the name it goes by in the report."""

    split: str
    domain: Domain
    label: str
    path: Path


@dataclass(frozen=True)
class BrokenImage:
    """A file named like an image that does not decode; the reason reads on from the path."""

    path: str
    reason: str


@dataclass(frozen=True)
class ShorterSide:
    """Shorter sides of a folder's images, upright, in pixels."""

    min_px: int
    median_px: int
    max_px: int


@dataclass(frozen=True)
class FolderReport:
    """What was found in one folder.

    Attributes:
        split: "train", "val" or "test".
        domain: "photo" or "sketch".
        label: Short name of the folder.
        path: The folder.
        num_images: Files named like an image.
        num_usable: Those of them that decode.
        shorter_side: Sizes of the usable ones; None if there are none.
        modes: Number of usable images by Pillow mode, as stored in the file.
        small: Usable images with a shorter side below `SMALL_PX`.
        broken: Images that do not decode.
        not_images: Files with another suffix, which training ignores.
    """

    split: str
    domain: Domain
    label: str
    path: str
    num_images: int
    num_usable: int
    shorter_side: ShorterSide | None
    modes: dict[str, int]
    small: list[str]
    broken: list[BrokenImage]
    not_images: list[str]


@dataclass(frozen=True)
class Duplicates:
    """Groups of files with the same pixels; a group may be in more than one list."""

    across_splits: list[list[str]]
    across_domains: list[list[str]]
    within_folder: list[list[str]]


@dataclass(frozen=True)
class DataReport:
    """What is known of a data set once every file was read.

    Attributes:
        folders: One report for each folder that exists.
        pairs: One report for each split that has both folders.
        duplicates: Groups of files with the same pixels.
        errors: Why training would fail; empty if it would start and run.
        warnings: What is worth a look.
    """

    folders: list[FolderReport]
    pairs: list[PairReport]
    duplicates: Duplicates
    errors: list[str]
    warnings: list[str]

    @property
    def ok(self) -> bool:
        """Whether training would start and run."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types, with `ok` first."""
        return {"ok": self.ok, **asdict(self)}


def check_root(root: Path) -> DataReport:
    """Check a data set in the Kaggle layout, `{train,val,test}/{photos,sketches}`.

    Args:
        root: Folder that holds `train`; `val` and `test` may be missing.

    Raises:
        DataError: If the folder is a pack, or a worker process dies.
    """
    if (root / INDEX_NAME).is_file():
        raise DataError(
            f"{root} is a pack; check the folder that it was packed from. Training itself names "
            "the shards of a pack that are missing or damaged."
        )
    folders, errors, warned = [], [], []
    for split in SPLITS:
        wanted = [
            Folder(split, domain, f"{split}/{name}", root / split / name)
            for domain, name in FOLDER_NAMES.items()
        ]
        missing = [folder for folder in wanted if not folder.path.is_dir()]
        folders += [folder for folder in wanted if folder.path.is_dir()]
        if split == "train":
            errors += [f"{folder.path} is missing." for folder in missing]
        elif len(missing) == 1:
            warned.append(f"{missing[0].path} is missing, so {split} cannot be used.")
    if errors and (hint := where_instead(root)):
        errors.append(hint)
    if hint := misnamed_split(root):
        warned.append(hint)
    return _check(folders, errors, warned)


def check_folders(photos: Path, sketches: Path) -> DataReport:
    """Check two folders of training images, unpaired, of any names and types.

    Args:
        photos: Folder of the photo domain.
        sketches: Folder of the sketch domain.

    Raises:
        DataError: If a worker process dies.
    """
    wanted = [
        Folder("train", "photo", "photos", photos),
        Folder("train", "sketch", "sketches", sketches),
    ]
    folders = [folder for folder in wanted if folder.path.is_dir()]
    errors = [f"{folder.path} is missing." for folder in wanted if folder not in folders]
    if told := overlap({"photos": photos, "sketches": sketches}):
        errors.append(told)
    return _check(folders, errors, [])


def _check(folders: list[Folder], errors: list[str], warned: list[str]) -> DataReport:
    """Read every file of the folders and put the findings together."""
    listings = [list_files(folder.path) for folder in folders]
    paths = [path for pictures, _ in listings for path in pictures]
    copies = _Copies()
    sizes: Sizes = {}
    with contextlib.closing(inspect_all(paths)) as findings:
        reports = [
            _fold(folder, listing, findings, copies, sizes)
            for folder, listing in zip(folders, listings, strict=True)
        ]
    pictures = {
        (folder.split, folder.domain): (str(folder.path), listing[0])
        for folder, listing in zip(folders, listings, strict=True)
    }
    pairs = [
        find_pairs(split, pictures[split, "photo"], pictures[split, "sketch"], sizes)
        for split in SPLITS
        if {(split, "photo"), (split, "sketch")} <= pictures.keys()
    ]
    duplicates = _sort_out(copies, folders, listings)
    for report, listing in zip(reports, listings, strict=True):
        _judge(report, errors, warned)
        if told := tell_swapped(report.path, report.domain, listing[0]):
            warned.append(told)
    warned += _remarks(pairs, duplicates)
    return DataReport(reports, pairs, duplicates, errors, warned)


class _Copies:
    """Finds equal pictures by digest; pictures are numbered in the order in which they come."""

    def __init__(self) -> None:
        self._num_seen = 0
        self._first: dict[bytes, int] = {}
        self._groups: dict[bytes, list[int]] = {}

    def add(self, digest: bytes) -> None:
        """Take in one picture; an empty digest stands for one that cannot be read."""
        if digest:
            first = self._first.setdefault(digest, self._num_seen)
            if first != self._num_seen:
                self._groups.setdefault(digest, [first]).append(self._num_seen)
        self._num_seen += 1

    def groups(self) -> Iterable[list[int]]:
        """Return the numbers of pictures that exist more than once."""
        return self._groups.values()


def _sort_out(copies: _Copies, folders: list[Folder], listings: list[Listing]) -> Duplicates:
    """Tell apart what the copies may spoil."""
    starts = list(itertools.accumulate((len(pictures) for pictures, _ in listings), initial=0))
    duplicates = Duplicates([], [], [])
    for group in copies.groups():
        owners = [bisect.bisect_right(starts, number) - 1 for number in group]
        paths = [
            listings[owner][0][number - starts[owner]]
            for owner, number in zip(owners, group, strict=True)
        ]
        if len({folders[owner].split for owner in owners}) > 1:
            duplicates.across_splits.append(paths)
        if len({folders[owner].domain for owner in owners}) > 1:
            duplicates.across_domains.append(paths)
        if len(set(owners)) < len(group):
            duplicates.within_folder.append(paths)
    return duplicates


def _fold(
    folder: Folder, listing: Listing, findings: Iterator[Finding], copies: _Copies, into: Sizes
) -> FolderReport:
    """Sum up one folder, taking as many findings as it has images."""
    pictures, others = listing
    modes: Counter[str] = Counter()
    sides: Counter[int] = Counter()
    broken: list[BrokenImage] = []
    small: list[str] = []
    for path in pictures:
        finding = next(findings)
        copies.add(finding.digest)
        if finding.reason is not None:
            broken.append(BrokenImage(path, finding.reason))
            continue
        modes[finding.mode] += 1
        into[path] = finding.size
        sides[min(finding.size)] += 1
        if min(finding.size) < SMALL_PX:
            small.append(path)
    return FolderReport(
        split=folder.split,
        domain=folder.domain,
        label=folder.label,
        path=str(folder.path),
        num_images=len(pictures),
        num_usable=sides.total(),
        shorter_side=_shorter_side(sides),
        modes=dict(modes.most_common()),
        small=small,
        broken=broken,
        not_images=others,
    )


def _shorter_side(sides: Counter[int]) -> ShorterSide | None:
    """Turn counts by size into smallest, (lower) median and largest."""
    if not sides:
        return None
    middle = (sides.total() + 1) // 2
    for median in sorted(sides):
        middle -= sides[median]
        if middle <= 0:
            break
    return ShorterSide(min(sides), median, max(sides))


def _judge(report: FolderReport, errors: list[str], warned: list[str]) -> None:
    """Say what one folder means for training."""
    num_broken = len(report.broken)
    if not report.num_usable:
        told = f"none of {num_broken:,} images can be read" if num_broken else "holds no images"
        target = errors if report.split == "train" else warned
        target.append(f"{report.path}: {told}.")
    elif num_broken:
        share = num_broken / report.num_images
        told = f"{report.path}: {num_broken:,} of {report.num_images:,} images are broken"
        limit = max_broken(report.num_images)
        if report.split == "train" and num_broken > limit:
            errors.append(f"{told} ({share:.1%}, the limit is {limit:,}); replace or delete them.")
        else:
            warned.append(f"{told}; they will be skipped.")
    if report.not_images:
        unread = tell_unread(Counter(map(suffix_of, report.not_images)))
        warned.append(
            f"{report.path}: {_count(len(report.not_images), 'file')} not named like an image"
            f"{f' that can be read: {unread}' if unread else ''}; training passes them over."
        )
    if report.small:
        warned.append(
            f"{report.path}: {_count(len(report.small), 'image')} with a shorter side below "
            f"{SMALL_PX} px; enlarged, they are blurred."
        )


def _remarks(pairs: list[PairReport], duplicates: Duplicates) -> list[str]:
    """Say what the folders mean together."""
    remarks = []
    for pair in pairs:
        alone = len(pair.photos_without_sketch) + len(pair.sketches_without_photo)
        # Without a single pair the two folders were never meant to match.
        if pair.num_pairs and alone:
            remarks.append(
                f"{pair.split}: {_count(alone, 'image')} without a partner of the same name; "
                "training is unpaired and does not mind."
            )
        if number := len(pair.other_shapes):
            photo, sketch = pair.other_shapes[0]
            remarks.append(
                f"{pair.split}: {_count(number, 'pair')} of two shapes (for instance {photo} and "
                f"{sketch}); training refuses them with lambda_paired, and does not mind without."
            )
    if number := len(duplicates.across_splits):
        remarks.append(
            f"{_count(number, 'picture')} in more than one split; results on pictures seen in "
            "training look better than they are."
        )
    if number := len(duplicates.across_domains):
        remarks.append(f"{_count(number, 'picture')} both as a photo and as a sketch.")
    if number := len(duplicates.within_folder):
        remarks.append(f"{_count(number, 'picture')} more than once in the same folder.")
    return remarks


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
