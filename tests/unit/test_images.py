"""Every picture comes out upright, on white, in one mode, or is refused in a sentence."""

from __future__ import annotations

import gc
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageFile

from facesketch import decoding, images
from facesketch.errors import ImageError, ImageTooLargeError, NotAnImageError
from facesketch.translator import as_image
from soak.hostile import (
    block_bomb,
    chunk_bomb,
    exif_bomb,
    junk_bomb,
    scan_bomb,
    segment_bomb,
)

ORANGE = (250, 120, 10)
ORANGE_LUMA = 147


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> bytes:
    """A 30 x 20 picture, red at the left, with an EXIF orientation."""
    image = Image.new("RGB", (30, 20), "blue")
    image.paste("red", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "PNG", exif=exif)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_every_format_decodes(image_format: str) -> None:
    data = encoded(Image.new("RGB", (9, 7), ORANGE), image_format)
    image = images.open_image(data)
    assert (image.mode, image.size) == ("RGB", (9, 7))
    np.testing.assert_allclose(image.getpixel((4, 3)), ORANGE, atol=6)


def test_avif_is_read_from_ones_own_files_and_not_from_uploads(tmp_path: Path) -> None:
    pytest.importorskip("PIL._avif", reason="needs a Pillow that reads AVIF")
    Image.new("RGB", (9, 7), ORANGE).save(tmp_path / "a.avif")
    assert images.is_image_name("a.avif")
    assert images.open_image(tmp_path / "a.avif").size == (9, 7)
    with pytest.raises(NotAnImageError):
        images.open_image((tmp_path / "a.avif").read_bytes(), formats=tuple(images.UPLOAD_TYPES))


HEIC_HEAD = b"\0\0\0\x18ftypheic" + bytes(40)


def test_without_its_extra_a_heic_picture_gets_the_install_line(tmp_path: Path) -> None:
    (tmp_path / "empty.HEIC").touch()
    (tmp_path / "phone.jpg").write_bytes(HEIC_HEAD)
    script = f"""
import sys
sys.modules["pillow_heif"] = None
from collections import Counter
from pathlib import Path
from facesketch import images, unread
folder = Path({str(tmp_path)!r})
phone = folder / "phone.jpg"
for source in (folder / "empty.HEIC", phone, str(phone), {HEIC_HEAD!r}):
    try:
        images.open_image(source)
    except images.NotAnImageError as error:
        assert "is a HEIC picture" in str(error), error
        assert "pip install 'facesketch[heic]'" in str(error), error
    else:
        raise AssertionError(source)
assert not images.is_image_name("a.heic")
told = unread.tell_unread(Counter({{".heic": 2, ".txt": 5, ".psd": 1}}))
assert told == "2 .heic (pip install 'facesketch[heic]'), 1 .psd", told
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (Image.new("L", (8, 8), 90), (90, 90, 90)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (*ORANGE, 255)), ORANGE),
        (Image.new("RGBA", (8, 8), (*ORANGE, 0)), (255, 255, 255)),
        (Image.new("LA", (8, 8), (0, 0)), (255, 255, 255)),
        (Image.new("RGB", (8, 8), ORANGE).quantize(4), ORANGE),
        (Image.fromarray(np.full((8, 8), 0x8080, np.uint16)), (128, 128, 128)),
        (Image.fromarray(np.full((8, 8), 0x0100, np.uint16)), (1, 1, 1)),
    ],
    ids=["gray", "bilevel", "opaque", "clear", "gray clear", "palette", "16 bit", "16 bit dark"],
)
def test_every_mode_becomes_rgb_on_white(stored: Image.Image, expected: tuple[int, ...]) -> None:
    image = images.open_image(encoded(stored, "PNG"))
    assert image.mode == "RGB"
    np.testing.assert_allclose(image.getpixel((4, 4)), expected, atol=1)


def test_a_tall_picture_is_brought_to_8_bits_by_its_brightest_pixel() -> None:
    values = np.full((images.STRIP_ROWS + 40, 3), 100, np.int32)
    dark = images.to_mode(Image.fromarray(values), "L")
    assert np.unique(np.asarray(dark)).tolist() == [100]  # 8 bits in a wide container
    values[-1] = 65_535
    deep = np.asarray(images.to_mode(Image.fromarray(values), "L"))
    assert np.unique(deep).tolist() == [0, 255]
    assert (deep[-1] == 255).all()


def test_a_tall_transparent_picture_is_laid_on_white_everywhere() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2 * images.STRIP_ROWS + 9, 5, 4), np.uint8)
    white = Image.new("RGBA", (5, len(pixels)), "white")
    white.alpha_composite(Image.fromarray(pixels))
    made = images.to_mode(Image.fromarray(pixels), "RGB")
    assert np.array_equal(np.asarray(made), np.asarray(white.convert("RGB")))


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    np.testing.assert_allclose(images.open_image(data).getpixel((4, 4)), (255, 0, 0), atol=4)


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(image, "GIF", transparency=0)
    assert images.open_image(data).getpixel((4, 4)) == (255, 255, 255)


def test_gray_on_request() -> None:
    image = images.open_image(encoded(Image.new("RGB", (8, 8), ORANGE), "PNG"), "L")
    assert image.mode == "L"
    assert image.getpixel((0, 0)) == pytest.approx(ORANGE_LUMA, abs=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_upright(orientation: int) -> None:
    data = with_orientation(orientation)
    image, size = images.open_with_size(data)
    assert image.size == size == ((30, 20) if orientation <= 4 else (20, 30))
    assert images.stored_size(data) == (30, 20)
    x, y = {1: (0, 10), 2: (29, 10), 3: (29, 10), 4: (0, 10)}.get(
        orientation, (10, 0) if orientation in (5, 6) else (10, 29)
    )
    assert image.getpixel((x, y)) == (255, 0, 0)
    assert not image.info


def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded(Image.new("RGB", (8, 8), ORANGE), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")
    assert images.open_image(data).size == (8, 8)


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(305, 11, struct.pack(">f", 1.0)), (282, 2, b"72\0\0")],
    ids=["software is a number", "resolution is text"],
)
def test_odd_exif_neither_costs_the_picture_nor_its_orientation(
    tag: int, kind: int, value: bytes
) -> None:
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0), struct.pack(">HHI", tag, kind, 1) + value
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + b"".join(sorted(entries)) + b"\0\0\0\0"
    data = encoded(Image.new("RGB", (30, 20), ORANGE), "JPEG", exif=exif)
    assert images.open_image(data).size == (20, 30)
    upright = as_image(Image.open(io.BytesIO(data)))
    assert upright.size == (20, 30)
    assert as_image(upright.crop((0, 0, 10, 20))).size == (10, 20)


def test_the_size_is_known_without_the_pixels() -> None:
    assert images.stored_size(png_of(9, 7)) == (9, 7)
    with pytest.raises(ImageError):
        images.open_image(png_of(9, 7))


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


PHOTO = encoded(Image.effect_noise((64, 64), 60).convert("RGB"), "JPEG")

HOSTILE = {
    "empty": b"",
    "text": b"hello, this is no picture",
    "truncated JPEG": PHOTO[: len(PHOTO) // 2],
    "JPEG head alone": PHOTO[:30],
    "PNG without pixels": png_of(10, 10),
    "zero width": png_of(0, 10),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "zip": b"PK\x03\x04" + bytes(40),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=r"^(The picture|This) .*\.$"):
        images.open_image(HOSTILE[name])


def test_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        images.open_image(tmp_path / "nowhere.png")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"a\.png is not a picture"):
        images.open_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(40_000, 40_000), (2**31 - 1, 2**31 - 1), (20_000, 6_001)])
def test_too_many_pixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLargeError, match="pixels"):
        images.open_image(png_of(*size))


def test_the_limit_can_be_lower() -> None:
    data = encoded(Image.new("L", (11, 10)), "PNG")
    with pytest.raises(ImageTooLargeError, match="11 x 10"):
        images.open_image(data, max_pixels=100)


def test_a_large_jpeg_is_decoded_small_on_request() -> None:
    data = encoded(Image.new("RGB", (1600, 1200), ORANGE), "JPEG")
    image, size = images.open_with_size(data, draft_size=256)
    assert 256 <= min(image.size) < 600
    assert size == (1600, 1200)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("L", (1600, 1200)), "JPEG", exif=exif)
    image, size = images.open_with_size(data, draft_size=256)
    assert image.width < image.height < 800
    assert size == (1200, 1600)


def test_a_large_picture_of_a_phone_is_decoded_small_on_request() -> None:
    both = Image.new("RGB", (1600, 1200), ORANGE), Image.new("RGB", (400, 300), "blue")
    data = encoded(both[0], "MPO", save_all=True, append_images=both[1:])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    image, size = images.open_with_size(data, draft_size=256)
    assert 256 <= min(image.size) < 600
    assert size == (1600, 1200)
    np.testing.assert_allclose(image.getpixel((4, 4)), ORANGE, atol=6)


def test_scans_without_end_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jpg"
    path.write_bytes(scan_bomb(64, 10_000))
    with path.open("rb") as stream:
        for source in (path.read_bytes(), path, stream):
            with pytest.raises(ImageError, match="more than 100 scans"):
                images.open_image(source)


@pytest.mark.parametrize(
    "make",
    [exif_bomb, segment_bomb, junk_bomb, chunk_bomb, block_bomb],
    ids=lambda make: make.__name__,
)
def test_a_file_in_pieces_without_end_is_refused(make: Callable[[int], bytes]) -> None:
    assert images.open_image(make(500)).mode == "RGB"
    with pytest.raises(ImageError, match="in more pieces than cameras"):
        images.open_image(make(1_000_000))


def test_pixels_may_come_in_many_pieces() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    place, pixels = data.index(b"IDAT") - 4, b""
    while data[place + 4 : place + 8] == b"IDAT":
        size = int.from_bytes(data[place : place + 4])
        pixels += data[place + 8 : place + 8 + size]
        place += 12 + size
    parts = (b"IDAT" + pixels[start : start + 40] for start in range(0, len(pixels), 40))
    chunks = [struct.pack(">I", len(p) - 4) + p + struct.pack(">I", zlib.crc32(p)) for p in parts]
    assert len(chunks) > decoding.MAX_HEAD_PIECES
    again = data[: data.index(b"IDAT") - 4] + b"".join(chunks) + data[place:]
    np.testing.assert_array_equal(np.asarray(images.open_image(again)), noise)


def test_a_file_that_cannot_be_read_now_is_not_called_broken(tmp_path: Path) -> None:
    (tmp_path / "photo.png").mkdir()
    with pytest.raises(ImageError, match=r"photo\.png cannot be read \(.+\); see to"):
        images.open_image(tmp_path / "photo.png")


def test_scans_are_counted_where_reads_meet() -> None:
    bomb = scan_bomb(64, 10_000)
    for shift in range(14):  # one scan's length
        comment = b"\xff\xfe" + struct.pack(">H", 2 + shift) + bytes(shift)
        with pytest.raises(ImageError, match="scans"):
            images.open_image(bomb[:2] + comment + bomb[2:])


def test_a_decoded_file_is_let_go_of_at_once() -> None:
    def num_files() -> int:
        # By type(): isinstance would wake whatever pretends to be something else.
        return sum(issubclass(type(item), ImageFile.ImageFile) for item in gc.get_objects())

    before = num_files()
    gc.disable()
    try:
        images.open_image(PHOTO)
        assert num_files() == before
    finally:
        gc.enable()


def test_a_video_behind_a_photo_has_no_scans() -> None:
    photo = encoded(Image.new("RGB", (64, 48), ORANGE), "JPEG", progressive=True)
    assert images.open_image(photo + bytes(100_000) + b"\xff\xda" * 1_000).size == (64, 48)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_resize_cover_keeps_shape_and_hits_the_size(width: int, height: int, size: int) -> None:
    image = images.resize_cover(Image.new("L", (width, height)), size)
    assert min(image.size) == size
    assert image.width / image.height == pytest.approx(width / height, rel=0.6 / size + 1e-9)


@given(
    arrays.arrays(
        np.uint8, st.one_of(st.just((5, 4)), st.just((5, 4, 3))), elements=st.integers(0, 255)
    )
)
def test_network_values_return_to_the_same_pixels(pixels: np.ndarray) -> None:
    planes = images.normalise(pixels)
    assert planes.dtype == np.float32
    assert planes.min() >= -1
    assert planes.max() <= 1
    np.testing.assert_array_equal(images.denormalise(planes), pixels)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_generated_photos_say_so_and_say_nothing_else(image_format: str) -> None:
    image = Image.new("RGB", (16, 16), ORANGE)
    exif = Image.Exif()
    exif[0x010E] = "secret"
    image.info.update(exif=exif.tobytes(), comment=b"secret", dpi=(72, 72), icc_profile=b"secret")
    marked = images.encode(image, image_format, generated_photo=True)
    plain = images.encode(image, image_format)
    assert b"trainedAlgorithmicMedia" in marked
    assert b"trainedAlgorithmicMedia" not in plain
    assert b"secret" not in marked + plain
    with Image.open(io.BytesIO(marked)) as stored:
        xmp = stored.info.get("xmp") or stored.info.get("XML:com.adobe.xmp")
        assert xmp is not None
    assert images.open_image(marked).size == (16, 16)
