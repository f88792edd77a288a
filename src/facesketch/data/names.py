"""The names of a domain's images, without Python objects of their own. Needs no torch."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facesketch.errors import DataError
from facesketch.images import Uint8Array
from facesketch.listing import say_once, walk
from facesketch.unread import suffix_of, tell_unread


@dataclass(frozen=True)
class Names:
    """Names of images relative to their folder, with / on every system, in one buffer.

    Attributes:
        text: All names, encoded for file systems, uint8, shape (M,).
        spans: Where each name begins and ends in it, shape (N, 2).
        fingerprint: A hash of all names; whoever has the same ones has them in the same order.
    """

    text: Uint8Array
    spans: npt.NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.encoded(index))

    def encoded(self, index: int) -> bytes:
        """Return one name as it stands in the buffer."""
        start, stop = self.spans[index].tolist()
        return self.text[start:stop].tobytes()


def list_names(root: Path) -> Names:
    """List all pictures below a folder, in the order of their names' hashes.

    The order depends on the names alone, and no list of names has to be sorted for it.

    Raises:
        DataError: If the folder is missing, cannot be listed or holds no images.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give one that holds images.")
    text, ends, hashes = bytearray(), array("Q"), array("Q")
    others: Counter[str] = Counter()
    for name, is_image in walk(root):
        if not is_image:
            others[suffix_of(name)] += 1
        else:
            encoded = os.fsencode(name.replace(os.sep, "/"))
            text += encoded
            ends.append(len(text))
            digest = hashlib.blake2b(encoded, digest_size=8).digest()
            hashes.append(int.from_bytes(digest, "big"))
    unread = tell_unread(others)
    if not ends:
        but = f" that can be read, but {unread}" if unread else ""
        raise DataError(f"{root} holds no images{but}; check it with `facesketch data check`.")
    if unread:
        say_once(f"Left out of {root}, as they cannot be read: {unread}.")
    keys = np.frombuffer(hashes, dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    fingerprint = hashlib.blake2b(keys[order].tobytes(), digest_size=16).hexdigest()
    spans = spans_of(np.frombuffer(ends, dtype=np.uint64).astype(np.int64))[order]
    return Names(np.frombuffer(text, dtype=np.uint8), spans, fingerprint)


def spans_of(ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return begin and end, (N, 2), of what lies end to end."""
    return np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
