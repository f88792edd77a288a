"""The ResNet generator of Zhu et al. 2017 (appendix 7.2), after Johnson et al. 2016."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facesketch.models.layers import init_gaussian
from facesketch.models.winograd import WinogradConv2d


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3, reflection padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            WinogradConv2d(channels, channels),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            WinogradConv2d(channels, channels),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.body(x)  # type: ignore[no-any-return]


_ENCODER = (3, 6, 9)
"""Last layers of the three stages of the encoder, at 1, 1/2 and 1/4 of the resolution."""


class ResNetGenerator(nn.Module):
    """c7s1-64, d128, d256, R256 x `num_blocks`, u128, u64, c7s1-C.

    With 3 -> 3 channels and 9 blocks it has 11,378,179 parameters. `upsample="resize"` replaces
    the transposed convolutions by nearest-neighbour resize and 3x3 convolution (Odena et al.
    2016), which has the same number of parameters and cannot make checkerboards.
    """

    size_multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: int,
        upsample: Literal["transpose", "resize"],
        filters: int = 64,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.encoder_channels = (filters, 2 * filters, 4 * filters)
        self.num_blocks = num_blocks
        f = filters
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), *_conv(in_channels, f, 7)]
        layers += [*_conv(f, 2 * f, 3, stride=2, padding=1)]
        layers += [*_conv(2 * f, 4 * f, 3, stride=2, padding=1)]
        layers += [ResidualBlock(4 * f) for _ in range(num_blocks)]
        layers += [*_up(4 * f, 2 * f, upsample), *_up(2 * f, f, upsample)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(f, out_channels, 7)]
        self.layers = nn.Sequential(*layers)
        init_gaussian(self)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Translate (B, in, H, W) in [-1, 1] to (B, out, H, W) in [-1, 1]; it has one style."""
        return torch.tanh(self.layers(x).float())  # bfloat16 is 1 from tanh(3.5) on

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the encoder's maps: (B, 64, H, W), (B, 128, H/2, W/2), (B, 256, H/4, W/4)."""
        result = []
        for number in range(_ENCODER[-1] + 1):
            x = self.layers[number](x)
            if number in _ENCODER:
                result.append(x)
        return result


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
    return [conv, nn.InstanceNorm2d(out_channels), nn.ReLU(inplace=True)]


def _up(in_channels: int, out_channels: int, upsample: str) -> list[nn.Module]:
    if upsample == "resize":
        return [
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_conv(in_channels, out_channels, 3, padding=1),
        ]
    conv = nn.ConvTranspose2d(in_channels, out_channels, 3, 2, padding=1, output_padding=1)
    return [conv, nn.InstanceNorm2d(out_channels), nn.ReLU(inplace=True)]
