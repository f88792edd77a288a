"""Weights of an ONNX file in 16 bits: half the size, and floats again when it is loaded.

Each large initializer X becomes X.half, float16, and a Cast node that makes X of it. Runtimes fold
the Cast while they load, so that nothing is slower or less exact than the rounding itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SUFFIX = ".half"
MIN_VALUES = 256
"""Values from which on an initializer is worth a node."""


def store_half(model: Any) -> None:
    """Round the large float32 initializers of an onnx.ModelProto to float16, in place.

    Raises:
        OverflowError: If a weight is too large for 16 bits.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_VALUES:
            continue
        name = tensor.name
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise OverflowError(f"{name} holds weights that float16 cannot")
        tensor.CopyFrom(numpy_helper.from_array(rounded, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def restore_floats(model: Any) -> None:
    """Undo `store_half`, but for the rounding, in place; other models stay as they are."""
    from onnx import numpy_helper  # noqa: PLC0415

    restored = set()
    for tensor in model.graph.initializer:
        if tensor.name.endswith(SUFFIX):
            values = numpy_helper.to_array(tensor).astype(np.float32)
            name = tensor.name.removesuffix(SUFFIX)
            tensor.CopyFrom(numpy_helper.from_array(values, name))
            restored.add(name)
    kept = [node for node in model.graph.node if not restored.intersection(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
