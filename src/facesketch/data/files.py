"""The list of a domain's images, a few dozen bytes a file, shared between processes."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import torch

from facesketch.data.names import Names, list_names

Source: TypeAlias = Path | IO[bytes]
"""What `images.open_image` can read."""

Warn: TypeAlias = Callable[[str], object]

_log = logging.getLogger(__name__)


class ImageList(ABC):
    """All pictures of a domain, in an order that depends on their relative names alone.

    Names lie end to end in one shared-memory tensor: workers see the same memory, and nothing in
    it is a Python object whose reference count could copy a page.

    Attributes:
        root: Where they are.
        fingerprint: A hash of all relative names.
    """

    def __init__(self, root: Path | str, names: Names) -> None:
        self.root = root
        self.fingerprint = names.fingerprint
        small = names.spans.astype(np.int32) if len(names.text) < 2**31 else names.spans
        self._spans = torch.from_numpy(small)
        self._spans.share_memory_()  # type: ignore[no-untyped-call]
        self._names = torch.from_numpy(names.text)
        self._names.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self._spans)

    def name(self, index: int) -> str:
        """Return the name of one image relative to `root`, with / on every system."""
        start, stop = self._spans[index].tolist()
        return os.fsdecode(self._names[start:stop].numpy().tobytes())

    def label(self, index: int) -> str:
        """Name one image for people."""
        return f"{self.root}/{self.name(index)}"

    @abstractmethod
    def fetch(self, numbers: Sequence[int], warn: Warn = _log.warning) -> list[Source]:
        """Return what images can be read from, all together where that saves waiting.

        Args:
            numbers: Which images.
            warn: Takes a sentence for each difficulty that was overcome.

        Raises:
            DataError: If the place that holds them cannot be read.
        """


class ImageFolder(ImageList):
    """All pictures below a folder."""

    root: Path

    def __init__(self, root: Path) -> None:
        super().__init__(root, list_names(root))

    def path(self, index: int) -> Path:
        """Return the path of one image."""
        return self.root / self.name(index)

    def label(self, index: int) -> str:
        """Name one image for people."""
        return str(self.path(index))

    def fetch(self, numbers: Sequence[int], warn: Warn = _log.warning) -> list[Source]:  # noqa: ARG002
        """Return the paths of images."""
        return [self.path(number) for number in numbers]
