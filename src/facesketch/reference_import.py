"""Bring in generators trained with pytorch-CycleGAN-and-pix2pix: weights only, never code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from facesketch import images
from facesketch.errors import ImageError, WeightsError
from facesketch.export import Exported, export_generator, refuse_others
from facesketch.models import ResNetGenerator
from facesketch.weights_info import Direction, WeightsInfo, file_name

_BLOCKS = {6: "resnet6", 9: "resnet9"}


def import_generator(
    path: Path,
    direction: Direction,
    out: Path,
    *,
    image_size: int = 256,
    licence: str = "not stated",
    photos: list[Path] | None = None,
) -> Exported:
    """Turn a `*_net_G*.pth` into an ONNX file of ours, checked against PyTorch.

    ResNet generators with instance norm are taken, with or without dropout (which does nothing
    at test time there), of any width, with transposed convolutions.

    Args:
        path: State dict written by the reference.
        direction: What the generator does.
        out: Folder for the ONNX file.
        image_size: `--crop_size` that it was trained with, px.
        licence: Licence of the weights.
        photos: Pictures for the parity check; default noise.

    Raises:
        WeightsError: If it is no such generator.
        ExportError: If ONNX Runtime and PyTorch differ, or the folder holds other generators of
            drawings.
    """
    network = read_generator(path)
    in_channels, out_channels = network.in_channels, network.out_channels
    info = WeightsInfo(
        direction=direction,
        architecture=_BLOCKS[network.num_blocks],
        image_size=image_size,
        input_channels=_one_or_three(in_channels, path),
        output_channels=_one_or_three(out_channels, path),
        size_multiple=network.size_multiple,
        training_data=f"unknown; imported from {path.name}",
        step=0,
        licence=licence,
    )
    if direction == "photo2sketch":
        refuse_others(out, [file_name(direction)])
    return export_generator(
        network, info, out, _parity_batch(photos or [], in_channels, image_size)
    )


def _one_or_three(channels: int, path: Path) -> Literal[1, 3]:
    if channels == 1:
        return 1
    if channels == 3:
        return 3
    raise WeightsError(f"{path} works on {channels} channels; only 1 and 3 are pictures.")


def _parity_batch(photos: list[Path], channels: int, size: int) -> images.Float32Array:
    """Stack pictures (or noise) as (B, C, size, size), range [-1, 1]."""
    if not photos:
        noise = np.random.default_rng(0).uniform(-1, 1, (2, channels, size, size))
        return noise.astype(np.float32)
    mode: images.Mode = "RGB" if channels == 3 else "L"
    planes = []
    for photo in photos:
        try:
            image = images.resize_cover(images.open_image(photo, mode), size)
        except ImageError as error:
            raise ImageError(f"{error} It was named for the parity check.") from error
        planes.append(images.normalise(np.asarray(image.crop((0, 0, size, size)))))
    return np.stack(planes)


def read_generator(path: Path) -> ResNetGenerator:
    """Read a generator of the reference.

    Raises:
        WeightsError: If the file is broken or another network.
    """
    state = _load_state(path)
    names = [name for name in state if name.endswith(".weight") and state[name].ndim == 4]
    if any("running_mean" in name for name in state) and any(
        state[name].ndim == 1 for name in state if name.endswith(".weight")
    ):
        raise WeightsError(
            f"{path} uses batch norm; only --norm instance, the default of CycleGAN, is taken."
        )
    if not names or not names[0].startswith("model."):
        raise WeightsError(f"{path} is not a ResNet generator of pytorch-CycleGAN-and-pix2pix.")
    num_blocks, rest = divmod(sum(".conv_block." in name for name in names), 2)
    if rest or num_blocks not in _BLOCKS:
        raise WeightsError(
            f"{path} has {num_blocks} residual blocks; --netG resnet_6blocks and resnet_9blocks "
            "are taken."
        )
    first, last = state[names[0]], state[names[-1]]
    network = ResNetGenerator(
        first.shape[1], last.shape[0], num_blocks, "transpose", filters=first.shape[0]
    )
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    if len(convs) != len(names):
        raise WeightsError(f"{path} has {len(names)} convolutions where {len(convs)} are expected.")
    with torch.no_grad():
        for conv, name in zip(convs, names, strict=True):
            _copy(conv.weight, state[name], path, name)
            bias = state.get(name.removesuffix("weight") + "bias")
            assert conv.bias is not None  # noqa: S101  # built with biases
            if bias is None:
                conv.bias.zero_()
            else:
                _copy(conv.bias, bias, path, name)
    return network


def _copy(target: Tensor, source: Tensor, path: Path, name: str) -> None:
    if target.shape != source.shape:
        raise WeightsError(
            f"{path}: {name} has shape {tuple(source.shape)}, expected {tuple(target.shape)}."
        )
    target.copy_(source)


def _load_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"{path} does not exist.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of a bare pickle that it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load answers foreign and hostile files with many kinds of exception.
        raise WeightsError(
            f"{path} is not a file of plain weights ({type(error).__name__}); nothing was run."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} is no state dict; give the reference's latest_net_G_A.pth.")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
