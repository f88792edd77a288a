"""Start a training from generators that exist: an export, shipped weights or another run."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from facesketch import checkpoint
from facesketch.config import TrainConfig
from facesketch.cyclegan import CycleGAN
from facesketch.errors import CheckpointError, MissingExtraError, WeightsError
from facesketch.export import trained_generator
from facesketch.half import restore_floats
from facesketch.models.layers import fold, load_folded
from facesketch.teacher import Teacher
from facesketch.weights_folder import available_styles, generator_file
from facesketch.weights_info import (
    DIRECTIONS,
    SHIPPED_WEIGHTS,
    Direction,
    WeightsInfo,
    file_name,
)

_log = logging.getLogger(__name__)


def load_networks(model: CycleGAN, config: TrainConfig, source: Path) -> None:
    """Load networks from a folder of ONNX files or from a run's newest checkpoint.

    A run gives its averaged generators, and its discriminators where they have the same shape; an
    export has generators alone.

    Args:
        model: Networks to fill.
        config: Settings of the new training.
        source: What `facesketch export` wrote, a run's folder, or "shipped".

    Raises:
        WeightsError: If the files are missing or the generators of another architecture.
    """
    if source == Path("shipped"):
        source = SHIPPED_WEIGHTS
    generators = model.generators()
    try:
        if not checkpoint.list_checkpoints(source):
            files = {
                direction: [read_onnx(path) for path in paths]
                for direction, paths in _exported_files(source, config).items()
            }
            for direction, exported in files.items():
                load_folded(generators[direction], [parameters for _, parameters in exported])
            about, _ = files["photo2sketch"][0]
            _compare_paper(config, source, about.clean_paper)
            _log.info("Generators from %s; discriminators start anew.", source)
            return
        saved = checkpoint.load_latest(source)
        for direction in DIRECTIONS:
            _load_generator(generators[direction], direction, config, saved)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"the generators in {source} do not fit generator={config.generator} with "
            f"sketch_channels={config.sketch_channels} and upsample={config.upsample}; set these "
            "as they were trained."
        ) from error
    _compare_paper(config, source, saved.settings.clean_paper)
    _load_discriminators(model, config, saved)


def load_teacher(config: TrainConfig, run: Path) -> Teacher:
    """Load the averaged generators of a run, for another to imitate.

    Args:
        config: Settings of the one that learns.
        run: The run's folder.

    Raises:
        CheckpointError: If the run has no usable checkpoint.
        WeightsError: If it draws in other styles, or takes no pictures of that size.
    """
    try:
        saved = checkpoint.load_latest(run)
    except CheckpointError as error:
        raise CheckpointError(
            f"the teacher cannot be loaded: {error} Say where its run is with --teacher."
        ) from error
    former = saved.settings
    if len(former.style_names) > 1 and former.style_names != config.style_names:
        raise WeightsError(
            f"the teacher in {run} draws in the styles {', '.join(former.style_names)}; set styles "
            "to the same ones, or take a teacher that has one."
        )
    generators = {direction: trained_generator(saved, direction) for direction in DIRECTIONS}
    multiple = generators["photo2sketch"].size_multiple
    if config.image_size % multiple:
        raise WeightsError(
            f"the teacher in {run} ({former.generator}) takes sides of a multiple of {multiple} "
            f"px; set image_size to one, not {config.image_size}, or take another teacher."
        )
    _log.info("Teacher: the generators (%s) of %s.", former.generator, saved.path)
    digest = hashlib.blake2b(digest_size=4)
    for direction in DIRECTIONS:
        for tensor in saved.generator_state(direction).values():
            digest.update(tensor.numpy().tobytes())
    version = f"step {saved.step}, {digest.hexdigest()}"
    return Teacher(generators, former.sketch_channels, version)


def _exported_files(source: Path, config: TrainConfig) -> dict[Direction, list[Path]]:
    """Name the files to start from, for photo2sketch one a style; a new style takes the default."""
    default = generator_file(source, "photo2sketch")
    offered = available_styles(source)
    drawing = [
        source / file_name("photo2sketch", name) if name in offered else default
        for name in config.style_names
    ]
    return {
        "photo2sketch": drawing,
        "sketch2photo": [generator_file(source, "sketch2photo")],
    }


def _compare_paper(config: TrainConfig, source: Path, former: float) -> None:
    if former != config.clean_paper:
        _log.warning(
            "The generators of %s were made with clean_paper %g, this run has %g: its drawings "
            "begin otherwise. To begin with theirs, set it to the same.",
            source, former, config.clean_paper,
        )  # fmt: skip


def _load_generator(
    network: nn.Module, direction: Direction, config: TrainConfig, saved: checkpoint.Checkpoint
) -> None:
    """Fill a generator from a run's; a style that the run did not learn takes its default."""
    known = saved.settings.style_names
    if direction == "sketch2photo" or known == config.style_names:
        network.load_state_dict(saved.generator_state(direction))
        return
    trained = trained_generator(saved, direction)
    styles = [known.index(name) if name in known else 0 for name in config.style_names]
    load_folded(network, [fold(trained, style).state_dict() for style in styles])


def _load_discriminators(
    model: CycleGAN, config: TrainConfig, saved: checkpoint.Checkpoint
) -> None:
    """Fill the discriminators from a run's, where they judge alike."""
    former = saved.settings
    loaded = []
    for domain, network in model.discriminators().items():
        is_alike = domain == "photo" or former.style_names == config.style_names
        kinds = [(c.discriminator, c.disc_filters) for c in (former, config)]
        if is_alike and kinds[0] == kinds[1]:
            network.load_state_dict(saved.discriminator_state(domain))
            loaded.append(f"disc_{domain}")
    new = sorted({f"disc_{domain}" for domain in model.discriminators()}.difference(loaded))
    anew = f"; {' and '.join(new)} of another kind start anew" if new else ""
    _log.info("Generators%s from %s%s.", "".join(f", {n}" for n in loaded), saved.path, anew)


def read_onnx(path: Path) -> tuple[WeightsInfo, dict[str, Tensor]]:
    """Read what an exported generator says of itself, and its parameters by name.

    Raises:
        WeightsError: If the file is missing or was not written by `facesketch export`.
    """
    try:
        import onnx  # noqa: PLC0415
        from onnx import numpy_helper  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("--init-from", "train") from error
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; --init-from wants a folder made by export.")
    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise WeightsError(f"{path} is no ONNX file ({type(error).__name__}).") from error
    restore_floats(model)
    info = WeightsInfo.from_metadata({p.key: p.value for p in model.metadata_props}, str(path))
    return info, {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
