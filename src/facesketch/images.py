"""The only place that decodes, orients, resizes, normalises and encodes pictures.

Arrays are uint8, shape (H, W, 3), RGB, unless a docstring says otherwise. Networks see float32,
range [-1, 1], shape (C, H, W): `x / 127.5 - 1` and back.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from facesketch.decoding import Upload, limit_scans
from facesketch.errors import ImageError, ImageTooLargeError, NotAnImageError
from facesketch.unread import (
    HEIC_COMMAND,
    HEIC_SIGNATURE,
    HEIC_SUFFIXES,
    READS_AVIF,
    READS_HEIC,
    is_unread_heic,
)

Uint8Array: TypeAlias = npt.NDArray[np.uint8]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Mode = Literal["RGB", "L"]
Domain = Literal["photo", "sketch"]
ImageFormat = Literal["PNG", "JPEG", "WEBP"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
) | {".ppm", ".pgm"}
"""File name endings that are taken for pictures, lower case."""

if READS_AVIF:
    IMAGE_SUFFIXES |= {".avif"}

if READS_HEIC:
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)
    IMAGE_SUFFIXES |= HEIC_SUFFIXES

UPLOAD_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
} | ({"HEIF": "image/heic"} if READS_HEIC else {})
"""Decoders that may run on pictures from strangers, and their media types."""

FORMATS = (*UPLOAD_TYPES, "TIFF", "PPM", *(["AVIF"] if READS_AVIF else []))
"""Decoders that may run on one's own files; what else Pillow knows (PostScript, ...) stays shut."""

_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8[79]a|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"
    + (b"|" + HEIC_SIGNATURE.pattern if READS_HEIC else b""),
    re.DOTALL,
)
"""How files of `UPLOAD_TYPES` begin: one that does is a picture, if a broken one."""

OUTPUT_FORMATS: dict[str, ImageFormat] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
}
"""File name endings that `encode` has a container for."""

MAX_SIDES: dict[ImageFormat, int] = {"JPEG": 65_500, "WEBP": 16_383}
"""Longest side in pixels that a container takes; PNG takes any."""

MAX_PIXELS = 120_000_000
"""Default limit of width x height, checked before anything is decoded."""

STRIP_ROWS = 256  # rows of a picture that are brought to another mode at a time

# Pillow warns of damaged EXIF and of large pictures; the first does not matter, the second is
# checked below with a limit of our own. Set once: changing filters for a while is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")

DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    AssertionError, OverflowError, RuntimeError, struct.error,
)  # fmt: skip
"""What Pillow's decoders and libheif answer hostile bytes with."""

# What brings a picture upright, by EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# IPTC digital source type of a picture made by a generator, in the XMP packet that editors read.
_AI_XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" '
    b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b"Iptc4xmpExt:DigitalSourceType="
    b'"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def is_image_name(name: str) -> bool:
    """Say whether a file name ends like a picture's; hidden files do not count."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def open_image(
    source: Path | str | bytes | IO[bytes],
    mode: Mode = "RGB",
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    draft_size: int | None = None,
) -> Image.Image:
    """Decode a picture, upright, on white, in one mode, without metadata.

    Takes grayscale, RGBA, palette, CMYK, 16-bit and animated (first frame) files. Transparency is
    laid on white, EXIF orientation is applied.

    Args:
        source: Path, encoded bytes or binary file.
        mode: Mode of the result, "RGB" or "L".
        max_pixels: Refuse pictures with more pixels than this, before decoding.
        formats: Decoders that may run, of `FORMATS`.
        draft_size: Let a JPEG decode at a reduced size whose shorter side is at least this many
            pixels; saves time where a small picture is wanted from a large file.

    Returns:
        The picture, loaded, of the given mode.

    Raises:
        ImageError: If the file is missing or broken.
        NotAnImageError: If it is no picture, or of a kind that is not read.
        ImageTooLargeError: If it has more than `max_pixels` pixels.
    """
    return open_with_size(
        source, mode, max_pixels=max_pixels, formats=formats, draft_size=draft_size
    )[0]


def open_with_size(
    source: Path | str | bytes | IO[bytes],
    mode: Mode = "RGB",
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    draft_size: int | None = None,
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a picture as `open_image` does.

    Returns:
        The picture, and the width and height that it has, upright, at its full size.
    """
    with _opened(source, max_pixels, formats) as image:
        full_size = image.size
        if isinstance(image, JpegImageFile):  # the MPO of phones too
            limit_scans(image, source_name(source))
            if draft_size is not None:
                scale = draft_size / min(image.size)
                image.draft(image.mode, (round(image.width * scale), round(image.height * scale)))
        is_draft = image.size != full_size
        image.load()
        turned = upright(image)
        result = _plain(_in_mode(turned, mode), image)
        if not is_draft:
            return result, result.size
        return result, full_size if turned.size == image.size else full_size[::-1]


def stored_size(
    source: Path | str | bytes | IO[bytes],
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
) -> tuple[int, int]:
    """Read width and height from the head of a file; upright, they may be the other way round.

    Nothing is decoded, so that it costs no memory; errors are those of `open_image`.
    """
    with _opened(source, max_pixels, formats) as image:
        return image.size


def upright(image: Image.Image) -> Image.Image:
    """Turn a loaded picture as its EXIF says, whatever else stands there; itself if it need not.

    A turned one has no EXIF and XMP any more, so that nobody turns it again.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DECODER_ERRORS:  # damaged EXIF says nothing; the pixels are whole
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
        turned.info.pop(name, None)
    return turned


@contextmanager
def _opened(
    source: Path | str | bytes | IO[bytes], max_pixels: int, formats: Sequence[str]
) -> Iterator[ImageFile.ImageFile]:
    """Open a picture, not yet decoded; whatever goes wrong inside becomes an ImageError."""
    name = source_name(source)
    stream = Upload(source, name) if isinstance(source, bytes) else source
    try:
        with Image.open(stream, formats=tuple(formats)) as image:
            if isinstance(stream, Upload):
                stream.head_is_read()
            if image.width * image.height > max_pixels:
                raise ImageTooLargeError(
                    f"{name} has {image.width} x {image.height} pixels, more than the limit "
                    f"of {max_pixels:,}; make it smaller first."
                )
            yield image
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name} has too many pixels; make it smaller first.") from error
    except DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(
                f"{name} cannot be read ({error.strerror}); see to its permissions and its disk."
            ) from error
        is_unknown = isinstance(error, UnidentifiedImageError)
        if is_unknown if not isinstance(source, bytes) else not _SIGNATURES.match(source):
            what = "This" if name == UNNAMED else name
            if is_unread_heic(source, name):
                raise NotAnImageError(
                    f"{what} is a HEIC picture, which needs an extra ({HEIC_COMMAND}); install it, "
                    "or save the picture as JPEG."
                ) from error
            kinds = ", ".join(formats)
            raise NotAnImageError(f"{what} is not a picture that can be read ({kinds}).") from error
        reason = "" if is_unknown else f" ({' '.join(str(error).split())})"
        raise ImageError(f"{name} is broken and cannot be read{reason}.") from error


UNNAMED = "The picture"


def source_name(source: object) -> str:
    """Name a picture's source for people."""
    if isinstance(source, bytes | bytearray):
        return UNNAMED
    name = getattr(source, "name", None) if not isinstance(source, Path | str) else source
    return UNNAMED if name is None else str(name)


def to_mode(image: Image.Image, mode: Mode) -> Image.Image:
    """Bring a decoded picture to "RGB" or "L": transparency on white, 16 bits scaled to 8.

    Args:
        image: Any Pillow picture.
        mode: Wanted mode.

    Returns:
        A picture of that mode with no metadata.
    """
    return _plain(_in_mode(image, mode), image)


def _plain(result: Image.Image, source: Image.Image) -> Image.Image:
    """Take metadata away, from a copy where the picture is still the one that was given."""
    if result is source:
        result = source.copy()
    result.info = {}
    return result


def _in_mode(image: Image.Image, mode: Mode) -> Image.Image:
    """Do what `to_mode` says; a picture that needs no change comes back itself."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = _by_strips(image, "RGB", _on_white)
    if image.mode not in ("RGB", mode):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _by_strips(
    image: Image.Image, mode: Mode, change: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Change a picture a few rows at a time: whole copies in between would need gigabytes."""
    result = Image.new(mode, image.size)
    for top, strip in _strips(image):
        result.paste(change(strip), (0, top))
    return result


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    for top in range(0, image.height, STRIP_ROWS):
        yield top, image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale a 16-bit, 32-bit or float picture to 8 bits by the range its type implies."""
    brightest = max(np.nan_to_num(np.asarray(strip)).max() for _, strip in _strips(image))
    is_deep = image.mode != "I" or brightest > 255  # else 8 bits in a wide container

    def change(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip)
        if image.mode == "F":
            scale = np.float32(255 if brightest <= 1 else 1)
            values = np.nan_to_num(values) * scale + np.float32(0.5)
        elif is_deep:
            values = values >> 8
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    return _by_strips(image, "L", change)


def resize_cover(image: Image.Image, size: int) -> Image.Image:
    """Resize so that the shorter side is `size` pixels, keeping the aspect (Lanczos)."""
    scale = size / min(image.size)
    target = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
    return image if target == image.size else image.resize(target, Image.Resampling.LANCZOS)


def normalise(array: Uint8Array) -> Float32Array:
    """Turn pixels into network input.

    Args:
        array: uint8, shape (H, W, C) or (H, W).

    Returns:
        float32, shape (C, H, W), range [-1, 1].
    """
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    values = np.array(planes, dtype=np.float32, order="C")
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values


def denormalise(planes: Float32Array) -> Uint8Array:
    """Turn network output into pixels; the inverse of `normalise`, rounded and clipped.

    Args:
        planes: float32, shape (C, H, W), range [-1, 1].

    Returns:
        uint8, shape (H, W, C), or (H, W) for one channel.
    """
    pixels = np.clip(np.rint((planes + 1) * 127.5), 0, 255).astype(np.uint8)
    return pixels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def encode(
    image: Image.Image,
    image_format: ImageFormat,
    *,
    generated_photo: bool = False,
    quality: int = 95,
) -> bytes:
    """Encode a picture without any metadata but the mark of a generated photo.

    Args:
        image: Picture of mode "RGB" or "L".
        image_format: Container to write.
        generated_photo: Write the IPTC digital source type `trainedAlgorithmicMedia` (XMP).
        quality: JPEG and WebP quality, 1 to 100.

    Returns:
        The encoded file.

    Raises:
        ImageTooLargeError: If a side is longer than the container takes.
    """
    longest = MAX_SIDES.get(image_format)
    if longest is not None and max(image.size) > longest:
        raise ImageTooLargeError(
            f"a {image_format} file has at most {longest:,} pixels a side, not "
            f"{image.width:,} x {image.height:,}; write .png, or choose a smaller size."
        )
    clean = image.copy()
    clean.info = {}
    xmp = {"xmp": _AI_XMP} if generated_photo else {}
    buffer = io.BytesIO()
    if image_format == "PNG":
        from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415  # only PNG writers pay for it

        chunks = PngInfo()
        if generated_photo:
            chunks.add_itxt("XML:com.adobe.xmp", _AI_XMP.decode())
        clean.save(buffer, "PNG", pnginfo=chunks, compress_level=4)
    elif image_format == "JPEG":
        clean.save(buffer, "JPEG", quality=quality, subsampling=0, **xmp)
    else:
        clean.save(buffer, "WEBP", quality=quality, method=4, **xmp)
    return buffer.getvalue()
