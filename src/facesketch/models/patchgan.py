"""The 70x70 PatchGAN discriminator (Isola et al. 2017; Zhu et al. 2017, appendix 7.2)."""

from __future__ import annotations

from torch import Tensor, nn

from facesketch.models.layers import init_gaussian, map_of_style


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512 and a 1-channel map; each value judges a 70x70 patch.

    With 3 channels and 64 filters it has 2,764,737 parameters. With several styles it has one map
    for each, of which that of the picture's style counts (Choi et al. 2020, section 2).
    """

    def __init__(self, in_channels: int, filters: int = 64, num_styles: int = 1) -> None:
        super().__init__()
        f = filters
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, f, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *_block(f, 2 * f, stride=2),
            *_block(2 * f, 4 * f, stride=2),
            *_block(4 * f, 8 * f, stride=1),
            nn.Conv2d(8 * f, num_styles, 4, padding=1),
        )
        init_gaussian(self)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Judge (B, C, H, W) in [-1, 1]; returns (B, 1, H/8 - 2, W/8 - 2), 1 real, 0 generated.

        Args:
            x: Images.
            style: Number of each one's style, shape (B,), where there are several.
        """
        maps: Tensor = self.layers(x)  # (B, S, H/8 - 2, W/8 - 2)
        return map_of_style(maps, style)


def _block(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 4, stride, padding=1),
        nn.InstanceNorm2d(out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    ]
