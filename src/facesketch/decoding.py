"""How far a picture's file may keep its decoder busy, counted in what the decoder reads of it."""

from __future__ import annotations

import io

from PIL.JpegImagePlugin import JpegImageFile

from facesketch.errors import ImageError

MAX_SCANS = 100
"""Scans that a JPEG may have; cameras and programs write about ten. Each takes as long as all
pixels take, in a few bytes; libtiff has the same limit."""

MAX_HEAD_PIECES = 5_000
"""Pieces in which a decoder may have to read a head: three or four for each part of it. The largest
heads, of phones that keep a second picture there, have some hundred parts."""

BYTES_PER_PIECE = 16
"""Fewer, in the mean over a file, no pixels come in."""


MAX_TEXT_CHARACTERS = 4_000_000
"""Text that may stand in a PNG, four bytes each in memory; it is read whole, and not used."""


class Upload(io.BytesIO):
    """Encoded bytes that have to be readable in few pieces.

    A head of a million empty parts takes minutes to read and fills the memory; some of Pillow's
    decoders copy all that was before with each part.
    """

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name = name
        self._left = MAX_HEAD_PIECES

    def head_is_read(self) -> None:
        """Let pixels be read from here on, in as many pieces as they may come in."""
        self._left = MAX_HEAD_PIECES + self.getbuffer().nbytes // BYTES_PER_PIECE

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            ImageError: If it was read in too many pieces.
        """
        self._left -= 1
        if self._left < 0:
            raise ImageError(
                f"{self._name} is in more pieces than cameras and programs write; save it anew "
                "from a program that opens it."
            )
        return super().read(size)


def limit_texts() -> None:
    """Let no PNG that this process reads hold more than `MAX_TEXT_CHARACTERS`."""
    from PIL import PngImagePlugin  # noqa: PLC0415  # programs that convert need not pay for it

    PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_CHARACTERS


def limit_scans(image: JpegImageFile, name: str) -> None:
    """Let a JPEG be decoded no further than `MAX_SCANS`.

    Args:
        image: An opened picture; decoding raises ImageError beyond the limit.
        name: What people know it by.
    """
    file, num_scans, last = image.fp, 0, b""  # no method of the picture: it would hold itself
    assert file is not None  # noqa: S101  # it was just opened

    def read_on(read_bytes: int) -> bytes:
        nonlocal num_scans, last
        data = file.read(read_bytes)
        num_scans += (last + data).count(b"\xff\xda")  # never among coded pixels
        last = data[-1:]
        if num_scans > MAX_SCANS:
            raise ImageError(
                f"{name} has more than {MAX_SCANS} scans, as no camera writes them; "
                "save it anew from a program that opens it."
            )
        return data

    image.load_read = read_on  # type: ignore[method-assign]
