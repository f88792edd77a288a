"""Weights that are damaged, swapped, malicious or from the future are refused with a sentence."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("onnx")

from facesketch import weights_check
from facesketch.errors import WeightsError
from facesketch.translator import Translator
from facesketch.weights_check import SHIPPED, read_checked, shipped_sums
from soak.weights import external_data, foreign_operator, in_a_constant, in_a_function
from weights_helpers import write_generator


def test_the_hash_of_every_shipped_network_is_on_record() -> None:
    found = {
        path.relative_to(SHIPPED).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in SHIPPED.rglob("*.onnx")
    }
    assert found == shipped_sums(), "run the command of recipes/generators/README.md"


def test_a_shipped_network_that_was_changed_by_one_bit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "weights"
    shutil.copytree(SHIPPED, shipped)
    monkeypatch.setattr(weights_check, "SHIPPED", shipped)
    path = shipped / "generators" / "sketch2photo.onnx"
    assert read_checked(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"sketch2photo\.onnx .* SHA-256 differs.*install"):
        read_checked(path)
    own = shutil.copy(shipped / "domain.onnx", shipped / "generators" / "photo2sketch-own.onnx")
    with pytest.raises(WeightsError, match="keep weights of your own in another folder"):
        read_checked(Path(own))


def test_metadata_that_are_no_text_are_refused_with_a_sentence(tmp_path: Path) -> None:
    path = write_generator(tmp_path, "photo2sketch")
    path.write_bytes(path.read_bytes().replace(b"licence", b"licen\xff\xff"))
    with pytest.raises(WeightsError, match=r"photo2sketch\.onnx cannot be loaded"):
        Translator(tmp_path).to_sketch(Image.new("RGB", (64, 64)))


def test_a_file_that_is_larger_than_any_generator_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "photo2sketch.onnx"
    path.touch()
    os.truncate(path, 20_000_000_000)  # takes no room on the disk
    with pytest.raises(WeightsError, match=r"20\.0 GB, more than any generator"):
        read_checked(path)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (external_data, "takes numbers from another file"),
        (in_a_constant(external_data), "takes numbers from another file"),
        (in_a_function(external_data), "takes numbers from another file"),
        (foreign_operator, "operators of 'com.example'"),
    ],
    ids=["external data", "in a constant", "in a function", "foreign operator"],
)
def test_malicious_files_are_refused_by_name(
    tmp_path: Path, make: Callable[[Path], None], named: str
) -> None:
    path = write_generator(tmp_path, "photo2sketch")
    make(path)
    with pytest.raises(WeightsError, match=named):
        Translator(tmp_path).to_sketch(Image.new("RGB", (64, 64)))
