"""Large pictures in tiles: nothing of the tiles may be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facesketch.images import Float32Array
from facesketch.tiles import BLIND, _spans, _weights, translate_tiled
from facesketch.translator import Prepared, Translator
from facesketch.weights_info import WeightsInfo
from weights_helpers import IMAGE_SIZE, write_generator


def info(image_size: int = 256, multiple: int = 8) -> WeightsInfo:
    return WeightsInfo(
        direction="photo2sketch",
        architecture="test",
        image_size=image_size,
        input_channels=3,
        output_channels=1,
        size_multiple=multiple,
        training_data="none",
        step=0,
        licence="Apache-2.0",
    )


def soft_picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


class NormalisingTranslator(Translator):
    """Brings every tile to its own mean, as networks with instance norm do."""

    largest = 0

    def run_prepared(self, prepared: list[Prepared]) -> list[Float32Array]:
        results = super().run_prepared(prepared)
        self.largest = max(job.planes[0].size for job in prepared)
        return [planes - planes.mean() for planes in results]


@given(
    half_side=st.integers(1, 3000),
    image_size=st.sampled_from([64, 128, 256, 512]),
    multiple=st.sampled_from([1, 4, 8, 16]),
)
def test_spans_cover_the_side_and_start_where_coarse_layers_do(
    half_side: int, image_size: int, multiple: int
) -> None:
    side = -(-2 * half_side // multiple) * multiple
    spans = _spans(side, info(image_size, multiple))
    assert spans[0][0] == 0
    assert spans[-1][1] == side
    assert len({end - start for start, end in spans}) == 1
    assert all(start % multiple == 0 for start, _ in spans)
    assert max(end - start for start, end in spans) <= 2 * image_size
    total = np.zeros(side)
    for (start, end), weights in zip(spans, _weights(spans), strict=True):
        total[start:end] += weights
    assert total == pytest.approx(np.ones(side), abs=1e-5)


def test_what_lies_at_the_edge_of_a_tile_does_not_count() -> None:
    spans = _spans(1200, info())
    weights = list(_weights(spans))
    shared = spans[0][1] - spans[1][0]
    blind = int(BLIND * shared)
    assert len(spans) > 2
    assert not weights[1][:blind].any()
    assert not weights[1][-blind:].any()
    assert weights[0][0] == weights[-1][-1] == 1


@pytest.mark.parametrize("size", [(50, 40), (64, 500), (401, 333), (7, 3)])
def test_tiles_of_a_local_network_give_what_the_whole_picture_gives(
    weights_dir: Path, size: tuple[int, int]
) -> None:
    image = soft_picture(*size)
    result = np.asarray(translate_tiled(Translator(weights_dir), image, "photo2sketch", size))
    luma = np.asarray(image, dtype=float) @ [0.299, 0.587, 0.114]
    assert result.shape == luma.shape
    assert np.abs(result - luma).max() <= 1


def test_steps_in_brightness_between_tiles_do_not_show(weights_dir: Path) -> None:
    """A ramp from black to white: each tile loses its mean, so neighbours differ by far."""
    ramp = np.linspace(60, 200, 512)[None].repeat(80, axis=0).astype(np.uint8)
    image = Image.fromarray(ramp).convert("RGB")
    translator = NormalisingTranslator(weights_dir)
    result = np.asarray(translate_tiled(translator, image, "photo2sketch", image.size), dtype=int)
    assert np.abs(np.diff(result, axis=1)).max() <= 4
    assert translator.largest <= (2 * IMAGE_SIZE) ** 2


def test_the_network_is_never_given_sides_that_it_cannot_take(tmp_path: Path) -> None:
    write_generator(tmp_path, "photo2sketch", size_multiple=4)
    image = soft_picture(333, 177)
    result = translate_tiled(Translator(tmp_path), image, "photo2sketch", (666, 354))
    assert result.size == (666, 354)
    assert result.mode == "L"


def test_the_edge_that_networks_draw_is_cut_off(weights_dir: Path) -> None:
    class Framing(Translator):
        def run_prepared(self, prepared: list[Prepared]) -> list[Float32Array]:
            results = super().run_prepared(prepared)
            for planes in results:
                planes[:, :3] = planes[:, -3:] = planes[:, :, :3] = planes[:, :, -3:] = -1
            return results

    for size in ((60, 60), (300, 200)):
        white = Image.new("RGB", size, "white")
        result = translate_tiled(Framing(weights_dir), white, "photo2sketch", size)
        assert np.asarray(result).min() == 255
