"""int8 variants of exported generators, for OpenVINO.

    x' = s (clip(round(x / s) + z, 0, 255) - z)        what a convolution takes, one s and z for all
    w' = s_c clip(round(w / s_c), -127, 127)           its weights, one s_c an output channel

Every convolution is followed by floats again, so that sums along the skips keep their precision,
and the first and the last are left as they are: they are a small part of the time and would be a
third of the loss. The file says so in the standard way, by QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from facesketch import images
from facesketch.errors import DataError, ExportError, MissingExtraError, WeightsError
from facesketch.half import restore_floats
from facesketch.images import Float32Array
from facesketch.listing import walk
from facesketch.onnx_runtime import ort, session_options
from facesketch.sessions import PROVIDERS, open_session
from facesketch.translator import Translator
from facesketch.weights_info import INPUT_NAME, Direction, WeightsInfo, int8_path
from facesketch.writing import write_whole

NUM_IMAGES = 128
"""Pictures taken from a folder: one half sets the ranges, the loss is measured on the other."""

TAIL = 0.005
"""Percent of an activation's values that may lie beyond its range at either end."""


@dataclass(frozen=True)
class Quantized:
    """One int8 file, and what it lost on pictures that set no range.

    Attributes:
        path: The file.
        difference: Mean absolute difference to the float32 file, in grey levels of 8 bits.
        psnr: Of int8 against float32, in dB.
        num_images: How many pictures that was measured on.
    """

    path: Path
    difference: float
    psnr: float
    num_images: int


def quantize_folder(weights: Path, folders: Mapping[Direction, Path]) -> list[Quantized]:
    """Write the int8 variant beside each generator.

    Args:
        weights: Folder that `facesketch export` wrote.
        folders: By direction, a folder of what the generator takes: photos or sketches.

    Raises:
        DataError: If a folder has fewer than two pictures.
        MissingExtraError: If onnx is not installed.
        WeightsError: If a generator is missing or broken, or has fewer than three convolutions.
    """
    default = Translator(weights)
    results = []
    for direction, folder in folders.items():
        pictures = _read(folder, default.info(direction))
        styles = default.styles if direction == "photo2sketch" else ()
        for style in styles or (None,):
            path = default.in_style(style).path(direction)
            results.append(quantize(path, pictures[::2], pictures[1::2]))
    return results


def quantize(
    source: Path, calibration: Sequence[Float32Array], held_out: Sequence[Float32Array]
) -> Quantized:
    """Write the int8 variant beside one generator.

    Args:
        source: The exported file.
        calibration: Pictures that set the ranges, each (1, C, H, W), range [-1, 1].
        held_out: Pictures on which the loss is measured.

    Raises:
        ExportError: If the file cannot be written.
        MissingExtraError: If onnx is not installed.
        WeightsError: If there are fewer than three convolutions.
    """
    onnx = _import_onnx()
    model = onnx.load(str(source))
    restore_floats(model)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"][1:-1]
    if not convolutions:
        raise WeightsError(f"{source} has no convolutions between its first and its last.")
    ranges = _ranges(model, {node.input[0] for node in convolutions}, calibration)
    _insert_quantization(model, convolutions, ranges)
    path = int8_path(source)
    try:
        with write_whole(path) as partial:
            onnx.save(model, str(partial))
            difference, psnr = _loss(source, partial, held_out)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written ({error.strerror or error}); make room there."
        ) from error
    return Quantized(path, difference, psnr, len(held_out))


def _import_onnx() -> Any:
    try:
        import onnx  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch quantize", "train") from error
    return onnx


def _read(folder: Path, info: WeightsInfo) -> list[Float32Array]:
    """Read pictures evenly spread over a folder's names, each (1, C, H, W)."""
    names = sorted(name for name, is_image in walk(folder) if is_image)
    if len(names) < 2:
        raise DataError(f"{folder} holds {len(names)} images; some set the ranges, others check.")
    side = info.image_size // info.size_multiple * info.size_multiple
    mode: images.Mode = "RGB" if info.input_channels == 3 else "L"
    planes = []
    for name in names[:: -(-len(names) // NUM_IMAGES)]:
        image = images.open_image(folder / name, mode, draft_size=side)
        square = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
        planes.append(images.normalise(np.asarray(square))[None])
    return planes


def _ranges(
    model: Any, names: set[str], calibration: Sequence[Float32Array]
) -> dict[str, tuple[float, float]]:
    """Find what the values of tensors span, without their tails, in the mean over pictures."""
    onnx = _import_onnx()
    wanted = sorted(names)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    session = ort.InferenceSession(
        watched.SerializeToString(), session_options(), providers=[PROVIDERS["cpu"]]
    )
    ends = [
        [
            np.percentile(values, (TAIL, 100 - TAIL))
            for values in session.run(wanted, {INPUT_NAME: p})
        ]
        for p in calibration
    ]  # (picture, tensor, 2)
    return {name: (lo, hi) for name, (lo, hi) in zip(wanted, np.mean(ends, axis=0), strict=True)}


def _insert_quantization(
    model: Any, convolutions: Sequence[Any], ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Put a pair of nodes before what convolutions take, and int8 in place of their weights."""
    onnx = _import_onnx()
    graph, make_node = model.graph, onnx.helper.make_node
    weights = {tensor.name: tensor for tensor in graph.initializer}

    def store(name: str, array: np.ndarray) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    before: dict[int, list[Any]] = {}  # by the node that takes it first
    restored: dict[str, str] = {}
    for node in convolutions:
        place = before.setdefault(id(node), [])
        taken = node.input[0]
        if taken not in restored:
            low, high = min(ranges[taken][0], 0.0), max(ranges[taken][1], 0.0)
            step = np.float32(max(high - low, 1e-6) / 255)
            zero = np.uint8(np.clip(round(-low / step), 0, 255))
            scale = [
                store(f"{taken}.scale", np.asarray(step)),
                store(f"{taken}.zero", np.asarray(zero)),
            ]
            restored[taken] = f"{taken}.restored"
            place.append(make_node("QuantizeLinear", [taken, *scale], [f"{taken}.int8"]))
            place.append(
                make_node("DequantizeLinear", [f"{taken}.int8", *scale], [restored[taken]])
            )
        name = node.input[1]
        weight = onnx.numpy_helper.to_array(weights[name])  # (out, in, k, k)
        steps = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-9).astype(np.float32) / 127
        rounded = np.round(weight / steps[:, None, None, None]).astype(np.int8)
        graph.initializer.remove(weights[name])
        inputs = [
            store(f"{name}.int8", rounded),
            store(f"{name}.scale", steps),
            store(f"{name}.zero", np.zeros(len(steps), np.int8)),
        ]
        place.append(make_node("DequantizeLinear", inputs, [name], axis=0))
        node.input[0] = restored[taken]
    nodes = [new for node in graph.node for new in (*before.get(id(node), []), node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _loss(source: Path, int8: Path, held_out: Sequence[Float32Array]) -> tuple[float, float]:
    """Compare both files: mean absolute difference in grey levels, and PSNR in dB."""
    exact, rough = (open_session(path, PROVIDERS["cpu"], None) for path in (source, int8))
    errors = [127.5 * (rough.run(planes) - exact.run(planes)) for planes in held_out]
    difference = float(np.mean([np.abs(error).mean() for error in errors]))
    squared = float(np.mean([np.square(error).mean() for error in errors]))
    return difference, float(10 * np.log10(255**2 / max(squared, 1e-10)))
