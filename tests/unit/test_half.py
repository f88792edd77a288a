from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from facesketch.half import SUFFIX, restore_floats, store_half  # noqa: E402
from facesketch.onnx_runtime import ort  # noqa: E402


def model_of(weights: np.ndarray) -> onnx.ModelProto:
    """image (1, N) times weights (N, M), plus a small bias."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["translated"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", floats, [1, weights.shape[0]])],
        [helper.make_tensor_value_info("translated", floats, [1, weights.shape[1]])],
        [
            onnx.numpy_helper.from_array(weights.astype(np.float32), "weights"),
            onnx.numpy_helper.from_array(np.full(1, 0.1, np.float32), "bias"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def test_weights_are_rounded_to_16_bits_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(0)
    weights, image = rng.normal(size=(40, 30)), rng.normal(size=(1, 40)).astype(np.float32)
    model = model_of(weights)
    size = len(model.SerializeToString())
    store_half(model)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.SerializeToString()) < 0.6 * size
    rounded = weights.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(run(model, image), image @ rounded + np.float32(0.1), rtol=1e-5)


def test_floats_come_back_under_their_names(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(size=(40, 30))
    model = model_of(weights)
    store_half(model)
    assert {t.name for t in model.graph.initializer} == {f"weights{SUFFIX}", "bias"}
    restore_floats(model)
    onnx.checker.check_model(model, full_check=True)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(stored["weights"], weights.astype(np.float16))
    assert stored["weights"].dtype == np.float32
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add"]


def test_a_model_that_was_not_rounded_stays_as_it_is() -> None:
    model = model_of(np.eye(20))
    before = model.SerializeToString()
    restore_floats(model)
    assert model.SerializeToString() == before


def test_a_weight_that_does_not_fit_is_named() -> None:
    with pytest.raises(OverflowError, match="weights holds"):
        store_half(model_of(np.full((20, 20), 1e6)))
