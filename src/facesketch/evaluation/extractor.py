"""From pictures to the features that metrics compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesketch.evaluation.inception import load_inception
from facesketch.evaluation.mobilenet import MobileNetV2, load_mobilenet, weights_path


class Extractor(Protocol):
    """A network that describes pictures; metrics bear its `name`."""

    name: str
    path: Path

    def features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the pooled features, float32, shape (B, D)."""


class InceptionExtractor:
    """The standard Inception network of FID, on pictures of one size."""

    name = "inception"

    def __init__(self, path: Path) -> None:
        """Load the weights.

        Raises:
            WeightsError: If the file is not the standard one.
        """
        self.path = path
        self._network = load_inception(path)

    @torch.inference_mode()
    def features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the pooled features, float32, shape (B, 2048)."""
        features: Tensor = self._network(_batch([p.convert("RGB") for p in pictures]))
        return features


class MobileNetExtractor:
    """MobileNetV2 on pictures of any size."""

    name = "mobilenetv2"

    def __init__(self) -> None:
        """Load the weights.

        Raises:
            MissingPackageError: If they are not installed.
        """
        self.path = weights_path()
        self._network = load_mobilenet(self.path)

    def features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the pooled features, float32, shape (B, 1280)."""
        pooled, _ = self._look(pictures)
        return pooled

    def distances(self, first: Sequence[Image.Image], second: Sequence[Image.Image]) -> list[float]:
        """Compare pictures pair by pair by the features at each place (Zhang et al. 2018, Eq. 1).

        Squared distance of the features, scaled to length 1, averaged over places and over five
        resolutions; unlike in LPIPS no channel has a learned weight. 0 for equal pictures, at
        most 4.
        """
        _, maps = self._look([*first, *second])
        total = torch.zeros(len(first))
        for features in maps:
            unit = features / (features.norm(dim=1, keepdim=True) + 1e-10)
            apart = (unit[: len(first)] - unit[len(first) :]).square().sum(dim=1)  # (B, H, W)
            total += apart.mean(dim=(1, 2))
        result: list[float] = (total / len(maps)).tolist()
        return result

    @torch.inference_mode()
    def _look(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, list[Tensor]]:
        size = (MobileNetV2.input_size, MobileNetV2.input_size)
        small = [p.convert("RGB").resize(size, Image.Resampling.BICUBIC) for p in pictures]
        pooled, maps = self._network(_batch(small).float() / 255)
        return pooled, maps


def _batch(pictures: Sequence[Image.Image]) -> Tensor:
    """Stack pictures of one size, uint8, shape (B, 3, H, W)."""
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return stacked.permute(0, 3, 1, 2)
