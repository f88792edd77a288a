"""A discriminator that looks through a frozen classifier (Sauer et al. 2021, Projected GANs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch.models.layers import WSConv2d, map_of_style

Look = Callable[[Tensor], list[Tensor]]
"""Photos (B, 3, H, W) in [-1, 1] to feature maps (B, C, H / 2 ** n, W / 2 ** n), n = 1, 2, ..."""

SLOPE = 0.2


class ProjectedDiscriminator(nn.Module):
    """Small heads on the feature maps of a network that is never trained.

    What the network sees, normalised over channels at each place, is mixed across channels and from
    coarse maps into finer ones by random convolutions that are not trained either (section 3.2): a
    head can then not rest on the few channels that tell the domains apart. Heads have standardised
    weights, where the paper has spectral norm: that has a state which every look at it moves, so a
    batch in parts would not be what a whole one is. With several styles each has a map of its own,
    as in `PatchDiscriminator`.
    """

    def __init__(
        self, look: Look, channels: Sequence[int], width: int = 64, num_styles: int = 1
    ) -> None:
        super().__init__()
        self._look = look
        for level, count in enumerate(channels):
            self._add_random(f"across{level}", width, count, 1)
            if level < len(channels) - 1:
                self._add_random(f"down{level}", width, width, 3)
        # Those of the two finest maps halve them once more.
        strides = [2 if level < 2 else 1 for level in range(len(channels))]
        self.heads = nn.ModuleList(_head(width, num_styles, stride) for stride in strides)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Judge (B, 1 or 3, H, W) in [-1, 1]; returns (B, maps, H/4, W/4), 1 real, 0 generated.

        Coarse maps are repeated to the size of the finest, so that all count alike in a mean.

        Args:
            x: Images.
            style: Number of each one's style, shape (B,), where there are several.
        """
        seen = self._look(x.expand(-1, 3, -1, -1))
        maps: list[Tensor] = []
        coarser: Tensor | None = None
        for level in reversed(range(len(seen))):
            square = seen[level].square().mean(dim=1, keepdim=True)
            normalised = seen[level] * torch.rsqrt(square + 1e-4)
            mixed = F.conv2d(normalised, getattr(self, f"across{level}"))
            if coarser is not None:
                weight = getattr(self, f"down{level}")
                wide = F.interpolate(F.conv2d(coarser, weight, padding=1), mixed.shape[2:])
                mixed = (mixed + wide) * 0.5**0.5
            coarser = mixed
            maps.append(map_of_style(self.heads[level](mixed), style))
        return torch.cat([F.interpolate(m, maps[-1].shape[2:]) for m in maps], dim=1)

    def _add_random(self, name: str, out: int, channels: int, kernel: int) -> None:
        weight = torch.empty(out, channels, kernel, kernel)
        nn.init.kaiming_normal_(weight, nonlinearity="linear")
        self.register_buffer(name, weight)


def _head(width: int, num_styles: int, stride: int) -> nn.Module:
    return nn.Sequential(
        WSConv2d(width, width, 3, stride, scale=1.0),
        nn.LeakyReLU(SLOPE),
        WSConv2d(width, num_styles, 3, scale=1.0),
    )
