"""Building blocks shared by generators and discriminators."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
"""Keeps the variance of ReLU of a unit normal at 1 (Brock et al. 2021, NF-ResNets, section 4)."""


WEIGHT_STD = 0.02
"""Of weights, before they are trained."""


class WSConv2d(nn.Conv2d):
    """Convolution with scaled weight standardisation (Brock et al. 2021, Eq. 1).

        W^ = s * g * (W - mean(W)) / (std(W) * sqrt(N)),   N = fan-in, statistics per output channel

    It takes the place of a norm on activations: nothing depends on the batch or on the rest of
    the picture, and at inference W^ is a constant, so it costs nothing (see `fold`). The constant s
    takes in what else would be multiplied: the gain of a ReLU before it, the weight of a branch.

    With several styles each has a gain and a bias of its own for every output channel, on top of
    the common ones (Dumoulin et al. 2017, Eq. 5); at inference these are constants as well.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        num_styles: int = 1,
        groups: int = 1,
        scale: float = RELU_GAIN,
        padding_mode: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            padding_mode=padding_mode,
        )
        # The result does not depend on this scale, but the speed of learning does: Adam moves a
        # weight by about the learning rate, whatever its size.
        nn.init.normal_(self.weight, 0.0, WEIGHT_STD)
        assert self.bias is not None  # noqa: S101  # bias=True above
        nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(torch.ones(out_channels, 1, 1, 1))
        self.scale = scale
        self.is_styled = num_styles > 1
        if self.is_styled:
            self.style_gain = nn.Parameter(torch.ones(num_styles, out_channels))
            self.style_bias = nn.Parameter(torch.zeros(num_styles, out_channels))

    def standardised(self) -> Tensor:
        """Return W^, shape (out, in, k, k)."""
        fan_in = self.weight[0].numel()
        channels_last = self.weight.permute(0, 2, 3, 1)
        # One kernel each way, where mean and variance by themselves took half of a step's.
        normal = F.layer_norm(channels_last, channels_last.shape[1:], eps=1e-12 / fan_in)
        return normal.permute(0, 3, 1, 2) * (self.gain * (self.scale / math.sqrt(fan_in)))

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Convolve (B, in, H, W) to (B, out, H / stride, W / stride).

        Args:
            x: Input.
            style: Number of each sample's style, shape (B,), where there are several; None is the
                first.
        """
        result: Tensor = self._conv_forward(x, self.standardised(), self.bias)
        if not self.is_styled:
            return result
        chosen = slice(1) if style is None else style
        gain, bias = (p[chosen].to(result.dtype) for p in (self.style_gain, self.style_bias))
        return torch.addcmul(bias[:, :, None, None], result, gain[:, :, None, None])

    def folded(self, style: int) -> tuple[Tensor, Tensor]:
        """Return weight (out, in, k, k) and bias (out,) of the plain convolution of one style."""
        assert self.bias is not None  # noqa: S101
        weight, bias = self.standardised(), self.bias
        if self.is_styled:
            weight = weight * self.style_gain[style][:, None, None, None]
            bias = bias * self.style_gain[style] + self.style_bias[style]
        return weight.detach().clone(), bias.detach().clone()

    @torch.no_grad()
    def load_folded(self, folded: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Set the parameters from what `folded` returned, style by style; its inverse.

        One pair for several styles makes all of them alike. Weights get the size of folded ones,
        which is above that of fresh ones, so that Adam changes them by a smaller part of it: what
        is known already changes slowly.
        """
        weight, bias = folded[0]
        _copy_exactly(self.weight, weight)
        self.gain.copy_(weight.std(dim=(1, 2, 3), keepdim=True, correction=0))
        self.gain.mul_(math.sqrt(weight[0].numel()) / self.scale)
        assert self.bias is not None  # noqa: S101
        _copy_exactly(self.bias, bias)
        if self.is_styled:
            self.style_gain.fill_(1)
            self.style_bias.zero_()
            square = weight.square().sum(dim=(1, 2, 3)).clamp_min(1e-20)
            for style, (other, other_bias) in enumerate(folded[1:], start=1):
                self.style_gain[style] = (other * weight).sum(dim=(1, 2, 3)) / square
                self.style_bias[style] = other_bias - bias * self.style_gain[style]


class PlainConv2d(nn.Conv2d):
    """What `fold` puts in the place of a WSConv2d: it has one style."""

    @classmethod
    def like(cls, conv: nn.Conv2d, *, bias: bool = True) -> PlainConv2d:
        """Make one of another convolution's shape, with weights of its own."""
        return cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            groups=conv.groups,
            bias=bias,
            padding_mode=conv.padding_mode,
        )

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Convolve (B, in, H, W) to (B, out, H / stride, W / stride)."""
        return super().forward(x)


def replace_convs(model: nn.Module, new: Callable[[WSConv2d], nn.Module]) -> None:
    """Put something else in the place of every WSConv2d of a model."""
    for name, module in list(model.named_modules()):
        if isinstance(module, WSConv2d):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, new(module))


def fold(model: nn.Module, style: int = 0) -> nn.Module:
    """Copy a model with every WSConv2d replaced by a plain convolution of the same result.

    Parameter names stay, less the gains.

    Args:
        model: A generator.
        style: Which of its styles is kept, where it has several.
    """
    model = copy.deepcopy(model)
    replace_convs(model, partial(_plain, style=style))
    return model


def _plain(conv: WSConv2d, style: int) -> PlainConv2d:
    plain = PlainConv2d.like(conv)
    plain.weight, plain.bias = map(nn.Parameter, conv.folded(style))
    return plain


@torch.no_grad()
def load_folded(model: nn.Module, states: Sequence[dict[str, Tensor]]) -> None:
    """Load the state dicts of folded models into an unfolded one.

    Args:
        model: A generator.
        states: One for each of its styles, in their order, or one for all; what styles share is
            taken from the first.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If shapes differ.
    """
    standardised = {n: m for n, m in model.named_modules() if isinstance(m, WSConv2d)}
    for name, module in standardised.items():
        module.load_folded([(s[f"{name}.weight"], s[f"{name}.bias"]) for s in states])
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[0] not in standardised:
            _copy_exactly(parameter, states[0][name])


def _copy_exactly(target: Tensor, source: Tensor) -> None:
    """Copy without broadcasting: a grayscale network must not fill a colour one."""
    if target.shape != source.shape:
        raise RuntimeError(f"shapes differ: {tuple(target.shape)} and {tuple(source.shape)}")
    target.copy_(source)


SHEER = 0.2
"""Ink within this share of the threshold of `clean_paper` fades instead of going at once."""

SOFT = 0.43
"""Share of the mean of 3x3 pixels in a stroke; about a Gaussian of half a pixel."""


def clean_paper(drawing: Tensor, threshold: float) -> Tensor:
    """Take ink that is lighter than a threshold for paper, and soften what strokes that cuts.

        u = (1 - x) / 2                                  ink, 0 is paper and 1 black
        v = min(u, 1.2 t max(0, u - 0.8 t) / (0.4 t))    nothing below 0.8 t, all from 1.2 t on
        y = 1 - 2 (0.57 v + 0.43 mean of 3x3 of v)       as many of them as lie within

    Drawings by hand are black on white once their paper is cleaned; a network leaves a tint in
    every place that it is unsure of. The fade makes that a continuous function, so that exported
    files agree; there is no convolution in it and nothing to learn. It is computed of x itself,
    which takes half the time: v is the lesser of two inks, so its x is the greater.

    Args:
        drawing: (B, C, H, W), range [-1, 1].
        threshold: Share of black, above 0.

    Returns:
        The same shape and range.
    """
    slope = (1 + SHEER) / (2 * SHEER)
    faded = (slope * drawing + 1 - slope * (1 - 2 * (1 - SHEER) * threshold)).clamp(max=1)
    strokes = torch.maximum(drawing, faded)
    around = F.avg_pool2d(strokes, 3, stride=1, padding=1, count_include_pad=False)
    return (1 - SOFT) * strokes + SOFT * around


def map_of_style(maps: Tensor, style: Tensor | None) -> Tensor:
    """Pick from the judgements of a discriminator, one map a style, those that count.

    Args:
        maps: (B, S, H, W).
        style: Number of each image's style, shape (B,); None keeps all maps.

    Returns:
        (B, 1, H, W), or the maps as they are.
    """
    if style is None or maps.shape[1] == 1:
        return maps
    return maps.gather(1, style[:, None, None, None].expand(-1, 1, *maps.shape[2:]))


def init_gaussian(model: nn.Module) -> None:
    """Initialise convolutions from N(0, 0.02^2), biases with zero (Zhu et al. 2017, section 4)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
