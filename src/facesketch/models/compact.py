"""The light generator: a U-shaped, norm-free network, 3.2 GMACs and 1.5 M parameters at 256 px."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch.models.layers import RELU_GAIN, WSConv2d


class NormFreeBlock(nn.Module):
    """x + 0.5 conv(act(conv(act(x)))), the pre-activation block of NF-ResNets."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = WSConv2d(channels, channels, 3)
        self.conv2 = WSConv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + 0.5 * self.conv2(_act(self.conv1(_act(x))))  # type: ignore[no-any-return]


class CompactGenerator(nn.Module):
    """Most of the work at 1/8 of the resolution, detail carried by additive skips.

        H       pixel-unshuffle                             16, output
        H/2     32                  - - - - - - + - - - -   32, block
        H/4     64, block           - - - - - - + - - - -   64, block
        H/8     128, 4 blocks       ---------------------

    Every upsampling is a nearest-neighbour resize before a convolution (Odena et al. 2016), so
    that no checkerboard arises; a pixel-shuffle at the end, tried first, learned dotted lines.
    """

    size_multiple = 8

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.stem = WSConv2d(4 * in_channels, 32, 3)
        self.down1 = WSConv2d(32, 64, 3, stride=2)
        self.enc1 = NormFreeBlock(64)
        self.down2 = WSConv2d(64, 128, 3, stride=2)
        self.middle = nn.Sequential(*(NormFreeBlock(128) for _ in range(4)))
        self.up2 = WSConv2d(128, 64, 3)
        self.dec1 = NormFreeBlock(64)
        self.up1 = WSConv2d(64, 32, 3)
        self.dec0 = NormFreeBlock(32)
        self.up0 = WSConv2d(32, 16, 3)
        self.head = nn.Conv2d(16, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Translate (B, in, H, W) in [-1, 1] to (B, out, H, W) in [-1, 1]; H, W multiples of 8."""
        half = self.stem(F.pixel_unshuffle(x, 2))  # (B, 32, H/2, W/2)
        quarter = self.enc1(self.down1(_act(half)))  # (B, 64, H/4, W/4)
        x = self.middle(self.down2(_act(quarter)))  # (B, 128, H/8, W/8)
        x = self.dec1(quarter + self.up2(_twice(_act(x))))  # (B, 64, H/4, W/4)
        x = self.dec0(half + self.up1(_twice(_act(x))))  # (B, 32, H/2, W/2)
        x = self.up0(_twice(_act(x)))  # (B, 16, H, W)
        return torch.tanh(self.head(_act(x)))


def _act(x: Tensor) -> Tensor:
    return F.relu(x) * RELU_GAIN


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
