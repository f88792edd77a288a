"""Reads single fields of protobuf messages, such as ONNX files, without their schema."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from typing import BinaryIO

IS_NUMBER, HAS_LENGTH = 0, 2
"""Wire types of what is of interest here."""

SIZES = {1: 8, 5: 4}
"""Bytes of the other wire types: numbers of 64 and 32 bits."""

MAX_BYTES = 2**31
"""Longest field that there can be."""


def fields(
    message: BinaryIO, wanted: Container[int], *, most: int = MAX_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the wanted fields of a message that have one; skip the others.

    Args:
        message: What is read, from where it stands.
        wanted: Numbers of the fields.
        most: Longest content of a wanted field, bytes.

    Raises:
        ValueError: If it is no message, or a wanted field is longer.
    """
    while (tag := _number(message)) is not None:
        number, kind = tag >> 3, tag & 7
        if kind in SIZES:
            message.seek(SIZES[kind], os.SEEK_CUR)
            continue
        size = _number(message)  # or the value
        if kind == IS_NUMBER:
            continue
        if kind != HAS_LENGTH or size is None or size > (most if number in wanted else MAX_BYTES):
            raise ValueError(f"field {number} is none of this kind of message")
        if number in wanted:
            content = message.read(size)
            if len(content) < size:
                raise ValueError(f"field {number} is cut off")
            yield number, content
        else:
            message.seek(size, os.SEEK_CUR)


def _number(message: BinaryIO) -> int | None:
    """Read a varint: seven bits a byte, the lowest first; None at the end of the message."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is too long")
