"""`facesketch quantize`: int8 variants that stay close, of files that stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facesketch.cli.weights import quantize
from facesketch.errors import DataError, ExportError, WeightsError
from facesketch.quantize import quantize_folder
from facesketch.translator import Translator
from facesketch.weights_info import int8_path
from weights_helpers import write_generator

onnx = pytest.importorskip("onnx")


def write_deep_generator(folder: Path) -> Path:
    """Three convolutions in a row: luma, a blur with a rectifier, itself."""
    path = write_generator(folder, "photo2sketch")
    model, helper = onnx.load(str(path)), onnx.helper
    (luma,) = model.graph.node
    result, luma.output[0] = luma.output[0], "grey"
    floats = onnx.TensorProto.FLOAT
    model.graph.initializer.append(helper.make_tensor("blur", floats, [1, 1, 3, 3], [1 / 9] * 9))
    model.graph.initializer.append(helper.make_tensor("same", floats, [1, 1, 1, 1], [1.0]))
    model.graph.node.extend(
        [
            helper.make_node("Conv", ["grey", "blur"], ["soft"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["soft", "same"], [result]),
        ]
    )
    onnx.save(model, str(path))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(colours).resize((90, 70)).save(folder / f"{seed}.png")
    return folder


def test_the_int8_variant_lies_beside_its_file_and_draws_nearly_the_same(
    tmp_path: Path, photos: Path
) -> None:
    path = write_deep_generator(tmp_path)
    before = path.read_bytes()
    (result,) = quantize_folder(tmp_path, {"photo2sketch": photos})
    assert path.read_bytes() == before
    assert result.path == int8_path(path)
    assert result.num_images == 3
    assert 0 < result.difference < 1
    assert result.psnr > 35
    other = tmp_path / "other"
    other.mkdir()
    result.path.rename(other / "photo2sketch.onnx")  # it is a generator like any other
    photo = Image.open(photos / "0.png")
    drawings = [np.asarray(Translator(w).to_sketch(photo), np.int16) for w in (tmp_path, other)]
    assert np.abs(drawings[0] - drawings[1]).mean() < 1


def test_weights_take_one_byte_each(tmp_path: Path, photos: Path) -> None:
    path = write_deep_generator(tmp_path)
    quantize_folder(tmp_path, {"photo2sketch": photos})
    stored = {t.name: t.data_type for t in onnx.load(str(int8_path(path))).graph.initializer}
    assert stored["blur.int8"] == onnx.TensorProto.INT8
    assert "blur" not in stored
    assert {"weight", "same"} <= set(stored), "the first and the last convolution stay float"


def test_the_command_says_what_was_lost(tmp_path: Path, photos: Path) -> None:
    write_deep_generator(tmp_path)
    result = CliRunner().invoke(quantize, [str(tmp_path), "--photos", str(photos)])
    assert result.exit_code == 0, result.output
    assert "photo2sketch.int8.onnx" in result.output
    assert "grey levels on average" in result.output


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, photos: Path) -> None:
    target = int8_path(write_deep_generator(tmp_path))
    target.mkdir()
    with pytest.raises(ExportError, match=r"photo2sketch\.int8\.onnx cannot be written"):
        quantize_folder(tmp_path, {"photo2sketch": photos})


def test_too_few_pictures_are_refused(tmp_path: Path, photos: Path) -> None:
    write_deep_generator(tmp_path)
    for path in sorted(photos.iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match="holds 1 images"):
        quantize_folder(tmp_path, {"photo2sketch": photos})


def test_a_generator_without_inner_convolutions_is_refused(tmp_path: Path, photos: Path) -> None:
    path = write_generator(tmp_path, "photo2sketch")
    with pytest.raises(WeightsError, match="no convolutions between"):
        quantize_folder(tmp_path, {"photo2sketch": photos})
    assert not int8_path(path).exists()


def test_nothing_to_calibrate_on_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(quantize, [str(tmp_path)])
    assert result.exit_code != 0
    assert "--photos" in str(result.exception)
