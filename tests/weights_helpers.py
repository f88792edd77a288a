"""Tiny generators for tests of inference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from facesketch.weights_info import (
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    Direction,
    WeightsInfo,
    file_name,
)

LUMA = [0.299, 0.587, 0.114]
TINT = [1.0, 0.5, 0.0]  # a white pixel becomes (255, 191, 128)
COLOURS = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]  # a sketch of three channels, as the photo
IMAGE_SIZE = 64
STYLES = {"hatch": [1.0, 0.0, 0.0], "edge": [0.0, 1.0, 0.0], "line": [0.0, 0.0, 1.0]}
"""What tiny generators of three styles draw: a photo's red, its green, its blue; default first."""


def write_generator(
    folder: Path,
    direction: Direction,
    *,
    size_multiple: int = 8,
    changes: Mapping[str, object] | None = None,
    weight: list[float] | None = None,
) -> Path:
    """Write a tiny generator with honest metadata: luma one way, a tint the other way.

    With `size_multiple` 4 it halves its input twice and doubles it twice, so that it returns
    another size for sides that are no multiples of 4. `changes` makes the metadata lie;
    `weight` takes the place of luma or tint; `COLOURS` makes coloured sketches.
    """
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    to_sketch = direction == "photo2sketch"
    weight = weight or (LUMA if to_sketch else TINT)
    shape_in: Literal[1, 3] = 3 if to_sketch else 1
    shape_out: Literal[1, 3] = 1 if len(weight) == shape_in else 3
    nodes, source = [], INPUT_NAME
    if size_multiple == 4:
        pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
        nodes += [
            helper.make_node("AveragePool", [INPUT_NAME], ["half"], **pool),
            helper.make_node("AveragePool", ["half"], ["quarter"], **pool),
            helper.make_node("Resize", ["quarter", "", "scales"], ["coarse"], mode="nearest"),
        ]
        source = "coarse"
    nodes.append(helper.make_node("Conv", [source, "weight"], [OUTPUT_NAME]))
    graph = helper.make_graph(
        nodes,
        direction,
        [helper.make_tensor_value_info(INPUT_NAME, floats, ["b", shape_in, "h", "w"])],
        [helper.make_tensor_value_info(OUTPUT_NAME, floats, ["b", shape_out, "h2", "w2"])],
        [
            helper.make_tensor("weight", floats, [shape_out, shape_in, 1, 1], weight),
            helper.make_tensor("scales", floats, [4], [1, 1, 4, 4]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = WeightsInfo(
        direction=direction,
        architecture="test",
        image_size=IMAGE_SIZE,
        input_channels=shape_in,
        output_channels=shape_out,
        size_multiple=size_multiple,
        training_data="none",
        step=0,
        licence="Apache-2.0",
    ).model_copy(update=changes)
    helper.set_model_props(model, {METADATA_KEY: info.model_dump_json()})
    path = folder / file_name(direction, info.style)
    path.write_bytes(model.SerializeToString())
    return path


def write_styles(folder: Path) -> Path:
    """Write a folder as a training of several styles exports it: one photo2sketch for each."""
    for style, weight in STYLES.items():
        changes = {"style": style, "styles": tuple(STYLES)}
        write_generator(folder, "photo2sketch", changes=changes, weight=weight)
    write_generator(folder, "sketch2photo", changes={"styles": tuple(STYLES)})
    return folder
