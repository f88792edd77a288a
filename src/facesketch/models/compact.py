"""The light generator: a U-shaped, norm-free network, 2.3 GMACs and 2.0 M parameters at 256 px."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch.models.layers import RELU_GAIN, WSConv2d, clean_paper


class NormFreeBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), the pre-activation block of NF-ResNets, branch halved."""

    def __init__(self, channels: int, num_styles: int = 1) -> None:
        super().__init__()
        self.conv1 = WSConv2d(channels, channels, 3, num_styles=num_styles)
        self.conv2 = WSConv2d(channels, channels, 3, scale=0.5 * RELU_GAIN)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x), style)))  # type: ignore[no-any-return]


class CompactGenerator(nn.Module):
    """Most of the work at 1/8 and 1/16 of the resolution, detail carried by additive skips.

        H       pixel-unshuffle                             16, output
        H/2     32                  - - - - - - + - - - -   32, block
        H/4     64, block           - - - - - - + - - - -   64, block
        H/8     128, block          - - - - - - + - - - -   block
        H/16    160, 2 blocks       ---------------------

    Every upsampling is a nearest-neighbour resize (Odena et al. 2016), so that no checkerboard
    arises; a pixel-shuffle at the end, tried first, learned dotted lines. Inside, a 1x1
    convolution comes before the resize: the 3x3 one that stood after it cost a fifth of all MACs.
    The first two convolutions pad by the values at the border: with zeros, which are mid-grey, the
    border of a dark photo is an edge, and was drawn.

    The encoder sees the photo alone; how it is drawn, the style, enters below it. With a
    `paper_threshold` above 0 the output is a drawing, and `clean_paper` its last layer.
    """

    size_multiple = 16
    encoder_channels = (32, 64, 128, 160)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_styles: int = 1,
        paper_threshold: float = 0.0,
    ) -> None:
        super().__init__()
        self.paper_threshold = paper_threshold
        self.stem = WSConv2d(4 * in_channels, 32, 3, scale=1.0, padding_mode="replicate")
        self.down1 = WSConv2d(32, 64, 3, stride=2, padding_mode="replicate")
        self.enc1 = NormFreeBlock(64)
        self.down2 = WSConv2d(64, 128, 3, stride=2)
        self.enc2 = NormFreeBlock(128)
        self.down3 = WSConv2d(128, 160, 3, stride=2)
        self.middle1 = NormFreeBlock(160, num_styles)
        self.middle2 = NormFreeBlock(160, num_styles)
        self.up3 = WSConv2d(160, 128, 1)
        self.dec2 = NormFreeBlock(128, num_styles)
        self.up2 = WSConv2d(128, 64, 1)
        self.dec1 = NormFreeBlock(64, num_styles)
        self.up1 = WSConv2d(64, 32, 1)
        self.dec0 = NormFreeBlock(32, num_styles)
        self.up0 = WSConv2d(32, 16, 3, num_styles=num_styles)
        self.head = nn.Conv2d(16, out_channels, 3, padding=1)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Translate (B, in, H, W) in [-1, 1] to (B, out, H, W) in [-1, 1]; H, W multiples of 16.

        Args:
            x: Images.
            style: Number of the style to draw each in, shape (B,); None is the first.
        """
        half, quarter, eighth, x = self.encode(x)
        x = self.middle2(self.middle1(x, style), style)
        x = self.dec2(eighth + _twice(self.up3(F.relu(x))), style)
        x = self.dec1(quarter + _twice(self.up2(F.relu(x))), style)
        x = self.dec0(half + _twice(self.up1(F.relu(x))), style)
        x = self.up0(_twice(F.relu(x)), style)  # (B, 16, H, W)
        x = torch.tanh(self.head(F.relu(x)).float())  # bfloat16 is 1 from tanh(3.5) on
        return clean_paper(x, self.paper_threshold) if self.paper_threshold else x

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the encoder's maps: (B, 32, H/2, W/2), then 64, 128 and 160 channels."""
        half = self.stem(F.pixel_unshuffle(x, 2))  # (B, 32, H/2, W/2)
        quarter = self.enc1(self.down1(F.relu(half)))  # (B, 64, H/4, W/4)
        eighth = self.enc2(self.down2(F.relu(quarter)))  # (B, 128, H/8, W/8)
        return [half, quarter, eighth, self.down3(F.relu(eighth))]  # (B, 160, H/16, W/16)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
