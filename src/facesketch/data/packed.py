"""Reads a pack: images by their place in a shard, a request each, those of a step together."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facesketch.addresses import is_remote
from facesketch.data.files import ImageList, Source, Warn
from facesketch.data.names import Names, spans_of
from facesketch.data.pack_index import (
    INDEX_NAME,
    UNFINISHED_NAME,
    PackedFolder,
    PackIndex,
    read_index,
    read_table,
    shard_name,
)
from facesketch.data.storage import REPAIR, Part, Storage
from facesketch.errors import DataError

_log = logging.getLogger(__name__)


def is_pack(address: str) -> bool:
    """Say whether an address is to be read as a pack; a folder of this machine may be none."""
    names = (INDEX_NAME, UNFINISHED_NAME)
    return is_remote(address) or any((Path(address) / name).is_file() for name in names)


class PackedImages(ImageList):
    """All pictures of one folder of a pack, in the order of the folder that was packed."""

    root: str

    def __init__(self, storage: Storage, folder: str, entry: PackedFolder) -> None:
        table = read_table(storage, folder, entry)
        super().__init__(
            storage.label(folder), Names(table.text, spans_of(table.ends), entry.fingerprint)
        )
        self._storage = storage
        self._folder = folder
        # Number of the first image of each shard, and of the last one's successor.
        self._firsts = np.cumsum([0, *(shard.num_images for shard in entry.shards)])
        places = np.stack([table.offsets, table.sizes, table.checksums.astype(np.int64)], axis=1)
        if max(table.offsets.max(), table.sizes.max()) < 2**31:
            places = places.astype(np.uint32).view(np.int32)  # torch shares no uint32 everywhere
        self._places = torch.from_numpy(places)  # (N, 3)
        self._places.share_memory_()  # type: ignore[no-untyped-call]

    def label(self, index: int) -> str:
        """Name one image for people: a path that leads through the shard."""
        return f"{self._storage.label(self._shard_of(index))}/{self.name(index)}"

    def fetch(self, numbers: Sequence[int], warn: Warn = _log.warning) -> list[Source]:
        """Read the files of images, all at the same time where the protocol can.

        Raises:
            DataError: If a shard is missing, is damaged, or cannot be read after several attempts.
        """
        contents = self._storage.read_parts([self._part(number) for number in numbers], warn)
        return [
            _NamedBytes(content, self.label(number))
            for number, content in zip(numbers, contents, strict=True)
        ]

    def _shard_of(self, index: int) -> str:
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return shard_name(self._folder, number)

    def _part(self, index: int) -> Part:
        offset, size, checksum = self._places[index].tolist()
        return Part(self._shard_of(index), offset, offset + size, checksum & 0xFFFFFFFF)


class _NamedBytes(io.BytesIO):
    """The bytes of a file that errors can name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def find_packed(address: str, split: str) -> tuple[PackedImages, PackedImages] | None:
    """Find the photos and sketches of a split in a pack; None if they are not in it.

    Raises:
        DataError: If the pack cannot be read, was not finished, or misses shards.
    """
    storage = Storage(address, command="facesketch train", extra="train")
    index = read_index(storage)
    names = f"{split}/photos", f"{split}/sketches"
    if not all(name in index.folders for name in names):
        return None
    _check_shards(storage, index, names)
    photos, sketches = (PackedImages(storage, name, index.folders[name]) for name in names)
    return photos, sketches


def _check_shards(storage: Storage, index: PackIndex, folders: Sequence[str]) -> None:
    """Miss shards before training begins, where the protocol lists files."""
    try:
        sizes = storage.sizes()
    except DataError:  # a protocol without lists: they will be missed when they are needed
        return
    if INDEX_NAME not in sizes:  # the list of another thing
        return
    for folder in folders:
        for number, shard in enumerate(index.folders[folder].shards):
            name = shard_name(folder, number)
            if name not in sizes:
                raise storage.missing(name)
            if sizes[name] != shard.num_bytes:
                raise DataError(
                    f"{storage.label(name)} has {sizes[name]:,} bytes instead of "
                    f"{shard.num_bytes:,}; {REPAIR}"
                )
