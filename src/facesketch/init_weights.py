"""Start a training from generators that exist: an export, shipped weights or another run."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from facesketch import checkpoint
from facesketch.config import TrainConfig
from facesketch.cyclegan import CycleGAN
from facesketch.errors import MissingExtraError, WeightsError
from facesketch.models.layers import load_folded
from facesketch.weights_folder import generator_file
from facesketch.weights_info import DIRECTIONS, SHIPPED_WEIGHTS, WeightsInfo

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
    try:
        if not checkpoint.list_checkpoints(source):
            for direction in DIRECTIONS:
                load_folded(
                    model.generators()[direction], read_onnx(generator_file(source, direction))
                )
            _log.info("Generators from %s; discriminators start anew.", source)
            return
        saved = checkpoint.load_latest(source)
        for direction in DIRECTIONS:
            model.generators()[direction].load_state_dict(saved.generator_state(direction))
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"the generators in {source} do not fit generator={config.generator} with "
            f"sketch_channels={config.sketch_channels}; set these as they were trained."
        ) from error
    if saved.settings.disc_filters == config.disc_filters:
        for domain, discriminator in model.discriminators().items():
            discriminator.load_state_dict(saved.discriminator_state(domain))
        _log.info("Generators and discriminators from %s.", saved.path)
    else:
        _log.info("Generators from %s; discriminators of another size start anew.", saved.path)


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Read the parameters of an exported generator by name.

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
    WeightsInfo.from_metadata({p.key: p.value for p in model.metadata_props}, str(path))
    return {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
