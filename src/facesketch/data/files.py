"""The list of a domain's images, a few dozen bytes a file, shared between processes."""

from __future__ import annotations

import hashlib
import os
from array import array
from pathlib import Path

import numpy as np
import torch

from facesketch.errors import DataError
from facesketch.listing import walk


class ImageFolder:
    """All pictures below a folder, in an order that depends on their relative names alone.

    Names lie end to end in one shared-memory tensor: workers see the same memory, and nothing in
    it is a Python object whose reference count could copy a page. The order is that of the names'
    hashes, so that no list of names has to be sorted either.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root} is not a folder; give one that holds images.")
        self.root = root
        names, ends, hashes = bytearray(), array("Q"), array("Q")
        for name, is_image in walk(root):
            if is_image:
                encoded = os.fsencode(name)
                names += encoded
                ends.append(len(names))
                digest = hashlib.blake2b(encoded, digest_size=8).digest()
                hashes.append(int.from_bytes(digest, "big"))
        if not ends:
            raise DataError(f"{root} holds no images; check it with `facesketch data check`.")
        keys = np.frombuffer(hashes, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        self.fingerprint = hashlib.blake2b(keys[order].tobytes(), digest_size=16).hexdigest()
        stops = np.frombuffer(ends, dtype=np.uint64).astype(np.int64)
        spans = np.stack([np.concatenate([[0], stops[:-1]]), stops], axis=1)[order]  # (N, 2)
        small = spans.astype(np.int32) if len(names) < 2**31 else spans
        self._spans = torch.from_numpy(small)
        self._spans.share_memory_()  # type: ignore[no-untyped-call]
        self._names = torch.frombuffer(names, dtype=torch.uint8)
        self._names.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self._spans)

    def path(self, index: int) -> Path:
        """Return the path of one image."""
        start, stop = self._spans[index].tolist()
        return self.root / os.fsdecode(self._names[start:stop].numpy().tobytes())
