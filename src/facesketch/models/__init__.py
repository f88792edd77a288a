"""Generators and discriminators: nn.Modules and nothing else."""

from __future__ import annotations

from typing import Literal

from facesketch.config import GeneratorName
from facesketch.models.compact import CompactGenerator
from facesketch.models.patchgan import PatchDiscriminator
from facesketch.models.projected import ProjectedDiscriminator
from facesketch.models.resnet import ResNetGenerator

__all__ = [
    "CompactGenerator",
    "Generator",
    "PatchDiscriminator",
    "ProjectedDiscriminator",
    "ResNetGenerator",
    "generator",
]

Generator = CompactGenerator | ResNetGenerator


def generator(
    name: GeneratorName,
    in_channels: int,
    out_channels: int,
    upsample: Literal["transpose", "resize"] = "resize",
    *,
    num_styles: int = 1,
    paper_threshold: float = 0.0,
) -> Generator:
    """Build a generator by name; images in and out are (B, C, H, W), range [-1, 1].

    Several styles, and a threshold below which ink is paper, are for compact alone.
    """
    if name == "compact":
        return CompactGenerator(in_channels, out_channels, num_styles, paper_threshold)
    num_blocks = {"resnet6": 6, "resnet9": 9}[name]
    return ResNetGenerator(in_channels, out_channels, num_blocks, upsample)
