"""Writes a pack: the pictures of a data set in shards, with an index; goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesketch.addresses import is_remote
from facesketch.console import progress_bar
from facesketch.data.check import FOLDER_NAMES, SPLITS
from facesketch.data.names import Names, list_names
from facesketch.data.pack_index import (
    INDEX_NAME,
    TABLE_NAME,
    UNFINISHED_NAME,
    PackedFolder,
    PackIndex,
    Shard,
    Table,
    read_index,
    read_table,
    shard_name,
)
from facesketch.data.storage import Storage
from facesketch.errors import DataError, UsageError
from facesketch.listing import holds_images

SHARD_BYTES = 256 * 2**20

_PART = re.compile(r"(?:train|val|test)/(?:photos|sketches)/\d{6}\.(?:tar|done)")


@dataclass(frozen=True)
class PackReport:
    """What `pack_set` did.

    Attributes:
        num_images: Images by folder.
        num_shards: Shards in all.
        num_kept: Shards that were there already.
        num_bytes: Size of all shards.
    """

    num_images: dict[str, int]
    num_shards: int
    num_kept: int
    num_bytes: int


@dataclass(frozen=True)
class _Planned:
    """One shard to be: images `start` to `stop` of a folder.

    Attributes:
        stamp: Hash of their names, sizes and times: other pictures have another one.
    """

    start: int
    stop: int
    stamp: str


@dataclass(frozen=True)
class _Plan:
    """One folder to be packed."""

    name: str
    folder: Path
    names: Names
    shards: list[_Planned]


def pack_set(root: Path, address: str, *, shard_bytes: int = SHARD_BYTES) -> PackReport:
    """Write the pictures of a data set, as they are, into shards that training can read.

    Within a folder they lie in the order that training lists them in, which has nothing to do with
    their names: a shard is a random sample. A shard counts once a note beside it says that it is
    whole, and pack.json is written last; run it again after an interruption and it goes on.

    Args:
        root: Data set with {train,val,test}/{photos,sketches} inside; val and test may be missing,
            and are left out where a folder of theirs holds no images.
        address: A folder, or what fsspec knows: s3://BUCKET/FOLDER. Empty, or of the same pictures.
        shard_bytes: Largest size of a shard, but for a single larger picture.

    Raises:
        UsageError: If the address lies within the data set.
        MissingExtraError: If fsspec is not installed.
        DataError: If train/photos or train/sketches is missing, a picture cannot be read, the
            address holds something else or cannot be listed, or nothing can be written there.
    """
    if not is_remote(address) and Path(address).resolve().is_relative_to(root.resolve()):
        raise UsageError(f"ADDRESS ({address}) lies in ROOT ({root}); give a folder outside it.")
    storage = Storage(address, command="facesketch data pack", extra="data")
    plans = [
        _plan(f"{split}/{name}", root, shard_bytes)
        for split in SPLITS
        if split == "train" or all(holds_images(root / split / n) for n in FOLDER_NAMES.values())
        for name in FOLDER_NAMES.values()
    ]
    stored = storage.sizes()
    index = _look(storage, stored, plans)
    num_kept = 0
    folders: dict[str, PackedFolder] = {}
    with progress_bar() as bar:
        task = bar.add_task("packing", total=sum(len(plan.names) for plan in plans))
        for plan in plans:
            former = index.folders[plan.name] if index else None
            table = _former_table(storage, plan, former)
            done = _known_shards(storage, stored, plan, former, table)
            num_kept += len(done)
            for number, planned in enumerate(plan.shards):
                if number not in done:
                    done[number] = _write_shard(storage, plan, number)
                bar.advance(task, planned.stop - planned.start)
            folders[plan.name] = _write_table(storage, plan, done, former, table)
    if PackIndex(folders=folders) != index:
        with storage.write(INDEX_NAME) as stream:
            stream.write(PackIndex(folders=folders).model_dump_json(indent=1).encode())
    _tidy(storage, plans)
    every = [shard for folder in folders.values() for shard in folder.shards]
    return PackReport(
        {name: folder.num_images for name, folder in folders.items()},
        len(every),
        num_kept,
        sum(shard.num_bytes for shard in every),
    )


def _plan(name: str, root: Path, shard_bytes: int) -> _Plan:
    """Share the pictures of a folder out to shards."""
    folder = root / name
    names = list_names(folder)
    shards: list[_Planned] = []
    start, filled, stamp = 0, 0, hashlib.blake2b(digest_size=16)
    for number in range(len(names)):
        path = folder / names[number]
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        size = tarfile.BLOCKSIZE + _padded(status.st_size)
        if filled + size > shard_bytes and number > start:
            shards.append(_Planned(start, number, stamp.hexdigest()))
            start, filled, stamp = number, 0, hashlib.blake2b(digest_size=16)
        filled += size
        stamp.update(repr((names[number], status.st_size, status.st_mtime_ns)).encode())
    return _Plan(name, folder, names, [*shards, _Planned(start, len(names), stamp.hexdigest())])


def _look(storage: Storage, stored: dict[str, int], plans: list[_Plan]) -> PackIndex | None:
    """Look at what is at the address: nothing, these pictures packed, or packed in part.

    Raises:
        DataError: If it is something else.
    """
    if INDEX_NAME in stored and UNFINISHED_NAME not in stored:
        index = read_index(storage)
        packed = {n: [s.stamp for s in entry.shards] for n, entry in index.folders.items()}
        if packed != {plan.name: [s.stamp for s in plan.shards] for plan in plans}:
            raise DataError(
                f"{storage.address} holds a pack of other pictures, of copies without their times "
                "(cp -p and rsync -t keep them), or in shards of another size; give another "
                "address, or delete it."
            )
        return index
    if stored and UNFINISHED_NAME not in stored:
        raise DataError(
            f"{storage.address} holds other files; give the address of a folder that is empty or "
            "not there."
        )
    _mark_unfinished(storage)
    return None


def _mark_unfinished(storage: Storage) -> None:
    with storage.write(UNFINISHED_NAME) as stream:
        stream.write(b"facesketch data pack is at work, or was interrupted.\n")


def _former_table(storage: Storage, plan: _Plan, former: PackedFolder | None) -> Table | None:
    """Read the table of a folder that was packed before; None if there is none, or it is lost."""
    if former is None:
        return None
    try:
        return read_table(storage, plan.name, former)
    except DataError:
        return None


def _known_shards(
    storage: Storage,
    stored: dict[str, int],
    plan: _Plan,
    former: PackedFolder | None,
    former_table: Table | None,
) -> dict[int, tuple[Shard, Table]]:
    """Find the shards that are there, whole, of these pictures."""
    found = {}
    for number, shard, table in _told(storage, stored, plan, former, former_table):
        is_whole = stored.get(shard_name(plan.name, number)) == shard.num_bytes
        if is_whole and shard.stamp == plan.shards[number].stamp:
            found[number] = shard, table
    return found


def _told(
    storage: Storage,
    stored: dict[str, int],
    plan: _Plan,
    former: PackedFolder | None,
    former_table: Table | None,
) -> Iterator[tuple[int, Shard, Table]]:
    """Yield what the index says of a folder's shards, or notes, where it is lost or none yet."""
    if former is not None and former_table is not None:
        for number, planned in enumerate(plan.shards):
            part = former_table.part(planned.start, planned.stop)
            yield number, former.shards[number], part
        return
    for number in range(len(plan.shards)):
        note = _note_name(plan.name, number)
        line, _, rest = ((storage.read(note) if note in stored else None) or b"").partition(b"\n")
        try:
            yield number, Shard.model_validate_json(line), Table.from_bytes(rest)
        except ValueError:  # none, or half of one
            continue


def _write_shard(storage: Storage, plan: _Plan, number: int) -> tuple[Shard, Table]:
    """Write a shard, then the note that it is whole."""
    planned = plan.shards[number]
    members = range(planned.start, planned.stop)
    places = []
    with (
        storage.write(shard_name(plan.name, number)) as stream,
        tarfile.open(mode="w", fileobj=stream, format=tarfile.GNU_FORMAT) as archive,
    ):
        for member in members:
            content = _content(plan.folder / plan.names[member])
            info = tarfile.TarInfo(plan.names[member])  # no times: the same pictures, the same tar
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            start = archive.offset - _padded(len(content))
            places.append((start, len(content), zlib.crc32(content)))
    offsets, sizes, checksums = np.array(places, dtype=np.int64).T
    texts = [plan.names.encoded(member) for member in members]
    table = Table(
        np.frombuffer(b"".join(texts), dtype=np.uint8),
        np.cumsum([len(text) for text in texts]),
        offsets,
        sizes,
        checksums.astype(np.uint32),
    )
    num_bytes = -(-(archive.offset) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    shard = Shard(num_images=len(table), num_bytes=num_bytes, stamp=planned.stamp)
    with storage.write(_note_name(plan.name, number)) as stream:
        stream.write(shard.model_dump_json().encode() + b"\n" + table.to_bytes())
    return shard, table


def _write_table(
    storage: Storage,
    plan: _Plan,
    done: dict[int, tuple[Shard, Table]],
    former: PackedFolder | None,
    former_table: Table | None,
) -> PackedFolder:
    """Write the table of a folder, unless it is there; return what pack.json says of it."""
    shards, tables = zip(*(done[number] for number in range(len(plan.shards))), strict=True)
    content = Table.joined(tables).to_bytes()
    entry = PackedFolder(
        fingerprint=plan.names.fingerprint, table_checksum=zlib.crc32(content), shards=list(shards)
    )
    if entry == former and former_table is not None:
        return entry  # a training may be reading it
    if former is not None and entry != former:  # by another version of numpy
        _mark_unfinished(storage)
    with storage.write(f"{plan.name}/{TABLE_NAME}") as stream:
        stream.write(content)
    return entry


def _tidy(storage: Storage, plans: list[_Plan]) -> None:
    """Delete what was needed on the way, and shards of an earlier, abandoned attempt."""
    storage.remove(UNFINISHED_NAME)  # first: from here on pack.json counts, not the notes
    wanted = {shard_name(plan.name, n) for plan in plans for n in range(len(plan.shards))}
    for name in storage.sizes():
        if _PART.fullmatch(name) and name not in wanted:
            storage.remove(name)


def _note_name(folder: str, number: int) -> str:
    return f"{folder}/{number:06d}.done"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} cannot be read ({error.strerror}); repair or delete it, then run the same command "
        "again: it goes on."
    )


def _padded(num_bytes: int) -> int:
    """Return what a file of this size takes in a tar file, without its header."""
    return -(-num_bytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
