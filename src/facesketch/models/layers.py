"""Building blocks shared by generators and discriminators."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
"""Keeps the variance of ReLU of a unit normal at 1 (Brock et al. 2021, NF-ResNets, section 4)."""


class WSConv2d(nn.Conv2d):
    """Convolution with scaled weight standardisation (Brock et al. 2021, Eq. 1).

        W^ = g * (W - mean(W)) / (std(W) * sqrt(N)),   N = fan-in, statistics per output channel

    It takes the place of a norm on activations: nothing depends on the batch or on the rest of
    the picture, and at inference W^ is a constant, so it costs nothing (see `fold`).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        # The result does not depend on this scale, but the speed of learning does: Adam moves a
        # weight by about the learning rate, whatever its size.
        nn.init.normal_(self.weight, 0.0, 0.02)
        assert self.bias is not None  # noqa: S101  # bias=True above
        nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(torch.ones(out_channels, 1, 1, 1))

    def standardised(self) -> Tensor:
        """Return W^, shape (out, in, k, k)."""
        fan_in = self.weight[0].numel()
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return (self.weight - mean) * (self.gain * torch.rsqrt(var * fan_in + 1e-12))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in, H, W) to (B, out, H / stride, W / stride)."""
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding)

    @torch.no_grad()
    def load_folded(self, weight: Tensor, bias: Tensor) -> None:
        """Set the parameters so that `standardised()` is `weight`; the inverse of folding."""
        _copy_exactly(self.weight, weight)
        self.gain.copy_(weight.std(dim=(1, 2, 3), keepdim=True, correction=0))
        self.gain.mul_(math.sqrt(weight[0].numel()))
        assert self.bias is not None  # noqa: S101
        _copy_exactly(self.bias, bias)


def fold(model: nn.Module) -> nn.Module:
    """Copy a model with every WSConv2d replaced by a plain convolution of the same result.

    Parameter names stay, less the `gain`s.
    """
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, WSConv2d):
            conv = nn.Conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
            )
            conv.weight = nn.Parameter(module.standardised().detach().clone())
            conv.bias = module.bias
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, conv)
    return model


@torch.no_grad()
def load_folded(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the state dict of a folded model into an unfolded one.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If shapes differ.
    """
    standardised = {n: m for n, m in model.named_modules() if isinstance(m, WSConv2d)}
    for name, module in standardised.items():
        module.load_folded(state[f"{name}.weight"], state[f"{name}.bias"])
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[0] not in standardised:
            _copy_exactly(parameter, state[name])


def _copy_exactly(target: Tensor, source: Tensor) -> None:
    """Copy without broadcasting: a grayscale network must not fill a colour one."""
    if target.shape != source.shape:
        raise RuntimeError(f"shapes differ: {tuple(target.shape)} and {tuple(source.shape)}")
    target.copy_(source)


def init_gaussian(model: nn.Module) -> None:
    """Initialise convolutions from N(0, 0.02^2), biases with zero (Zhu et al. 2017, section 4)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
