"""What a pack says about itself: pack.json, and a table of the images of each folder.

    pack.json                 what there is; written last
    pack.unfinished           there while a pack is being written
    train/photos/000000.tar   shards: tar files of images as they were, in webdataset's layout
    train/photos/table.npz    names, places and checksums of the images in all of them

Needs no torch.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from facesketch.data.storage import Storage
from facesketch.errors import DataError
from facesketch.images import Uint8Array

INDEX_NAME = "pack.json"
UNFINISHED_NAME = "pack.unfinished"
TABLE_NAME = "table.npz"


class Shard(BaseModel):
    """One tar file.

    Attributes:
        num_images: Images in it.
        num_bytes: Size of the file.
        stamp: Hash of names, sizes and times of the pictures that it was written from.
    """

    model_config = ConfigDict(frozen=True)

    num_images: int
    num_bytes: int
    stamp: str


class PackedFolder(BaseModel):
    """The images of one folder.

    Attributes:
        fingerprint: Hash of the names; that of the folder it was packed from.
        table_checksum: CRC-32 of its table.
        shards: Its tar files, in order.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    table_checksum: int
    shards: list[Shard]

    @property
    def num_images(self) -> int:
        """Images in all shards."""
        return sum(shard.num_images for shard in self.shards)


class PackIndex(BaseModel):
    """What stands in pack.json."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    folders: dict[str, PackedFolder]


@dataclass(frozen=True)
class Table:
    """Where each image is, in order; each image lies in the shard that the counts say.

    Attributes:
        text: Names relative to the folder, end to end, uint8, shape (M,).
        ends: Where each name ends in it, shape (N,).
        offsets: First byte of each image in its shard, shape (N,).
        sizes: Bytes of each image, shape (N,).
        checksums: CRC-32 of each image, shape (N,).
    """

    text: Uint8Array
    ends: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def joined(cls, tables: Sequence[Table]) -> Table:
        """Put tables one after the other."""
        lengths = [len(table.text) for table in tables]
        starts = np.cumsum([0, *lengths[:-1]])
        ends = [table.ends + start for table, start in zip(tables, starts, strict=True)]
        return cls(
            np.concatenate([table.text for table in tables]),
            np.concatenate(ends),
            np.concatenate([table.offsets for table in tables]),
            np.concatenate([table.sizes for table in tables]),
            np.concatenate([table.checksums for table in tables]),
        )

    def part(self, start: int, stop: int) -> Table:
        """Take images `start` to `stop` out."""
        first = int(self.ends[start - 1]) if start else 0
        rows = slice(start, stop)
        ends = self.ends[rows] - first
        text = self.text[first : first + int(ends[-1])]
        return Table(text, ends, self.offsets[rows], self.sizes[rows], self.checksums[rows])

    def to_bytes(self) -> bytes:
        """Write it as an npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Table:
        """Read what `to_bytes` has written.

        Raises:
            ValueError: If it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return cls(**arrays)
        except (TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from error


def shard_name(folder: str, number: int) -> str:
    """Name a shard of a folder."""
    return f"{folder}/{number:06d}.tar"


def read_index(storage: Storage) -> PackIndex:
    """Read pack.json.

    Raises:
        DataError: If there is none, a pack was not finished, or it cannot be understood.
    """
    content = storage.read(INDEX_NAME)
    try:
        if content is not None:
            return PackIndex.model_validate_json(content)
    except ValidationError as error:
        if storage.read(UNFINISHED_NAME) is None:
            raise DataError(
                f"{storage.label(INDEX_NAME)} is broken, or of another version of facesketch; "
                "give another address, or delete the pack and write it again."
            ) from error
    if storage.read(UNFINISHED_NAME) is None:
        raise DataError(
            f"{storage.address} holds no {INDEX_NAME}; give the address of what `facesketch data "
            "pack` has written."
        )
    raise DataError(
        f"{storage.address} was not packed to the end; run the same `facesketch data pack` again, "
        "it goes on where it stopped."
    )


def read_table(storage: Storage, folder: str, entry: PackedFolder) -> Table:
    """Read the table of a folder.

    Raises:
        DataError: If it is missing or broken.
    """
    name = f"{folder}/{TABLE_NAME}"
    content = storage.read(name, entry.table_checksum)
    if content is None:
        raise storage.missing(name)
    try:
        table = Table.from_bytes(content)
    except ValueError as error:
        raise DataError(f"{storage.label(name)} is broken ({error}).") from error
    if len(table) != entry.num_images:
        raise DataError(f"{storage.label(name)} has other images than {INDEX_NAME} says.")
    return table
