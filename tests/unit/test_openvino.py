"""`--device openvino`: the same pictures by OpenVINO, and what is said where it is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesketch.errors import WeightsError
from facesketch.translator import Translator
from facesketch.weights_info import int8_path
from weights_helpers import write_generator

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the fast extra")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


@needs_openvino
@pytest.mark.parametrize("size", [(64, 64), (64, 100), (90, 64)])
def test_openvino_makes_the_pictures_of_onnx_runtime(
    weights_dir: Path, size: tuple[int, int]
) -> None:
    fast, plain = Translator(weights_dir, device="OpenVINO"), Translator(weights_dir)
    drawings = [np.asarray(t.to_sketch(noise(*size)), np.int16) for t in (fast, plain)]
    assert np.abs(drawings[0] - drawings[1]).max() <= 2  # OpenVINO may compute in bfloat16


@needs_openvino
def test_threads_share_a_translator(weights_dir: Path) -> None:
    translator = Translator(weights_dir, device="openvino", num_threads=1)
    pictures = [noise(64, 64 + 8 * index, index) for index in range(12)]
    alone = [np.asarray(translator.to_sketch(picture)) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(translator.to_sketch, pictures))
    for expected, drawing in zip(alone, together, strict=True):
        np.testing.assert_array_equal(np.asarray(drawing), expected)


@needs_openvino
def test_the_int8_file_is_taken_by_openvino_alone(tmp_path: Path) -> None:
    path = write_generator(tmp_path, "photo2sketch")
    path.rename(int8_path(path))
    write_generator(tmp_path, "photo2sketch", weight=[0.0, 0.0, 0.0])
    image = noise(64, 64)
    assert np.asarray(Translator(tmp_path).to_sketch(image)).std() == 0
    assert np.asarray(Translator(tmp_path, device="openvino").to_sketch(image)).std() > 10


@needs_openvino
def test_what_is_loaded_is_what_is_named_and_hashed(tmp_path: Path) -> None:
    path = write_generator(tmp_path, "photo2sketch")
    shutil.copy(path, int8_path(path))
    assert Translator(tmp_path).path("photo2sketch") == path
    assert Translator(tmp_path, device="openvino").path("photo2sketch") == int8_path(path)


@needs_openvino
def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo2sketch.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"photo2sketch\.onnx cannot be loaded"):
        Translator(tmp_path, device="openvino").to_sketch(noise(64, 64))


@needs_openvino
def test_openvino_reports_nothing_to_anybody(tmp_path: Path, weights_dir: Path) -> None:
    code = (
        "import sys; from facesketch.translator import Translator\n"
        f"Translator({str(weights_dir)!r}, device='openvino').info('photo2sketch')\n"
        "assert 'openvino' in sys.modules and 'openvino_telemetry' not in sys.modules\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
