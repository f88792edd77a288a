"""Which styles a folder of weights offers, told from names and metadata alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from facesketch.errors import UsageError, WeightsError
from facesketch.weights_folder import (
    available_styles,
    choose_style,
    generator_file,
    read_metadata,
)
from facesketch.weights_info import METADATA_KEY, SHIPPED_WEIGHTS, WeightsInfo
from weights_helpers import STYLES, write_generator

ABOUT = {
    "architecture": "test",
    "image_size": 64,
    "input_channels": 3,
    "output_channels": 1,
    "size_multiple": 8,
    "training_data": "none",
    "step": 0,
    "licence": "none",
}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_the_order_of_training_decides_which_style_is_the_default(styles_dir: Path) -> None:
    assert available_styles(styles_dir) == tuple(STYLES)
    assert generator_file(styles_dir, "photo2sketch").name == "photo2sketch-hatch.onnx"
    assert generator_file(styles_dir, "sketch2photo").name == "sketch2photo.onnx"


def test_any_file_may_say_the_order(tmp_path: Path) -> None:
    learned = {"styles": ("wash", "ink"), "style": "ink"}
    write_generator(tmp_path, "photo2sketch", changes=learned)
    touch(tmp_path, "photo2sketch-wash.onnx", "sketch2photo.onnx")
    assert available_styles(tmp_path) == ("wash", "ink")


@pytest.mark.parametrize(
    ("names", "styles"),
    [
        (("edge", "line", "hatch"), ("line", "edge", "hatch")),
        (("wash", "ink"), ("ink", "wash")),
        (("ink",), ("ink",)),
        ((), ()),
    ],
)
def test_without_that_it_is_line_or_the_first_by_name(
    tmp_path: Path, names: tuple[str, ...], styles: tuple[str, ...]
) -> None:
    touch(tmp_path, "sketch2photo.onnx", *(f"photo2sketch-{name}.onnx" for name in names))
    assert available_styles(tmp_path) == styles


def test_a_style_whose_file_is_gone_is_not_offered(tmp_path: Path) -> None:
    write_generator(tmp_path, "sketch2photo", changes={"styles": ("line", "edge")})
    touch(tmp_path, "photo2sketch-edge.onnx", "photo2sketch-Other.onnx", "photo2sketch-a-b.onnx")
    assert available_styles(tmp_path) == ("edge",)


def test_one_generator_without_a_style_has_no_names(weights_dir: Path, tmp_path: Path) -> None:
    assert available_styles(weights_dir) == ()
    assert available_styles(tmp_path / "nowhere") == ()
    assert generator_file(weights_dir, "photo2sketch").name == "photo2sketch.onnx"


def test_files_with_and_without_a_style_are_not_mixed(tmp_path: Path) -> None:
    touch(tmp_path, "photo2sketch.onnx", "photo2sketch-edge.onnx")
    with pytest.raises(WeightsError, match=r"photo2sketch\.onnx lies beside .* edge; move it"):
        available_styles(tmp_path)


def test_a_style_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    assert choose_style(tmp_path, ("line", "edge"), None) == "line"
    assert choose_style(tmp_path, ("line", "edge"), "edge") == "edge"
    with pytest.raises(UsageError, match=r"no style 'ink' in .*; choose one of line, edge\."):
        choose_style(tmp_path, ("line", "edge"), "ink")
    with pytest.raises(UsageError, match="one style without a name, so leave it away"):
        choose_style(tmp_path, (), "ink")


def test_line_is_the_default_of_the_shipped_weights() -> None:
    assert available_styles(SHIPPED_WEIGHTS)[0] == "line"


@pytest.mark.parametrize("path", sorted(SHIPPED_WEIGHTS.glob("*.onnx")), ids=lambda p: p.name)
def test_metadata_are_read_without_the_network(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    expected = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert read_metadata(path) == expected
    assert METADATA_KEY in expected


@given(place=st.integers(0, 10_000), junk=st.binary(max_size=12), cut=st.booleans())
def test_a_damaged_file_takes_no_style_away(
    styles_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
    place: int,
    junk: bytes,
    cut: bool,
) -> None:
    data = (styles_dir / "sketch2photo.onnx").read_bytes()
    place %= len(data)
    damaged = data[:place] + junk + (b"" if cut else data[place + len(junk) :])
    folder = touch(tmp_path_factory.mktemp("damaged"), "photo2sketch-line.onnx")
    (folder / "sketch2photo.onnx").write_bytes(damaged)
    assert available_styles(folder) == ("line",)


@pytest.mark.parametrize(
    "changes",
    [
        {"style": "Edge"},
        {"style": "../edge"},
        {"styles": ("", "edge")},
        {"style": "edge"},
        {"style": "edge", "styles": ("line",)},
        {"style": "edge", "styles": ("edge",), "direction": "sketch2photo"},
    ],
    ids=str,
)
def test_metadata_of_a_wrong_style_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WeightsInfo.model_validate(ABOUT | {"direction": "photo2sketch"} | changes)
