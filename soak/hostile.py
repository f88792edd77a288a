"""Hostile pictures from a seeded generator: each is a pure function of (seed, number)."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SIDE = 96  # px of the pictures that are damaged: large enough for every part of a file
HUGE = (20_000, 40_000, 65_500)  # px

LARGEST, WITHIN_LIMITS = 7_900, 0.03
"""Side of a picture that is just taken, px, and the share of bombs that are: they take seconds."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture, or what pretends to be one.

    Attributes:
        kind: What is wrong with it.
        data: The file.
    """

    kind: str
    data: bytes


def picture(seed: int, number: int) -> Picture:
    """Make a hostile picture; the kinds take turns."""
    rng = random.Random(f"picture {seed} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    return Picture(kind, KINDS[kind](rng))


def good_picture(rng: random.Random) -> bytes:
    """Encode a small, whole picture."""
    return _encoded(rng.choice(FORMATS), rng.randrange(8))


@cache
def _encoded(image_format: str, number: int = 0, mode: str = "RGB", **options: object) -> bytes:
    image = Image.radial_gradient("L").rotate(10 * number).resize((SIDE + number, SIDE))
    coloured = Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), image))
    buffer = io.BytesIO()
    coloured.convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(
    width: int, height: int, pixels: bytes, *more: bytes, bits: int = 8, colour: int = 2
) -> bytes:
    """Write a PNG that says it has a size, whatever it holds."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return PNG_MAGIC + header + b"".join(more) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def boundaries(data: bytes) -> list[int]:
    """Return where parts of a file begin and end: chunks, segments and blocks, and around them."""
    found = {0, 1, 2, 3, 4, 8, 12, 13, 16, 20, 24, 30, len(data) - 1, len(data) - 2}
    if data.startswith(PNG_MAGIC):
        place = len(PNG_MAGIC)
        while place + 8 <= len(data):
            size = int.from_bytes(data[place : place + 4], "big")
            found |= {place, place + 4, place + 8, place + 8 + size, place + 12 + size}
            place += 12 + size
    elif data.startswith(b"RIFF"):
        place = 12
        while place + 8 <= len(data):
            size = int.from_bytes(data[place + 4 : place + 8], "little")
            found |= {place, place + 4, place + 8, place + 8 + size}
            place += 8 + size + size % 2
    elif data.startswith(b"\xff\xd8"):
        marks = [place for place in range(len(data) - 1) if data[place] == 0xFF and data[place + 1]]
        found |= {place + step for place in marks for step in (0, 1, 2, 3, 4)}
    else:
        found |= set(range(0, min(len(data), 900), 7))
    return sorted(place for place in found if 0 <= place < len(data))


def _truncated(rng: random.Random) -> bytes:
    return _cut(rng, good_picture(rng))


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice([*boundaries(data), rng.randrange(len(data))])]


def _wrong_magic(rng: random.Random) -> bytes:
    data, other = good_picture(rng), good_picture(rng)
    length = rng.choice([2, 3, 4, 8, 12])
    return other[:length] + data[length:]


def _flipped(rng: random.Random) -> bytes:
    return _flip(rng, good_picture(rng))


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 2, 5, 20, 100])):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


def _spliced(rng: random.Random) -> bytes:
    return _splice(rng, good_picture(rng))


def _splice(rng: random.Random, data: bytes) -> bytes:
    """Parts of a picture twice, left out, or in another order."""
    cuts = sorted(rng.sample(boundaries(data), 3))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return b"".join(rng.choices(parts, k=rng.randint(1, 6)))


def _png_bomb(rng: random.Random) -> bytes:
    if rng.random() < 0.5:  # so many bytes for a picture that says it is small
        return _png(rng.randint(1, 64), 64, _zeros(50_000_000))
    side = rng.choice(HUGE) if rng.random() > WITHIN_LIMITS else LARGEST
    return _png(side, side, _zeros(LARGEST * (LARGEST + 1)), colour=0)


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def _text_bomb(rng: random.Random) -> bytes:
    bomb = _zeros(30_000_000)
    more = {
        b"zTXt": b"Comment\0\0" + bomb,
        b"iCCP": b"profile\0\0" + bomb,
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + bomb,
    }
    kind = rng.choice(list(more))
    pixels = zlib.compress(b"".join(b"\0" + bytes(3 * 64) for _ in range(64)))
    return _png(64, 64, pixels, *[_chunk(kind, more[kind])] * rng.randint(1, 3))


@cache
def _solid(image_format: str, side: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), 77).save(buffer, image_format, **options)
    return buffer.getvalue()


def _jpeg_bomb(rng: random.Random) -> bytes:
    if rng.random() < WITHIN_LIMITS:
        return _solid("JPEG", LARGEST)
    return _resized_jpeg(rng.choice(HUGE), rng.choice(HUGE))


def _resized_jpeg(width: int, height: int) -> bytes:
    data = bytearray(_encoded("JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _scan_bomb(rng: random.Random) -> bytes:
    side = 2_000 if rng.random() > WITHIN_LIMITS else LARGEST
    return scan_bomb(side, rng.choice([50, 1_000, 20_000]))


def scan_bomb(side: int, count: int) -> bytes:
    """Write a JPEG with so many scans after its own: a few bytes each, and work for all pixels."""
    data = _solid("JPEG", side, progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def _piece_bomb(rng: random.Random) -> bytes:
    make = rng.choice([exif_bomb, segment_bomb, junk_bomb, chunk_bomb, text_bomb, block_bomb])
    return make(rng.choice([1_000, 20_000, 1_000_000]))


def exif_bomb(count: int) -> bytes:
    """Write a JPEG whose EXIF comes in so many parts."""
    segment = b"\xff\xe1" + struct.pack(">H", 18) + b"Exif\0\0" + bytes(10)
    return _encoded("JPEG")[:2] + segment * count + _encoded("JPEG")[2:]


def segment_bomb(count: int) -> bytes:
    """Write a JPEG with so many empty parts in its head."""
    return _encoded("JPEG")[:2] + b"\xff\xe1\0\2" * count + _encoded("JPEG")[2:]


def junk_bomb(count: int) -> bytes:
    """Write a JPEG with so many bytes behind its first part."""
    return _encoded("JPEG")[:20] + bytes(count) + _encoded("JPEG")[20:]


def chunk_bomb(count: int) -> bytes:
    """Write a PNG with so many empty parts behind its pixels."""
    data = _encoded("PNG")
    return data[:-12] + _chunk(b"teSt", b"") * count + data[-12:]


def text_bomb(count: int) -> bytes:
    """Write a PNG with as many letters of text as may be, up to 64 times so many."""
    more = [
        _chunk(b"iTXt", f"{number}".encode() + b"\0\1\0\0\0" + _letters(min(count, 1_000_000)))
        for number in range(64)
    ]
    return _png(64, 64, zlib.compress(bytes(193 * 64)), *more)


@cache
def _letters(count: int) -> bytes:
    return zlib.compress(("a" * (count - 9) + "\N{GRINNING FACE}").encode(), 9)


def block_bomb(count: int) -> bytes:
    """Write a GIF with so many empty comments before its picture."""
    data = _encoded("GIF")
    place = data.index(b"\x2c", 13 + 3 * 256)
    return data[:place] + b"\x21\xfe\0" * count + data[place:]


def _webp_bomb(rng: random.Random) -> bytes:
    width, height = (rng.choice([16_383, 16_384, 2**24]) - 1 for _ in range(2))
    canvas = struct.pack("<I", 0x10) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + _encoded("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif_bomb(rng: random.Random) -> bytes:
    if rng.random() < WITHIN_LIMITS:
        return _solid("GIF", LARGEST)
    data = bytearray(_encoded("GIF"))
    size = struct.pack("<HH", *(rng.choice([65_535, 30_000, 8_100]) for _ in range(2)))
    place = data.index(b"\x2c", 13 + 3 * 256)  # of its frame
    if rng.random() < 0.7:
        data[6:10] = size
    if rng.random() < 0.7:
        data[place + 5 : place + 9] = size
    return bytes(data)


def _dimensions(rng: random.Random) -> bytes:
    side = rng.choice([2**31 - 1, 2**32 - 1, 2**16, 100_000])
    other = rng.choice([1, side])
    header = struct.pack("<IHHIIIiHH", 0, 0, 0, 54, 40, other, -side // 2, 1, 24)
    return rng.choice(
        [_png(side, other, b""), b"BM" + header + bytes(200), _resized_jpeg(65535, 1)]
    )


def _size_zero(rng: random.Random) -> bytes:
    width, height = rng.choice([(0, 0), (0, 64), (64, 0)])
    gif = bytearray(_encoded("GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    return rng.choice([_png(width, height, b""), _resized_jpeg(width, height), bytes(gif)])


def _animated(rng: random.Random) -> bytes:
    return _frames(rng.choice(["GIF", "WEBP", "PNG"]), rng.choice([2, 20, 60]))


@cache
def _frames(image_format: str, count: int) -> bytes:
    images = [Image.new("RGB", (SIDE, SIDE), (4 * number, 90, 200)) for number in range(count)]
    buffer = io.BytesIO()
    images[0].save(buffer, image_format, save_all=True, append_images=images[1:], duration=20)
    return buffer.getvalue()


def _modes(rng: random.Random) -> bytes:
    """CMYK, 16 bits, 1 bit, palettes, alpha: whole pictures of rare modes."""
    mode, image_format = rng.choice(
        [("CMYK", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("L", "GIF"),
         ("RGBA", "WEBP"), ("1", "BMP"), ("P", "BMP"), ("I;16", "PNG")]
    )  # fmt: skip
    return _deep() if mode == "I;16" else _encoded(image_format, rng.randrange(4), mode)


@cache
def _deep() -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE), np.uint16)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def _icc_junk(rng: random.Random) -> bytes:
    junk = rng.randbytes(rng.choice([0, 1, 50, 5_000]))
    if rng.random() < 0.5:
        return _with_segment(b"\xff\xe2", b"ICC_PROFILE\0" + rng.randbytes(2) + junk)
    profile = _chunk(b"iCCP", b"junk\0\0" + rng.choice([junk, zlib.compress(junk)]))
    return PNG_MAGIC + _encoded("PNG")[8:33] + profile + _encoded("PNG")[33:]


def _exif_junk(rng: random.Random) -> bytes:
    order, number = rng.choice([(b"II", "<"), (b"MM", ">"), (b"XX", "<")])
    head = order + struct.pack(f"{number}HI", 42, rng.choice([8, 0, 4, 2**32 - 1]))
    entries = b"".join(
        struct.pack(
            f"{number}HHII",
            rng.choice([0x0112, 0x8769, 0x8825, 0xA005, rng.randrange(2**16)]),
            rng.randrange(16),
            rng.choice([1, 0, 2**31, 70_000]),
            rng.choice([rng.randrange(12), 8, 2**32 - 1]),  # 8: a directory that holds itself
        )
        for _ in range(rng.randrange(8))
    )
    count = struct.pack(f"{number}H", rng.choice([0, 1, 8, 65_535]))
    return _with_segment(b"\xff\xe1", b"Exif\0\0" + head + count + entries + rng.randbytes(9))


def _with_segment(marker: bytes, body: bytes) -> bytes:
    data = _encoded("JPEG")
    return data[:2] + marker + struct.pack(">H", len(body) + 2) + body + data[2:]


def _heic(rng: random.Random) -> bytes:
    data = bytearray(_encoded("HEIF", rng.randrange(4), rng.choice(["RGB", "RGBA", "L"])))
    if rng.random() < 0.3:  # a size that is not that of its pixels
        size = struct.pack(">II", *(rng.choice([0, 1, 64, *HUGE, 2**32 - 1]) for _ in range(2)))
        place = data.index(b"ispe") + 8
        data[place : place + 8] = size
    return rng.choice([_cut, _flip, _splice])(rng, bytes(data))


def _polyglot(rng: random.Random) -> bytes:
    data = good_picture(rng)
    other = rng.choice(
        [b"PK\x03\x04" + bytes(60), b"<script>alert(1)</script>", b"%PDF-1.7\n1 0 obj", b"MZ\x90\0",
         b"#!/bin/sh\nid\n", b"<?php system('id'); ?>", good_picture(rng)]
    )  # fmt: skip
    return rng.choice([data + other, other + data, data[:6] + b"/*" + other + b"*/" + data[6:]])


def _no_picture(rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"hello", rng.randbytes(rng.choice([1, 100, 10_000])), b"<svg onload='alert(1)'/>",
         b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"8BPS\0\1" + bytes(40),
         b"II*\0" + rng.randbytes(200), b"\0\0\0\x18ftypheic" + rng.randbytes(300),
         b"P6 99999 99999 255\n", b"RIFF\x24\0\0\0WAVEfmt " + bytes(30)]
    )  # fmt: skip


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "truncated": _truncated,
    "wrong magic": _wrong_magic,
    "bytes flipped": _flipped,
    "parts in disorder": _spliced,
    "bomb, PNG": _png_bomb,
    "bomb, text and profiles of a PNG": _text_bomb,
    "bomb, JPEG": _jpeg_bomb,
    "bomb, scans of a JPEG": _scan_bomb,
    "bomb, a file in a million pieces": _piece_bomb,
    "bomb, WebP": _webp_bomb,
    "bomb, GIF": _gif_bomb,
    "HEIC, damaged": _heic,
    "enormous dimensions": _dimensions,
    "size zero": _size_zero,
    "animated": _animated,
    "CMYK, 16 bits, palettes, alpha": _modes,
    "ICC junk": _icc_junk,
    "EXIF junk": _exif_junk,
    "polyglot": _polyglot,
    "no picture": _no_picture,
}
"""What may be wrong with a picture, and what makes one."""
