from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from facesketch.data.dataset import (  # noqa: E402
    UnpairedImages,
    centre_crop,
    find_domains,
    load_image,
)
from facesketch.data.sampler import Draw  # noqa: E402
from facesketch.errors import DataError  # noqa: E402
from train_helpers import (  # noqa: E402
    batches,
    contents,
    differences,
    loaded_steps,
    photo_array,
    tiny_config,
    write_pictures,
)

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

SIZE = 32
RED, BLUE, WHITE = (200, 40, 30), (20, 60, 180), (255, 255, 255)


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> np.ndarray:
    """A picture of two colours side by side, uint8 (SIZE, SIZE, 3), with a mark at the top left."""
    array = np.empty((SIZE, SIZE, 3), np.uint8)
    array[:, : SIZE // 2], array[:, SIZE // 2 :] = left, right
    array[: SIZE // 4, : SIZE // 4] = 0
    return array


COLOUR = halves(RED, BLUE)
GREY = np.asarray(Image.fromarray(COLOUR).convert("L"))
CLEAR_RIGHT = np.dstack([COLOUR, np.full((SIZE, SIZE), 255, np.uint8)])
CLEAR_RIGHT[:, SIZE // 2 :, 3] = 0
ON_WHITE = halves(RED, WHITE)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_16_bit_rgb(array: np.ndarray) -> bytes:
    """Encode by hand what Pillow cannot write; every sample is 257 times the 8-bit one."""
    rows = (array.astype(">u2") * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def grey_16_bit(big_endian: bool = False) -> Image.Image:
    values = GREY.astype(np.uint16) * 257
    if big_endian:
        return Image.frombytes("I;16B", (SIZE, SIZE), values.astype(">u2").tobytes())
    return Image.fromarray(values)


def rotated(kind: str) -> bytes:
    """Lying on its side, with the EXIF note that says how to stand it up."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    lying = Image.fromarray(COLOUR).transpose(Image.Transpose.ROTATE_90)
    return saved(lying, kind, exif=exif, quality=95)


def image(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array)


GREY_ON_WHITE = GREY.copy()
GREY_ON_WHITE[:, SIZE // 2 :] = 255
KINDS: dict[str, tuple[str, Callable[[], bytes], np.ndarray, int]] = {
    "RGB PNG": ("png", lambda: saved(image(COLOUR), "PNG"), COLOUR, 0),
    "RGB JPEG": ("jpg", lambda: saved(image(COLOUR), "JPEG", quality=95), COLOUR, 12),
    "grayscale PNG": ("png", lambda: saved(image(GREY), "PNG"), GREY, 0),
    "grayscale JPEG": ("jpeg", lambda: saved(image(GREY), "JPEG", quality=95), GREY, 12),
    "RGBA": ("png", lambda: saved(image(CLEAR_RIGHT), "PNG"), ON_WHITE, 0),
    "RGBA WebP": ("webp", lambda: saved(image(CLEAR_RIGHT), "WEBP", lossless=True), ON_WHITE, 0),
    "grayscale and alpha": ("png", lambda: saved(image(CLEAR_RIGHT).convert("LA"), "PNG"),
                            GREY_ON_WHITE, 0),
    "palette": ("png", lambda: saved(image(COLOUR).quantize(8), "PNG"), COLOUR, 2),
    "palette GIF": ("gif", lambda: saved(image(COLOUR).quantize(8), "GIF"), COLOUR, 2),
    "CMYK JPEG": ("jpg", lambda: saved(image(COLOUR).convert("CMYK"), "JPEG", quality=95),
                  COLOUR, 12),
    "CMYK TIFF": ("tif", lambda: saved(image(COLOUR).convert("CMYK"), "TIFF"), COLOUR, 1),
    "16-bit grayscale PNG": ("png", lambda: saved(grey_16_bit(), "PNG"), GREY, 1),
    "16-bit colour PNG": ("png", lambda: png_16_bit_rgb(COLOUR), COLOUR, 1),
    "16-bit TIFF": ("tiff", lambda: saved(grey_16_bit(), "TIFF"), GREY, 1),
    "16-bit big-endian TIFF": ("tiff", lambda: saved(grey_16_bit(big_endian=True), "TIFF"),
                               GREY, 1),
    "EXIF-rotated JPEG": ("jpg", lambda: rotated("JPEG"), COLOUR, 12),
    "EXIF-rotated PNG": ("png", lambda: rotated("PNG"), COLOUR, 0),
    "EXIF-rotated WebP": ("webp", lambda: rotated("WEBP"), COLOUR, 12),
    "bilevel": ("png", lambda: saved(image(GREY).convert("1", dither=0), "PNG"),
                np.where(GREY > 127, 255, 0).astype(np.uint8), 0),
}  # fmt: skip


def as_mode(array: np.ndarray, mode: str) -> np.ndarray:
    """Bring uint8 (H, W) or (H, W, 3) to float (C, H, W) of one mode."""
    pixels = np.asarray(Image.fromarray(array).convert("RGB").convert(mode)).astype(np.float64)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def corners(planes: np.ndarray) -> np.ndarray:
    """Average the four corners, each of one colour, where lossy files do not ring: (C, 4)."""
    low, high = slice(1, 7), slice(SIZE - 7, SIZE - 1)
    corners = [planes[:, y, x].mean(axis=(1, 2)) for y in (low, high) for x in (low, high)]
    return np.stack(corners, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_comes_out_right_in_both_domains(tmp_path: Path, kind: str) -> None:
    suffix, encode, expected, tolerance = KINDS[kind]
    for domain in ("photos", "sketches"):
        (tmp_path / domain).mkdir()
        (tmp_path / domain / f"a.{suffix}").write_bytes(encode())
    config = tiny_config(
        photos=tmp_path / "photos",
        sketches=tmp_path / "sketches",
        image_size=SIZE,
        load_scale=1,
        flip=False,
    )
    loaded = UnpairedImages(find_domains(config), config)[[Draw(0, 0, 0)]]
    assert not loaded.broken
    batch = loaded.batch
    assert (batch.photo.shape, batch.sketch.shape) == ((1, 3, SIZE, SIZE), (1, 1, SIZE, SIZE))
    assert (batch.photo.dtype, batch.sketch.dtype) == (torch.float32, torch.float32)
    for tensor, mode in ((batch.photo, "RGB"), (batch.sketch, "L")):
        seen = (tensor[0].numpy().astype(np.float64) + 1) * 127.5
        wanted = as_mode(expected, mode)
        if tolerance > 2:
            seen, wanted = corners(seen), corners(wanted)
        assert np.abs(seen - wanted).max() <= tolerance + 0.01


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "set", num_photos=7, num_sketches=4)


def test_batches_do_not_depend_on_the_number_of_workers(data: Path) -> None:
    (data / "train" / "photos" / "broken.png").write_bytes(b"no picture")
    try:
        alone = contents(loaded_steps(tiny_config(data=data)))
        helped = contents(loaded_steps(tiny_config(data=data, num_workers=2)))
    finally:
        (data / "train" / "photos" / "broken.png").unlink()
    assert not list(differences(alone, helped))
    assert any(batch["broken"] for batch in alone)


def test_batches_from_the_middle_are_the_tail_of_the_whole(data: Path) -> None:
    whole = contents(loaded_steps(tiny_config(data=data)))
    assert not list(
        differences(contents(loaded_steps(tiny_config(data=data), first_step=4)), whole[4:])
    )


def test_the_loader_leaves_the_global_random_state_alone(data: Path) -> None:
    before = torch.get_rng_state()
    batches(tiny_config(data=data), num_steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_crops_and_flips_differ_between_samples_and_repeat_with_the_seed(data: Path) -> None:
    config = tiny_config(data=data, load_scale=1.25)
    images = UnpairedImages(find_domains(config), config)
    views = [images[[Draw(number, 0, 0)]].batch.photo for number in range(12)]
    assert len({view.numpy().tobytes() for view in views}) > 6
    assert torch.equal(images[[Draw(3, 0, 0)]].batch.photo, views[3])
    other = tiny_config(data=data, load_scale=1.25, seed=1)
    again = [UnpairedImages(images.domains, other)[[Draw(n, 0, 0)]].batch.photo for n in range(3)]
    assert any(not torch.equal(a, b) for a, b in zip(again, views, strict=False))


def test_half_of_the_images_are_mirrored_and_none_where_that_is_off(tmp_path: Path) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / domain).mkdir()
        Image.fromarray(COLOUR).save(tmp_path / domain / "a.png")
    kind = {"photos": tmp_path / "photos", "sketches": tmp_path / "sketches", "load_scale": 1}
    for flip, wanted in ((True, range(30, 71)), (False, range(1))):
        config = tiny_config(**kind, flip=flip)
        images = UnpairedImages(find_domains(config), config)
        left = [images[[Draw(n, 0, 0)]].batch.photo[0, 0, -1, 0] for n in range(100)]
        assert sum(bool(value < 0) for value in left) in wanted


@pytest.mark.parametrize("size", [(200, 50), (33, 90), (5, 7), (32, 32)])
def test_pictures_of_any_shape_fill_the_crop(tmp_path: Path, size: tuple[int, int]) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / domain).mkdir()
        Image.new("RGB", size, "white").save(tmp_path / domain / "a.png")
    config = tiny_config(photos=tmp_path / "photos", sketches=tmp_path / "sketches")
    domains = find_domains(config)
    batch = UnpairedImages(domains, config)[[Draw(0, 0, 0)]].batch
    assert batch.photo.shape == (1, 3, 32, 32)
    assert batch.photo.min() == 1
    assert centre_crop(domains.photos, 0, 32, "RGB").shape == (3, 32, 32)


def test_sketches_have_three_channels_where_the_settings_say_so(data: Path) -> None:
    [batch] = batches(tiny_config(data=data, sketch_channels=3), num_steps=1)
    assert batch.sketch.shape == (2, 3, 32, 32)


@pytest.mark.parametrize("channels", [1, 3])
def test_redrawn_sketches_come_beside_the_clean_ones(data: Path, channels: int) -> None:
    kind = {"data": data, "sketch_channels": channels}
    clean = batches(tiny_config(**kind))
    steps = loaded_steps(tiny_config(**kind, augment_sketches=True))
    both = [step.batch for step in steps]
    assert all(batch.shown is batch.sketch for batch in clean)
    for a, b in zip(clean, both, strict=True):
        assert torch.equal(a.photo, b.photo)
        assert torch.equal(a.sketch, b.sketch)
        assert b.shown.shape == b.sketch.shape
        assert b.shown.abs().max() <= 1
    assert any(not torch.equal(batch.shown, batch.sketch) for batch in both)
    kind |= {"augment_sketches": True, "num_workers": 1}
    rest = loaded_steps(tiny_config(**kind), first_step=4)
    assert not list(differences(contents(rest), contents(steps[4:])))


def test_a_broken_image_is_replaced_by_another_and_named(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=2, num_sketches=1)
    truncated = root / "train" / "photos" / "1.png"
    truncated.write_bytes(truncated.read_bytes()[:300])
    config = tiny_config(data=root, load_scale=1, flip=False)
    domains = find_domains(config)
    images = UnpairedImages(domains, config)
    bad = next(i for i in range(2) if domains.photos.path(i) == truncated)
    broken, whole = (images[[Draw(5, index, 0)]] for index in (bad, 1 - bad))
    assert not whole.broken
    assert {b.path for b in broken.broken} == {str(truncated)}
    assert {b.domain for b in broken.broken} == {"photo"}
    assert all(str(truncated) in b.reason for b in broken.broken)
    assert torch.equal(broken.batch.photo, whole.batch.photo)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_folder_of_broken_images_ends_in_a_sentence_and_not_in_a_traceback(
    tmp_path: Path, num_workers: int
) -> None:
    root = write_pictures(tmp_path / "set")
    for path in (root / "train" / "sketches").iterdir():
        path.write_bytes(b"no picture")
    [step] = loaded_steps(tiny_config(data=root, num_workers=num_workers), num_steps=1)
    assert step.batch is None
    assert str(root / "train" / "sketches") in step.error
    assert "\n" not in step.error
    assert {b.domain for b in step.broken} == {"sketch"}


def test_an_image_that_vanished_counts_as_broken(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=3)
    config = tiny_config(data=root)
    domains = find_domains(config)
    gone = domains.photos.path(1)
    gone.unlink()
    step = UnpairedImages(domains, config)[[Draw(0, 1, 0)]]
    assert str(gone) in {b.path for b in step.broken}
    assert step.error is None


def test_the_layout_of_the_kaggle_set_and_any_two_folders_are_found(data: Path) -> None:
    by_root = find_domains(tiny_config(data=data))
    photos, sketches = data / "train" / "photos", data / "train" / "sketches"
    by_folder = find_domains(tiny_config(photos=photos, sketches=sketches))
    assert (len(by_root.photos), len(by_root.sketches)) == (7, 4)
    assert by_root.fingerprint == by_folder.fingerprint
    val = find_domains(tiny_config(data=data), "val")
    assert (len(val.photos), len(val.sketches)) == (2, 2)
    assert find_domains(tiny_config(photos=photos, sketches=sketches), "val") is None


def test_a_set_without_validation_pictures_is_fine_and_one_without_training_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "train" / "photos").mkdir(parents=True)
    Image.fromarray(photo_array(0)).save(tmp_path / "train" / "photos" / "0.png")
    assert find_domains(tiny_config(data=tmp_path), "val") is None
    for name in ("photos", "sketches"):
        (tmp_path / "val" / name).mkdir(parents=True)
    assert find_domains(tiny_config(data=tmp_path), "val") is None
    with pytest.raises(DataError, match="sketches is not a folder"):
        find_domains(tiny_config(data=tmp_path))
    with pytest.raises(DataError, match="wants the data set's root"):
        find_domains(tiny_config(data=tmp_path / "nowhere"))


def test_the_layout_of_cyclegan_is_answered_with_what_to_give(tmp_path: Path) -> None:
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"--photos .*trainA --sketches .*trainB, or the other"):
        find_domains(tiny_config(data=tmp_path))


def test_one_folder_for_both_domains_or_one_in_the_other_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "sketches"
    inner.mkdir()
    with pytest.raises(DataError, match="is given for photos and for sketches"):
        find_domains(tiny_config(photos=inner, sketches=inner))
    with pytest.raises(DataError, match="lies in"):
        find_domains(tiny_config(photos=tmp_path, sketches=inner))
    aside = {"val_photos": inner, "val_sketches": tmp_path / "c"}
    with pytest.raises(DataError, match=r"val-photos and as photos|photos and as val-photos"):
        find_domains(tiny_config(photos=tmp_path, sketches=tmp_path.parent / "b", **aside))


def test_only_the_middle_of_an_endless_strip_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1000), "red").save(tmp_path / "strip.png")
    assert load_image(tmp_path / "strip.png", 64, "RGB").size == (64, 256)
