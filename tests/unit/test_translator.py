from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from facesketch import Translator
from facesketch.errors import ImageError, UsageError, WeightsError
from facesketch.images import Uint8Array
from weights_helpers import IMAGE_SIZE, STYLES, write_generator

RED_LUMA = round(0.299 * 255)


@pytest.fixture(scope="module")
def translator(weights_dir: Path) -> Translator:
    return Translator(weights_dir)


@pytest.fixture(scope="module")
def strict_translator(strict_weights_dir: Path) -> Translator:
    return Translator(strict_weights_dir)


def photo(width: int, height: int) -> Image.Image:
    """Soft colours, dark at the top and red on the left."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * (1 - x / width), 255 * y / height
    return Image.fromarray(np.stack([red, green, green], axis=2).astype(np.uint8))


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize(
    "size",
    [
        (64, 64),
        (1, 1),
        (7, 5),
        (100, 75),
        (75, 100),
        (33, 500),
        (2000, 3),
        (1024, 1024),
        (641, 999),
    ],
)
def test_the_result_has_the_size_of_the_input(
    translator: Translator, strict_translator: Translator, size: tuple[int, int]
) -> None:
    for each in (translator, strict_translator):
        assert each.to_sketch(photo(*size)).size == size
        assert each.to_photo(photo(*size)).size == size


def test_a_size_can_be_asked_for(translator: Translator) -> None:
    assert translator.to_sketch(photo(100, 50), size=200).size == (400, 200)
    assert translator.to_photo(photo(50, 100), size=20).size == (20, 40)


@pytest.mark.parametrize("size", [(64, 64), (65, 71), (130, 64), (200, 333)])
def test_padding_leaves_no_trace(
    translator: Translator, strict_translator: Translator, size: tuple[int, int]
) -> None:
    expected = photo(*size).convert("L")
    assert mean_difference(translator.to_sketch(photo(*size)), expected) < 1.5
    assert mean_difference(strict_translator.to_sketch(photo(*size)), expected) < 8


def test_results_have_the_mode_of_their_domain(translator: Translator) -> None:
    assert translator.to_sketch(photo(64, 64)).mode == "L"
    assert translator.to_photo(photo(64, 64).convert("L")).mode == "RGB"


@pytest.mark.parametrize(("size", "wanted"), [((64, 64), None), ((100, 75), 600)])
def test_sketches_of_a_generator_that_draws_in_colour_keep_it(
    coloured_dir: Path, size: tuple[int, int], wanted: int | None
) -> None:
    sketch = Translator(coloured_dir).to_sketch(photo(*size), size=wanted)
    assert sketch.mode == "RGB"
    assert mean_difference(sketch.resize(size), photo(*size)) < 4


def test_channels_arrive_in_order(translator: Translator) -> None:
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    assert translator.to_sketch(red).getpixel((9, 9)) == RED_LUMA
    white = Image.new("L", (64, 64), 255)
    assert translator.to_photo(white).getpixel((9, 9)) == (255, 191, 128)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_every_pillow_mode_is_taken(translator: Translator, mode: str) -> None:
    white = {"I;16": 65535, "F": 255.0, "1": 1, "L": 255}.get(mode)
    image = Image.new("RGB", (70, 64), "white").convert(mode) if white is None else None
    sketch = translator.to_sketch(image or Image.new(mode, (70, 64), white))
    assert sketch.getextrema() == (255, 255)


def test_transparency_is_laid_on_white(translator: Translator) -> None:
    assert translator.to_sketch(Image.new("RGBA", (64, 64), (0, 0, 0, 0))).getextrema() == (
        255,
        255,
    )


def test_exif_orientation_is_applied(translator: Translator) -> None:
    image = photo(80, 64)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    turned = image.copy()
    turned.info["exif"] = exif.tobytes()
    sketch = translator.to_sketch(turned)
    assert sketch.size == (64, 80)
    expected = translator.to_sketch(image.transpose(Image.Transpose.ROTATE_270))
    assert mean_difference(sketch, expected) < 0.5


@pytest.mark.parametrize("shape", [(64, 80), (64, 80, 3), (64, 80, 4)])
def test_arrays_are_taken(translator: Translator, shape: tuple[int, ...]) -> None:
    sketch = translator.to_sketch(np.full(shape, 255, np.uint8))
    assert sketch.size == (80, 64)
    assert sketch.getextrema() == (255, 255)


def test_arrays_need_not_be_contiguous(translator: Translator) -> None:
    array = np.asarray(photo(128, 64))[:, ::-1]
    mirrored = ImageOps.mirror(photo(128, 64))
    assert mean_difference(translator.to_sketch(array), translator.to_sketch(mirrored)) == 0


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((8, 8), np.float32),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        b"face.jpg",
        None,
    ],
    ids=lambda bad: str(getattr(bad, "shape", bad)),
)
def test_what_is_no_picture_is_refused_in_a_sentence(
    translator: Translator, bad: Uint8Array
) -> None:
    with pytest.raises(ImageError, match="is no picture; give"):
        translator.to_sketch(bad)


@pytest.mark.parametrize("as_given", [str, Path])
def test_files_are_taken(translator: Translator, tmp_path: Path, as_given: type) -> None:
    image = photo(80, 64)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / "photo.png", exif=exif)
    file, turned = as_given(tmp_path / "photo.png"), image.transpose(Image.Transpose.ROTATE_270)
    assert mean_difference(translator.to_sketch(file), translator.to_sketch(turned)) == 0
    assert mean_difference(translator.to_photo(file), translator.to_photo(turned)) == 0
    (sketch,) = translator.translate([file], "photo2sketch", size=32)
    assert sketch.size == (32, 40)


def test_a_file_that_cannot_be_read_is_named(translator: Translator, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"missing\.jpg does not exist"):
        translator.to_sketch(str(tmp_path / "missing.jpg"))
    with pytest.raises(ImageError, match=r"notes\.jpg is not a picture that can be read"):
        translator.to_photo(tmp_path / "notes.jpg")


def test_many_pictures_come_back_in_order(strict_weights_dir: Path) -> None:
    translator = Translator(strict_weights_dir)
    translator.batch_size = 2
    sizes = [(64, 64), (90, 64), (64, 64), (64, 64), (90, 64), (300, 300)]
    pictures = [Image.new("RGB", size, (40 * i,) * 3) for i, size in enumerate(sizes)]
    sketches = translator.translate(pictures, "photo2sketch")
    assert [sketch.size for sketch in sketches] == sizes
    assert [sketch.getextrema()[0] for sketch in sketches] == [40 * i for i in range(len(sizes))]


def test_threads_share_one_translator(weights_dir: Path) -> None:
    translator = Translator(weights_dir)
    pictures = [photo(64 + i, 96) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        sketches = list(pool.map(translator.to_sketch, pictures))
        photos = list(pool.map(translator.to_photo, pictures))
    for picture, sketch, result in zip(pictures, sketches, photos, strict=True):
        assert mean_difference(sketch, translator.to_sketch(picture)) == 0
        assert mean_difference(result, translator.to_photo(picture)) == 0


def test_run_gives_the_network_as_it_is(translator: Translator) -> None:
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 24)).astype(np.float32)
    luma = np.tensordot(batch, np.float32([0.299, 0.587, 0.114]), axes=(1, 0))
    assert np.allclose(translator.run("photo2sketch", batch)[:, 0], luma, atol=1e-5)


def test_one_direction_needs_one_file(tmp_path: Path) -> None:
    write_generator(tmp_path, "photo2sketch")
    translator = Translator(tmp_path)
    translator.to_sketch(photo(64, 64))
    with pytest.raises(WeightsError, match=r"sketch2photo\.onnx is not there"):
        translator.to_photo(photo(64, 64))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere is not a folder"):
        Translator(tmp_path / "nowhere")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo2sketch.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"photo2sketch\.onnx cannot be loaded"):
        Translator(tmp_path).to_sketch(photo(64, 64))


def test_a_file_of_the_other_direction_is_refused(tmp_path: Path) -> None:
    write_generator(tmp_path, "photo2sketch").rename(tmp_path / "sketch2photo.onnx")
    with pytest.raises(WeightsError, match=r"rename it to photo2sketch\.onnx"):
        Translator(tmp_path).to_photo(photo(64, 64))


COLOURS = Image.new("RGB", (64, 64), (200, 120, 40))
DRAWN = {"hatch": 200, "edge": 120, "line": 40}


def test_a_style_can_be_chosen_and_the_first_is_the_default(styles_dir: Path) -> None:
    translator = Translator(styles_dir)
    assert (translator.style, translator.styles) == ("hatch", tuple(STYLES))
    assert translator.to_sketch(COLOURS).getpixel((9, 9)) == DRAWN["hatch"]
    for style, tone in DRAWN.items():
        assert Translator(styles_dir, style=style).to_sketch(COLOURS).getpixel((9, 9)) == tone
        assert translator.in_style(style).to_sketch(COLOURS).getpixel((9, 9)) == tone
    assert translator.in_style("edge").in_style(None).style == "hatch"


def test_drawings_of_all_styles_become_photos(styles_dir: Path) -> None:
    for style in STYLES:
        photo_of_it = Translator(styles_dir, style=style).to_photo(Image.new("L", (64, 64), 255))
        assert photo_of_it.getpixel((9, 9)) == (255, 191, 128)


def test_threads_draw_in_their_own_styles_with_shared_networks(styles_dir: Path) -> None:
    translator = Translator(styles_dir)

    def draw(style: str) -> int | None:
        tone = translator.in_style(style).to_sketch(COLOURS).getpixel((9, 9))
        translator.in_style(style).to_photo(COLOURS)
        return tone  # type: ignore[return-value]

    styles = [*STYLES] * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(draw, styles)) == [DRAWN[style] for style in styles]
    assert len(translator._generators) == len(STYLES) + 1


def test_a_style_that_is_not_there_is_refused_at_once(styles_dir: Path, weights_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"no style 'ink' .* hatch, edge, line"):
        Translator(styles_dir, style="ink")
    with pytest.raises(UsageError, match=r"no style 'ink' .* hatch, edge, line"):
        Translator(styles_dir).in_style("ink")
    with pytest.raises(UsageError, match="one style without a name"):
        Translator(weights_dir, style="line")


def test_a_file_of_another_style_is_refused(styles_dir: Path, tmp_path: Path) -> None:
    data = (styles_dir / "photo2sketch-edge.onnx").read_bytes()
    (tmp_path / "photo2sketch-line.onnx").write_bytes(data)
    with pytest.raises(WeightsError, match=r"style edge; rename it to photo2sketch-edge\.onnx"):
        Translator(tmp_path).to_sketch(COLOURS)


def test_a_file_without_a_style_may_be_given_one_by_its_name(tmp_path: Path) -> None:
    write_generator(tmp_path, "photo2sketch").rename(tmp_path / "photo2sketch-mine.onnx")
    assert Translator(tmp_path).style == "mine"
    Translator(tmp_path, style="mine").to_sketch(COLOURS)


def test_a_generator_that_changes_the_size_is_refused(tmp_path: Path) -> None:
    write_generator(tmp_path, "photo2sketch", size_multiple=4, changes={"size_multiple": 1})
    with pytest.raises(WeightsError, match="size_multiple"):
        Translator(tmp_path).to_sketch(photo(65, 64))


@pytest.mark.parametrize("device", ["CPU", "cpuexecutionprovider"])
def test_a_device_may_be_written_in_any_case(weights_dir: Path, device: str) -> None:
    assert Translator(weights_dir, device=device).provider == "CPUExecutionProvider"


def test_a_device_that_is_not_there_is_refused(weights_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"'coffee' is not there: this ONNX Runtime has .*cpu[;,]"):
        Translator(weights_dir, device="coffee")


def test_a_provider_can_be_named(weights_dir: Path) -> None:
    named = Translator(weights_dir, device="CPUExecutionProvider", num_threads=1)
    assert named.to_sketch(photo(64, 64)).size == (64, 64)


@pytest.mark.parametrize("size", [0, -5, 2.5, "64"])
def test_a_size_that_is_no_number_of_pixels_is_refused(translator: Translator, size: int) -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        translator.to_sketch(photo(64, 64), size=size)


def test_a_misspelt_direction_is_refused_with_the_right_ones(translator: Translator) -> None:
    with pytest.raises(UsageError, match="direction must be photo2sketch or sketch2photo, not 'a'"):
        translator.translate([photo(64, 64)], "a")  # type: ignore[arg-type]


def test_a_result_beyond_the_limit_is_refused_before_work(translator: Translator) -> None:
    with pytest.raises(ImageError, match="choose a smaller size"):
        translator.to_sketch(photo(64, 64), size=100_000)


def test_strokes_stay_crisp_through_the_whole_path(translator: Translator) -> None:
    size = 16 * IMAGE_SIZE
    stroke = np.full((size, size, 3), 255, np.uint8)
    stroke[:, 500:548] = 20
    row = np.asarray(translator.to_sketch(stroke))[size // 2, 440:524].astype(float)
    share = (255 - row) / (255 - row.min())
    x = np.arange(len(share))
    assert np.interp(0.9, share, x) - np.interp(0.1, share, x) < 2.5


def test_a_picture_that_breaks_while_decoding_is_named_so(translator: Translator) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).save(buffer, "PNG")
    broken = Image.open(io.BytesIO(buffer.getvalue()[:2000]))
    with pytest.raises(ImageError, match="cannot be read"):
        translator.to_sketch(broken)


def test_so_is_one_with_a_damaged_part(translator: Translator) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 60).save(buffer, "PNG")  # in two parts
    data = bytearray(buffer.getvalue())
    data[data.rindex(b"IDAT")] ^= 0xFF
    with pytest.raises(ImageError, match="cannot be read"):
        translator.to_sketch(Image.open(io.BytesIO(data)))


MEMORY_OF_A_LARGE_PICTURE = """
from pathlib import Path
import numpy as np
from facesketch import Translator
from facesketch.allocator import return_freed_memory, return_large_memory

def resident_mb():
    return_freed_memory()
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1000

return_large_memory()
translator = Translator(num_threads=1)
translator.run("photo2sketch", np.zeros((1, 3, 256, 256), np.float32))
before = resident_mb()
translator.run("photo2sketch", np.zeros((1, 3, 1024, 1024), np.float32))
translator.release_memory()
print(resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_a_large_picture_took_is_let_go() -> None:
    command = [sys.executable, "-c", MEMORY_OF_A_LARGE_PICTURE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60  # 230 otherwise


CORES_OF_A_LIMITED_PROCESS = """
import os
from pathlib import Path

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np
from facesketch import Translator

Translator().run("photo2sketch", np.zeros((1, 3, 64, 64), np.float32))
threads = Path("/proc/self/task").iterdir()
print(set().union(*(os.sched_getaffinity(int(thread.name)) for thread in threads)))
print(os.sched_getaffinity(0))
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or os.cpu_count() == 1, reason="cannot be kept from cores"
)
def test_a_process_that_is_kept_from_some_cores_keeps_off_them() -> None:
    command = [sys.executable, "-c", CORES_OF_A_LIMITED_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used, allowed = done.stdout.splitlines()
    assert used == allowed
