"""PyTorch to ONNX, with a parity check that can fail."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facesketch import checkpoint
from facesketch.config import TrainConfig
from facesketch.cyclegan import build_generator, channels_of
from facesketch.data.dataset import Domains, find_domains, whole_crops
from facesketch.errors import DataError, ExportError, MissingExtraError
from facesketch.half import store_half
from facesketch.images import Float32Array, Mode
from facesketch.models import Generator
from facesketch.models.layers import fold
from facesketch.onnx_runtime import ort, session_options
from facesketch.weights_info import (
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    Direction,
    WeightsInfo,
    file_name,
    int8_path,
)
from facesketch.writing import write_whole

OPSET = 18
MAX_DIFFERENCE = 1e-3
"""Largest allowed difference to PyTorch, range [-1, 1]; an eighth of one 8-bit level."""

MAX_ROUNDING = 1e-3
"""The same on average where weights are rounded to 16 bits: a pixel that `clean_paper` nearly took
for paper may differ by some levels and do no harm."""

NUM_PARITY_IMAGES = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """One ONNX file and its largest difference to PyTorch on the parity images."""

    path: Path
    max_difference: float
    num_images: int


def export_run(
    run: Path,
    out: Path,
    *,
    best: bool = False,
    changes: Mapping[str, object] | None = None,
    half: bool = False,
) -> list[Exported]:
    """Export the averaged generators of a run's newest checkpoint, or the best by KID.

    Args:
        run: Folder of a training run.
        out: Folder for sketch2photo.onnx and photo2sketch.onnx, of several styles one each.
        best: Take those with the lowest KID on the validation split.
        changes: Settings that differ from the run's: `data`, or `photos` and `sketches`, for the
            parity check; `licence` and `training_data`.
        half: Store weights in 16 bits, for files of half the size.

    Raises:
        ConfigError: If one of the two folders of images is missing.
        CheckpointError: If the run has no usable checkpoint, or no best one.
        DataError: If there are no images to check with.
        ExportError: If ONNX Runtime and PyTorch differ, or the folder holds other generators. What
            is there already stays as it was then.
    """
    saved = checkpoint.load_best(run) if best else checkpoint.load_latest(run)
    config = saved.settings
    refuse_others(out, [file_name(*each) for each in files_of(config)])
    changed = changed_settings(config, changes or {})
    batches = parity_batches(changed)
    exported = []
    with ExitStack() as files:  # all appear or none, as a folder is of one run
        for direction, style in files_of(config):
            network = trained_generator(saved, direction)
            channels = channels_of(config, direction)
            info = WeightsInfo(
                direction=direction,
                architecture=config.generator,
                image_size=config.image_size,
                input_channels=channels[0],
                output_channels=channels[1],
                size_multiple=network.size_multiple,
                style=style,
                styles=config.style_names if config.styles else (),
                clean_paper=config.clean_paper if direction == "photo2sketch" else 0,
                training_data=changed.training_data or describe_data(config),
                step=saved.step,
                licence=changed.licence,
            )
            file = _checked_file(network, info, out, batches[direction], half=half)
            exported.append(files.enter_context(file))
    return exported


def changed_settings(config: TrainConfig, changes: Mapping[str, object]) -> TrainConfig:
    """Return a run's settings with those that an export may change; see `export_run`.

    Folders of images given anew take the place of all of the run's, of those of validation too.
    """
    replaced = {"val_photos": None, "val_sketches": None} if "photos" in changes else {}
    return checkpoint.merge_settings(config, replaced | dict(changes))


def files_of(config: TrainConfig) -> list[tuple[Direction, str]]:
    """Return direction and style of each file that a run is exported to."""
    return [*(("photo2sketch", name) for name in config.style_names), ("sketch2photo", "")]


def refuse_others(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder with generators of drawings that would stay beside those of these names.

    Raises:
        ExportError: If there are some.
    """
    own = {out / name for name in names}
    others = {*out.glob("photo2sketch*.onnx")} - own - {int8_path(path) for path in own}
    if others:
        names = ", ".join(sorted(path.name for path in others))
        raise ExportError(
            f"{out} holds generators of another run ({names}); give an empty folder, or delete "
            "them."
        )


def trained_generator(saved: checkpoint.Checkpoint, direction: Direction) -> Generator:
    """Build one averaged generator of a run, as its checkpoint has it."""
    network = build_generator(saved.settings, direction)
    network.load_state_dict(saved.generator_state(direction))
    return network


def describe_data(config: TrainConfig) -> str:
    """Name the folders a run learned from, without the way to them."""
    if config.data is not None:
        return Path(config.data).name
    assert config.photos is not None  # noqa: S101  # validated together with sketches
    assert config.sketches is not None  # noqa: S101
    return f"photos of {config.photos.name}, sketches of {config.sketches.name}"


def parity_batches(config: TrainConfig) -> dict[Direction, Float32Array]:
    """Read real images for the parity check.

    Returns:
        By direction, (B, C, H, W), float32, range [-1, 1].
    """
    try:
        domains = find_domains(config, "val") or find_domains(config)
    except DataError as error:
        raise DataError(
            f"{error} The parity check needs real images; name some with --data, or --photos "
            "and --sketches."
        ) from error
    return {
        "photo2sketch": _read(domains, "photo", config.image_size, "RGB"),
        "sketch2photo": _read(domains, "sketch", config.image_size, config.sketch_mode),
    }


def _read(domains: Domains, domain: str, size: int, mode: Mode) -> Float32Array:
    folder = domains.photos if domain == "photo" else domains.sketches
    crops = whole_crops(folder, range(len(folder)), NUM_PARITY_IMAGES, size, mode)
    return np.stack([crop.numpy() for crop in crops])


def export_generator(
    network: Generator,
    info: WeightsInfo,
    out: Path,
    batch: Float32Array,
    *,
    half: bool = False,
) -> Exported:
    """Write one ONNX file, checked before it appears under its name.

    The graph takes any batch, and heights and widths that are multiples of `info.size_multiple`.

    Args:
        network: Trained generator.
        info: Metadata to store.
        out: Folder.
        batch: Real images for the check, (B, C, H, W), range [-1, 1].
        half: Store weights in 16 bits.

    Raises:
        ExportError: If the largest difference to PyTorch is above `MAX_DIFFERENCE`, or what
            rounding weights to 16 bits then makes on average is above `MAX_ROUNDING`.
    """
    with _checked_file(network, info, out, batch, half=half) as exported:
        return exported


@contextmanager
def _checked_file(
    network: Generator, info: WeightsInfo, out: Path, batch: Float32Array, *, half: bool
) -> Iterator[Exported]:
    """Do what `export_generator` does; the file gets its name when the block ends well."""
    path = out / file_name(info.direction, info.style)
    style = info.styles.index(info.style) if info.style else 0
    folded = fold(network, style).eval()
    with _explain_disk(path), write_whole(path) as partial:
        _write_onnx(folded, info, partial)
        shapes = _parity_shapes(batch, info)
        largest, _ = parity(network, partial, shapes, style)
        _refuse_above(MAX_DIFFERENCE, largest, path)
        if half:
            _store_half(partial)
            largest, mean = parity(network, partial, shapes, style)
            _refuse_above(MAX_ROUNDING, mean, path, "on average ")
        yield Exported(path, largest, len(batch))
    former = int8_path(path)
    if former.is_file():
        former.unlink()
        _log.info("Deleted %s, which was of other weights; quantize makes a new one.", former)


def _refuse_above(limit: float, difference: float, path: Path, which: str = "") -> None:
    if not difference <= limit:  # NaN is not, either
        raise ExportError(
            f"{path.name} differs {which}from PyTorch by {difference:.2g} (allowed {limit}); "
            "nothing was written."
        )


def _store_half(path: Path) -> None:
    import onnx  # noqa: PLC0415

    model = onnx.load(str(path))
    try:
        store_half(model)
    except OverflowError as error:
        raise ExportError(f"{error}; export without --half.") from error
    onnx.save(model, str(path))


@contextmanager
def _explain_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written ({error.strerror or error}); make room there, or give "
            "another folder with -o."
        ) from error


def _parity_shapes(batch: Float32Array, info: WeightsInfo) -> list[Float32Array]:
    """Vary batch, height and width, so that a dimension frozen by the exporter is found."""
    m = info.size_multiple
    height, width = (side // m * m for side in batch.shape[2:])
    return [batch[:, :, :height, :width], batch[:1, :, : height - m, :width].copy()]


def parity(
    network: nn.Module, path: Path, batches: Sequence[Float32Array], style: int = 0
) -> tuple[float, float]:
    """Return by how much PyTorch and ONNX Runtime differ: at most, and on average.

    Args:
        network: Generator as it was trained.
        path: What it was exported to.
        batches: Images, each (B, C, H, W), range [-1, 1].
        style: Number of the style that was exported.

    Returns:
        Absolute differences, range [-1, 1]: the largest, and the mean of the batch where that is
        largest.
    """
    session = ort.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    differences = []
    for batch in map(np.ascontiguousarray, batches):
        (actual,) = session.run([OUTPUT_NAME], {INPUT_NAME: batch})
        styles = torch.full((len(batch),), style)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(batch), styles).numpy()
        differences.append(np.abs(actual - expected))
    largest, mean = (np.max([take(each) for each in differences]) for take in (np.max, np.mean))
    return float(largest), float(mean)


def _write_onnx(network: nn.Module, info: WeightsInfo, path: Path) -> None:
    try:
        import onnx_ir  # noqa: PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch export", "train") from error
    side = 8 * info.size_multiple
    example = torch.zeros(2, info.input_channels, side, side + info.size_multiple)
    dynamic = torch.export.Dim.DYNAMIC
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            external_data=False,
            optimize=False,  # keeps parameter names for --init-from; ONNX Runtime optimises on load
            verbose=False,
        )
    assert program is not None  # noqa: S101  # dynamo=True returns a program
    model = program.model
    model.graph.inputs[0].shape = onnx_ir.Shape(["batch", info.input_channels, "height", "width"])
    model.graph.outputs[0].shape = onnx_ir.Shape(["batch", info.output_channels, "height", "width"])
    model.metadata_props[METADATA_KEY] = info.model_dump_json()
    model.producer_name = "facesketch"
    onnx_ir.save(model, str(path))
