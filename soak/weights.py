"""Weights that are damaged, swapped, malicious or from the future: refused, or harmless.

    python -m soak.weights --seed 0 --count 320

Each trial writes such a file in place of a generator and converts a picture. What comes has to be a
sentence (WeightsError), or, where a few numbers in weights of one's own were changed, a picture of
the right size. Of weights that are shipped every change has to be found.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
from PIL import Image

from facesketch import weights_check
from facesketch.errors import WeightsError
from facesketch.translator import Translator
from facesketch.weights_check import SHIPPED, read_checked
from facesketch.weights_info import METADATA_KEY
from soak import campaign
from soak.campaign import Report
from weights_helpers import write_generator

Damage = Callable[[Path], None]


def try_weights(seed: int, count: int) -> Report:
    """Damage generators `count` times."""
    report = Report()
    rng = random.Random(seed)
    kinds = _kinds(rng)
    with tempfile.TemporaryDirectory() as temporary:
        own, shipped = Path(temporary) / "own", Path(temporary) / "shipped"
        own.mkdir()
        shutil.copytree(SHIPPED, shipped)
        for number in range(count):
            kind = list(kinds)[number % len(kinds)]
            path = write_generator(own, "photo2sketch")
            kinds[kind](path)
            report.add(f"own weights: {kind}", *_converts(own, may_work=kind in HARMLESS))
        for _ in range(count // len(kinds)):
            path = rng.choice(sorted(shipped.rglob("*.onnx")))
            report.add("shipped weights: bytes changed", *_is_accepted(path, shipped, rng))
    return report


def _converts(folder: Path, *, may_work: bool) -> tuple[str, str | None]:
    """Convert a picture; say how that ended, and whether it should not have."""
    try:
        sketch = Translator(folder, num_threads=1).to_sketch(Image.new("RGB", (64, 48), "white"))
    except WeightsError as error:
        is_told = "photo2sketch" in str(error) and str(error).count("\n") == 0
        return "refused with a sentence", None if is_told else f"names no file: {error}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
        return type(error).__name__, f"{type(error).__name__}: {error}"
    wrong = None if may_work and sketch.size == (64, 48) else "it was taken"
    return "converts, other numbers", wrong


def _is_accepted(path: Path, shipped: Path, rng: random.Random) -> tuple[str, str | None]:
    """Change a shipped file, look whether that is found, and change it back."""
    whole = path.read_bytes()
    _flip(path, rng)
    original, weights_check.SHIPPED = weights_check.SHIPPED, shipped
    try:
        read_checked(path)
    except WeightsError:
        return "refused with a sentence", None
    finally:
        weights_check.SHIPPED = original
        path.write_bytes(whole)
    return "not found", f"{path.name} was changed and taken"


def _kinds(rng: random.Random) -> dict[str, Damage]:
    return {
        "cut off": lambda path: os.truncate(path, rng.randrange(path.stat().st_size)),
        "bytes changed": lambda path: _flip(path, rng),
        "a file of noise": lambda path: _write(path, rng.randbytes(rng.choice([0, 9, 5_000]))),
        "sketch2photo under its name": _swap,
        "another style under its name": lambda path: _metadata(path, '"style":""', '"style":"x"'),
        "external data": external_data,
        "external data in a constant": in_a_constant(external_data),
        "external data in a function": in_a_function(external_data),
        "a foreign operator": foreign_operator,
        "an unknown operator": lambda path: _change(path, _rename_operator),
        "a weight of absurd shape": lambda path: _change(path, _absurd_weight),
        "a result of absurd shape": lambda path: _change(path, _absurd_result),
        "20 GB": lambda path: os.truncate(path, 20_000_000_000),
        "metadata of the future": lambda path: _metadata(path, '_version":1', '_version":2'),
        "no metadata": lambda path: _change(path, lambda model: model.ClearField("metadata_props")),
        "an ONNX of the future": lambda path: _change(path, _future_format),
        "operators of the future": lambda path: _change(path, _future_operators),
    }


HARMLESS = frozenset({"bytes changed"})
"""What may leave a file that works: numbers of one's own weights have no checksum."""


def external_data(path: Path) -> None:
    """Let a weight come from a file outside."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../../etc/passwd")

    _change(path, change)


def foreign_operator(path: Path) -> None:
    """Use an operator that a library would have to bring."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"
        model.opset_import.add(domain="com.example", version=1)

    _change(path, change)


def in_a_constant(damage: Damage) -> Damage:
    """Damage the first weight, and then hide it in a constant of the graph."""

    def both(path: Path) -> None:
        damage(path)
        _change(path, hide)

    def hide(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer.pop(0)
        node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        model.graph.node.insert(0, node)

    return both


def in_a_function(damage: Damage) -> Damage:
    """Damage the first weight, and then hide a copy of it in what a function takes by default."""

    def both(path: Path) -> None:
        whole = onnx.load_model_from_string(path.read_bytes())
        damage(path)
        _change(path, partial(hide, whole))

    def hide(whole: onnx.ModelProto, model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(model.graph.initializer[0])
        model.CopyFrom(whole)
        function = model.functions.add(name="hidden")
        function.attribute_proto.append(onnx.helper.make_attribute("value", tensor))

    return both


def _change(path: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load_model_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 5, 50])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _swap(path: Path) -> None:
    other = write_generator(path.parent, "sketch2photo")
    other.replace(path)


def _metadata(path: Path, old: str, new: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        (entry,) = (each for each in model.metadata_props if each.key == METADATA_KEY)
        assert old in entry.value
        entry.value = entry.value.replace(old, new)

    _change(path, change)


def _rename_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RunCommand"


def _absurd_weight(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**40, 2**20])


def _absurd_result(model: onnx.ModelProto) -> None:
    """Let the network enlarge its result to petabytes."""
    scales = onnx.helper.make_tensor("grow", onnx.TensorProto.FLOAT, [4], [1, 1, 2**20, 2**20])
    model.graph.initializer.append(scales)
    name = model.graph.output[0].name
    model.graph.node[-1].output[0] = "small"
    resize = onnx.helper.make_node("Resize", ["small", "", "grow"], [name], mode="nearest")
    model.graph.node.append(resize)


def _future_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def _future_operators(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


if __name__ == "__main__":
    campaign.run(try_weights, __doc__, count=320, of_what="damaged files of one's own")
