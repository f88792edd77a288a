"""Be `facesketch` with a generator that does one thing otherwise than `compact` does.

    python recipes/ablation/designs.py batch_norm train --photos ... --sketches ... --out runs/a
    python recipes/ablation/designs.py batch_norm export runs/a -o weights

Each design has the multiplications of `compact`, 2.5 GMACs at most at 256 px, and 3 M parameters at
most. `run.py --designs` compares them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch import models
from facesketch.cli import main as facesketch
from facesketch.errors import ConfigError
from facesketch.models.compact import CompactGenerator
from facesketch.models.layers import (
    RELU_GAIN,
    WEIGHT_STD,
    PlainConv2d,
    WSConv2d,
    replace_convs,
)

BLOCKS = ("enc1", "enc2", "middle1", "middle2", "dec2", "dec1", "dec0")
EPS = 1e-5
MOMENTUM = 0.1  # of running statistics
MP_SHARE = 0.3  # of the branch in a sum (Karras et al. 2024, Eq. 88)


class NormConv2d(nn.Module):
    """Convolution and a norm on activations: of the batch (Ioffe and Szegedy 2015) or an instance.

    Statistics of the batch are folded into the convolution once it is trained. They are parameters
    without gradient, so that running averages of networks have theirs.
    """

    def __init__(self, conv: WSConv2d, *, of_batch: bool) -> None:
        super().__init__()
        self.conv = PlainConv2d.like(conv, bias=False)
        nn.init.normal_(self.conv.weight, 0.0, WEIGHT_STD)
        # A branch is as strong as in the network that this one is like.
        self.gain = nn.Parameter(torch.full((conv.out_channels,), conv.scale))
        self.bias = nn.Parameter(torch.zeros(conv.out_channels))
        self.of_batch = of_batch
        if of_batch:
            zeros, ones = torch.zeros(conv.out_channels), torch.ones(conv.out_channels)
            self.mean = nn.Parameter(zeros, requires_grad=False)
            self.var = nn.Parameter(ones, requires_grad=False)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Convolve (B, in, H, W) to (B, out, H / stride, W / stride)."""
        if not self.of_batch:
            return F.instance_norm(self.conv(x), weight=self.gain, bias=self.bias, eps=EPS)
        if self.training and torch.is_grad_enabled():
            return F.batch_norm(
                self.conv(x), self.mean, self.var, self.gain, self.bias, True, MOMENTUM, EPS
            )
        scale = self.gain * torch.rsqrt(self.var + EPS)
        weight = self.conv.weight * scale[:, None, None, None]
        bias = self.bias - self.mean * scale
        return self.conv._conv_forward(x, weight, bias)  # type: ignore[no-any-return]


class MagnitudePreservingConv2d(WSConv2d):
    """Weights of one length for every output, kept so while they are trained, and no biases.

    Karras et al. 2024 (EDM2), Eq. 47 and 66. After a ReLU there is a gain, as it leaves half the
    power.
    """

    def __init__(self, conv: WSConv2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            scale=1.0 if conv.scale == 1 else math.sqrt(2),
            padding_mode=conv.padding_mode,  # type: ignore[arg-type]
        )
        self.gain.requires_grad_(False)
        assert self.bias is not None  # noqa: S101
        self.bias.requires_grad_(False)

    def standardised(self) -> Tensor:
        """Return the weights, shape (out, in, k, k)."""
        if self.training and torch.is_grad_enabled():
            # Not seen by autograd, as a step draws twice: the second time this changes nothing.
            # As long as those of `compact` at first: Adam moves any by its rate.
            data, length = self.weight.data, WEIGHT_STD * math.sqrt(self.weight[0].numel())
            data.copy_(length * F.normalize(data.flatten(1)).view_as(data))
        return self.scale * F.normalize(self.weight.flatten(1)).view_as(self.weight)


class MagnitudePreservingBlock(nn.Module):
    """The weighted sum of a picture and what two convolutions make of it, at its magnitude."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = WSConv2d(channels, channels, 3)
        self.conv2 = WSConv2d(channels, channels, 3)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Map (B, C, H, W) to the same shape."""
        y = self.conv2(F.relu(self.conv1(F.relu(x))))
        return torch.lerp(x, y, MP_SHARE) / math.hypot(1 - MP_SHARE, MP_SHARE)


class InvertedBottleneck(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1 (Sandler et al. 2018), without norms."""

    expansion = 8  # as many multiplications as two convolutions of 3x3

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = self.expansion * channels
        self.expand = WSConv2d(channels, inner, 1)
        self.filter = WSConv2d(inner, inner, 3, groups=inner)
        self.project = WSConv2d(inner, channels, 1, scale=0.5 * RELU_GAIN)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Map (B, C, H, W) to the same shape."""
        y = self.filter(F.relu(self.expand(F.relu(x))))
        return x + self.project(F.relu(y))  # type: ignore[no-any-return]


class LargeKernel(nn.Module):
    """A filter of 7x7 for each channel, then four times as wide and back by 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = WSConv2d(channels, channels, 7, groups=channels, scale=1.0)
        self.expand = WSConv2d(channels, 4 * channels, 1, scale=1.0)
        self.project = WSConv2d(4 * channels, channels, 1, scale=0.5 * RELU_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.project(F.relu(self.expand(self.filter(x))))  # type: ignore[no-any-return]


class LargeKernels(nn.Sequential):
    """Two of them cost what a block does (Liu et al. 2022, ConvNeXt, without norms)."""

    def __init__(self, channels: int) -> None:
        super().__init__(LargeKernel(channels), LargeKernel(channels))

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Map (B, C, H, W) to the same shape."""
        return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]


class Attention(nn.Module):
    """A block, and then each place looks at all others (Vaswani et al. 2017), with four heads."""

    heads = 4

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.block = block
        self.look = WSConv2d(channels, 3 * channels, 1, scale=1.0)
        self.project = WSConv2d(channels, channels, 1, scale=0.5)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Map (B, C, H, W) to the same shape."""
        x = self.block(x)
        looked = self.look(x).unflatten(1, (3, self.heads, -1)).flatten(4)  # (B, 3, 4, C / 4, HW)
        query, key, value = looked.transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value)  # (B, 4, HW, C / 4)
        return x + self.project(seen.transpose(2, 3).reshape(x.shape))  # type: ignore[no-any-return]


class NoSkips(CompactGenerator):
    """Nothing is carried across."""

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return zeros in place of what would be added, and the map at 1/16."""
        *_, deepest = super().encode(x)
        return [deepest.new_zeros(())] * 3 + [deepest]


def replace_blocks(network: nn.Module, new: Callable[[int], nn.Module]) -> None:
    """Put other blocks in, made of their channels."""
    for name in BLOCKS:
        conv = network.get_submodule(f"{name}.conv1")
        assert isinstance(conv, WSConv2d)  # noqa: S101
        setattr(network, name, new(conv.in_channels))


def normalise_batch(network: nn.Module) -> None:
    """Put batch norms in the place of standardised weights."""
    replace_convs(network, partial(NormConv2d, of_batch=True))


def normalise_instances(network: nn.Module) -> None:
    """Put instance norms, as the paper has them, in the place of standardised weights."""
    replace_convs(network, partial(NormConv2d, of_batch=False))


def preserve_magnitudes(network: nn.Module) -> None:
    """Put weights of one length in the place of standardised ones, and sums that keep it."""
    replace_blocks(network, MagnitudePreservingBlock)
    replace_convs(network, MagnitudePreservingConv2d)


def add_attention(network: nn.Module) -> None:
    """Let the last block at 1/16 look at all of the picture."""
    channels = CompactGenerator.encoder_channels[-1]
    network.middle2 = Attention(network.get_submodule("middle2"), channels)


DESIGNS: dict[str, Callable[[nn.Module], None]] = {
    "compact": lambda _: None,
    "batch_norm": normalise_batch,
    "instance_norm": normalise_instances,
    "magnitude_preserving": preserve_magnitudes,
    "inverted_bottlenecks": partial(replace_blocks, new=InvertedBottleneck),
    "large_kernels": partial(replace_blocks, new=LargeKernels),
    "no_skips": lambda _: None,
    "attention": add_attention,
}
"""What each does to a new `compact` generator."""


def build(
    design: str,
    in_channels: int,
    out_channels: int,
    num_styles: int = 1,
    paper_threshold: float = 0.0,
) -> CompactGenerator:
    """Build the generator of a design, of the arguments of `CompactGenerator`.

    Raises:
        ConfigError: If there are several styles.
    """
    if num_styles > 1:
        raise ConfigError(f"{design} draws in one style; give --styles one.")
    kind = NoSkips if design == "no_skips" else CompactGenerator
    network = kind(in_channels, out_channels, paper_threshold=paper_threshold)
    DESIGNS[design](network)
    return network


def main() -> None:
    """Take the first word for the design, and all others for those of `facesketch`."""
    if sys.argv[1:2] == [] or sys.argv[1] not in DESIGNS:
        sys.exit(f"The first word is the design, one of {', '.join(DESIGNS)}.")
    models.CompactGenerator = partial(build, sys.argv.pop(1))  # type: ignore[assignment,misc]
    facesketch()


if __name__ == "__main__":
    main()
