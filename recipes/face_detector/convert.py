"""Convert BlazeFace from TensorFlow Lite to the ONNX file that the package ships.

    pip install onnx tflite ai-edge-litert
    python recipes/face_detector/convert.py face_detection_short_range.tflite \
        src/facesketch/weights/face_detector.onnx

Prints the largest difference to TensorFlow Lite's own runtime and exits with 1 if it is above 1e-3.
README.md beside this file says where the input comes from.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import tflite
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]

TRAINED_SIZE = 128
SIZE_MULTIPLE = 16  # a side that is halved four times stays even until the last
TOLERANCE = 1e-3
OUTPUTS = {"regressors": 16, "classificators": 1}
INFO = {
    "source": "mediapipe 0.10.14, modules/face_detection/face_detection_short_range.tflite",
    "paper": "Bazarevsky et al. 2019, BlazeFace, arXiv:1907.05047",
    "licence": "Apache-2.0",
    "copyright": "The MediaPipe Authors",
    "size_multiple": SIZE_MULTIPLE,
}

OPERATORS = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}


class Converter:
    """One pass over the operators; activations become NCHW, and H and W are left open."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.Subgraphs(0)
        self.constants: dict[int, Array] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def convert(self) -> onnx.ModelProto:
        """Return the whole network; raises KeyError at an operator that it does not know."""
        for index in range(self.graph.TensorsLength()):
            tensor = self.graph.Tensors(index)
            data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
            if not isinstance(data, int) and data.size:
                kind = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.Type()]
                self.constants[index] = data.view(kind).reshape(tensor.ShapeAsNumpy())
        for index in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(index)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            getattr(self, name.lower())(operator, *operator.InputsAsNumpy())
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "anchors", width])
            for name, width in OUTPUTS.items()
        ]
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["b", 3, "h", "w"])
        graph = helper.make_graph(self.nodes, "blazeface", [image], outputs, self.initializers)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        helper.set_model_props(model, {"facesketch": json.dumps(INFO)})
        onnx.checker.check_model(model, full_check=True)
        return model

    def name(self, index: int) -> str:
        """Name of a tensor."""
        return str(self.graph.Tensors(index).Name().decode())

    def constant(self, name: str, value: Array) -> str:
        """Put a constant into the graph; return the name under which nodes find it."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        if value.dtype != np.float16:
            return name
        wide = f"{name}/float32"
        self.nodes.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
        return wide

    def add_node(self, kind: str, inputs: list[str], operator: Any, **attributes: Any) -> None:
        """Append a node, and the ReLU that TensorFlow Lite has fused into it."""
        output = self.name(operator.Outputs(0))
        activation = attributes.pop("activation", tflite.ActivationFunctionType.NONE)
        target = output
        if activation == tflite.ActivationFunctionType.RELU:
            target = f"{output}/linear"
            relu = helper.make_node("Relu", [target], [output])
        elif activation != tflite.ActivationFunctionType.NONE:
            raise ValueError(f"{output}: activation {activation} is not known here")
        self.nodes.append(helper.make_node(kind, inputs, [target], **attributes))
        if target != output:
            self.nodes.append(relu)

    def options(self, operator: Any, kind: str) -> Any:
        """Read the options of an operator as their own type."""
        options = getattr(tflite, kind)()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def window(self, options: Any, height: int, width: int) -> dict[str, list[int]]:
        """Strides and pads; at even sides, SAME puts the odd pixel to the right and below."""
        strides = [options.StrideH(), options.StrideW()]
        pads = [0, 0, 0, 0]
        if options.Padding() == tflite.Padding.SAME:
            totals = [max(height - strides[0], 0), max(width - strides[1], 0)]
            pads = [t // 2 for t in totals] + [t - t // 2 for t in totals]
        return {"kernel_shape": [height, width], "strides": strides, "pads": pads}

    # One method an operator, named like it.

    def dequantize(self, operator: Any, source: int) -> None:
        """Weights stay float16 in the file, half its size; a Cast brings them to float32."""
        self.constants[operator.Outputs(0)] = self.constants[source]

    def conv_2d(self, operator: Any, source: int, kernel: int, bias: int) -> None:
        """Kernels are (out, H, W, in) there and (out, in, H, W) here."""
        options = self.options(operator, "Conv2DOptions")
        self._conv(operator, options, (source, kernel, bias), (0, 3, 1, 2), depthwise=False)

    def depthwise_conv_2d(self, operator: Any, source: int, kernel: int, bias: int) -> None:
        """Kernels are (1, H, W, channels) there and (channels, 1, H, W) here."""
        options = self.options(operator, "DepthwiseConv2DOptions")
        self._conv(operator, options, (source, kernel, bias), (3, 0, 1, 2), depthwise=True)

    def _conv(
        self,
        operator: Any,
        options: Any,
        tensors: tuple[int, int, int],
        axes: tuple[int, ...],
        *,
        depthwise: bool,
    ) -> None:
        source, kernel, bias = tensors
        weight = self.constants[kernel].transpose(axes)
        self.add_node(
            "Conv",
            [
                self.name(source),
                self.constant(self.name(kernel), weight),
                self.constant(self.name(bias), self.constants[bias]),
            ],
            operator,
            group=len(weight) if depthwise else 1,
            activation=options.FusedActivationFunction(),
            **self.window(options, *weight.shape[2:]),
        )

    def max_pool_2d(self, operator: Any, source: int) -> None:
        """Two by two."""
        options = self.options(operator, "Pool2DOptions")
        window = self.window(options, options.FilterHeight(), options.FilterWidth())
        self.add_node("MaxPool", [self.name(source)], operator, **window)

    def add(self, operator: Any, left: int, right: int) -> None:
        """Sum of two activations."""
        options = self.options(operator, "AddOptions")
        inputs = [self.name(left), self.name(right)]
        self.add_node("Add", inputs, operator, activation=options.FusedActivationFunction())

    def relu(self, operator: Any, source: int) -> None:
        """Rectifier."""
        self.add_node("Relu", [self.name(source)], operator)

    def pad(self, operator: Any, source: int, pads: int) -> None:
        """Zeros behind the last channel, or around the picture."""
        before_after = self.constants[pads].reshape(4, 2)[[0, 3, 1, 2]].T  # NHWC to NCHW
        pads_here = before_after.ravel().astype(np.int64)
        name = self.constant(f"{self.name(operator.Outputs(0))}/pads", pads_here)
        self.add_node("Pad", [self.name(source), name], operator)

    def reshape(self, operator: Any, source: int, *_: int) -> None:
        """Anchors in rows, those of one place together: that needs NHWC."""
        output = self.name(operator.Outputs(0))
        last = int(self.graph.Tensors(operator.Outputs(0)).ShapeAsNumpy()[-1])
        rows = f"{output}/nhwc"
        self.nodes.append(
            helper.make_node("Transpose", [self.name(source)], [rows], perm=[0, 2, 3, 1])
        )
        shape = self.constant(f"{output}/shape", np.array([0, -1, last], np.int64))
        self.add_node("Reshape", [rows, shape], operator)

    def concatenation(self, operator: Any, *sources: int) -> None:
        """Anchors of both grids, the finer first."""
        self.add_node("Concat", [self.name(source) for source in sources], operator, axis=1)


def largest_difference(source: Path, model: onnx.ModelProto, pictures: list[Path]) -> float:
    """Largest absolute difference of any output to TensorFlow Lite's runtime."""
    interpreter = Interpreter(str(source))
    interpreter.allocate_tensors()
    names = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in _batches(pictures):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        ours = session.run(list(OUTPUTS), {"input": batch.transpose(0, 3, 1, 2)})
        for name, values in zip(OUTPUTS, ours, strict=True):
            theirs = interpreter.get_tensor(names[name])
            worst = max(worst, float(np.abs(values - theirs).max()))
    return worst


def _batches(pictures: list[Path]) -> list[Array]:
    """Noise, and pictures if there are any; each (1, 128, 128, 3), range [-1, 1]."""
    from facesketch.images import open_image  # noqa: PLC0415

    rng = np.random.default_rng(0)
    size = (TRAINED_SIZE, TRAINED_SIZE)
    batches = [rng.uniform(-1, 1, (1, *size, 3)).astype(np.float32) for _ in range(4)]
    for path in pictures:
        pixels = np.asarray(open_image(path).resize(size), dtype=np.float32)
        batches.append(pixels[None] / np.float32(127.5) - np.float32(1))
    return batches


def main() -> None:
    """Convert, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="face_detection_short_range.tflite")
    parser.add_argument("target", type=Path, help="the .onnx file to write")
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures to compare on")
    args = parser.parse_args()
    model = Converter(tflite.Model.GetRootAsModel(args.source.read_bytes(), 0)).convert()
    difference = largest_difference(args.source, model, args.pictures)
    print(f"largest difference to TensorFlow Lite: {difference:.1e}")
    if difference > TOLERANCE:
        sys.exit(1)
    args.target.write_bytes(model.SerializeToString())
    print(f"{args.target}: {args.target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
