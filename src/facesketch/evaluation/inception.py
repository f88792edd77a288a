"""Inception v3 as FID has it: TensorFlow's network of 2015, ported by pytorch-fid (Apache-2.0).

Heusel et al. 2017 define FID by this network and its weights, resize and pooling included, so a
file with any other weights is refused. Checked against torch-fidelity, which cannot be installed
beside a CPU torch.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesketch.errors import WeightsError

SHA256_START = "6726825d"
"""Of the standard weights; it is part of their file name, pt_inception-2015-12-05-6726825d.pth."""

NUM_CLASSES = 1008

Layer: TypeAlias = tuple[str, int, tuple[int, int], int]
"""Name, output channels, kernel and stride; with stride 2 it has no padding."""

Pool: TypeAlias = Literal["average", "max", "halving"]


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int, padding: bool
    ) -> None:
        super().__init__()
        pad = (kernel[0] // 2, kernel[1] // 2) if padding else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, joined by channels; a step of two layers is a fork."""

    def __init__(
        self,
        inputs: int,
        branches: Sequence[Sequence[Sequence[Layer]]],
        pool: Pool,
        pooled: int = 0,
    ) -> None:
        super().__init__()
        self.branches = [[[layer[0] for layer in step] for step in steps] for steps in branches]
        self.pool = pool
        for steps in branches:
            width = inputs
            for step in steps:
                for name, outputs, kernel, stride in step:
                    self.add_module(name, Convolution(width, outputs, kernel, stride, stride == 1))
                width = sum(layer[1] for layer in step)
        if pooled:
            self.branch_pool = Convolution(inputs, pooled, (1, 1), 1, padding=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W), or half of H and W."""
        joined = []
        for steps in self.branches:
            y = x
            for names in steps:
                y = torch.cat([self.get_submodule(name)(y) for name in names], dim=1)
            joined.append(y)
        if self.pool == "halving":
            joined.append(F.max_pool2d(x, 3, stride=2))
        elif self.pool == "max":  # only in the last block, and only in this network
            joined.append(self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1)))
        else:  # TensorFlow does not count the padding
            mean = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
            joined.append(self.branch_pool(mean))
        return torch.cat(joined, dim=1)


def _layers(name: str, *specs: tuple[int, int, int]) -> list[list[Layer]]:
    """A branch of numbered layers, each by its channels, height and width of the kernel."""
    return [[(f"{name}_{i}", c, (h, w), 1)] for i, (c, h, w) in enumerate(specs, 1)]


def _halved(branch: list[list[Layer]]) -> list[list[Layer]]:
    """Let the last layer of a branch halve the size."""
    name, outputs, kernel, _ = branch[-1][0]
    return [*branch[:-1], [(name, outputs, kernel, 2)]]


def _mixed_5(inputs: int, pooled: int) -> Mixed:
    branches = [
        [[("branch1x1", 64, (1, 1), 1)]],
        _layers("branch5x5", (48, 1, 1), (64, 5, 5)),
        _layers("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
    ]
    return Mixed(inputs, branches, "average", pooled)


def _mixed_6a() -> Mixed:
    double = _layers("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3))
    return Mixed(288, [[[("branch3x3", 384, (3, 3), 2)]], _halved(double)], "halving")


def _mixed_6(c: int) -> Mixed:
    branches = [
        [[("branch1x1", 192, (1, 1), 1)]],
        _layers("branch7x7", (c, 1, 1), (c, 1, 7), (192, 7, 1)),
        _layers("branch7x7dbl", (c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
    ]
    return Mixed(768, branches, "average", 192)


def _mixed_7a() -> Mixed:
    branches = [
        _halved(_layers("branch3x3", (192, 1, 1), (320, 3, 3))),
        _halved(_layers("branch7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))),
    ]
    return Mixed(768, branches, "halving")


def _mixed_7(inputs: int, pool: Pool) -> Mixed:
    def fork(name: str) -> list[Layer]:
        return [(f"{name}a", 384, (1, 3), 1), (f"{name}b", 384, (3, 1), 1)]

    branches = [
        [[("branch1x1", 320, (1, 1), 1)]],
        [*_layers("branch3x3", (384, 1, 1)), fork("branch3x3_2")],
        [*_layers("branch3x3dbl", (448, 1, 1), (384, 3, 3)), fork("branch3x3dbl_3")],
    ]
    return Mixed(inputs, branches, pool, 192)


class InceptionV3(nn.Module):
    """The network up to its pooled features, named as in the standard weights."""

    num_features = 2048
    input_size = 299

    def __init__(self) -> None:
        super().__init__()
        three = (3, 3)
        self.Conv2d_1a_3x3 = Convolution(3, 32, three, 2, padding=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, three, 1, padding=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, three, 1, padding=True)
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1), 1, padding=False)
        self.Conv2d_4a_3x3 = Convolution(80, 192, three, 1, padding=False)
        self.Mixed_5b, self.Mixed_5c = _mixed_5(192, 32), _mixed_5(256, 64)
        self.Mixed_5d, self.Mixed_6a = _mixed_5(288, 64), _mixed_6a()
        self.Mixed_6b, self.Mixed_6c = _mixed_6(128), _mixed_6(160)
        self.Mixed_6d, self.Mixed_6e = _mixed_6(160), _mixed_6(192)
        self.Mixed_7a = _mixed_7a()
        self.Mixed_7b, self.Mixed_7c = _mixed_7(1280, "average"), _mixed_7(2048, "max")
        self.fc = nn.Linear(self.num_features, NUM_CLASSES)  # in the file, not in the features

    def forward(self, x: Tensor) -> Tensor:
        """Look at pictures.

        Args:
            x: uint8, shape (B, 3, H, W), RGB.

        Returns:
            Pooled features, shape (B, 2048).
        """
        x = (_resize(x.float(), self.input_size) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))


def _resize(x: Tensor, size: int) -> Tensor:
    """Resize as TensorFlow 1 does, bilinear from the upper left corner of the pixels."""
    for dim in (3, 2):
        place = torch.arange(size, dtype=torch.float32) * (x.shape[dim] / size)
        low = place.long()
        high = (low + 1).clamp_max(x.shape[dim] - 1)
        share = (place - low).view(-1, *[1] * (3 - dim))
        start = x.index_select(dim, low)
        x = start + (x.index_select(dim, high) - start) * share
    return x


def load_inception(path: Path) -> InceptionV3:
    """Build the network with the standard weights.

    Raises:
        WeightsError: If the file is not the standard one.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); check the name.") from error
    if not digest.startswith(SHA256_START):
        raise WeightsError(
            f"{path} does not hold the standard Inception weights of FID: its SHA-256 starts with "
            f"{digest[:8]}, not {SHA256_START}; download pt_inception-2015-12-05-6726825d.pth "
            "again."
        )
    network = InceptionV3()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, AttributeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} does not fit the network; download it again.") from error
    return network.eval().requires_grad_(False)
