"""Generators that others imitate (distillation)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from facesketch.data.batch import Batch
from facesketch.features import Frozen
from facesketch.losses import with_channels
from facesketch.weights_info import Direction


class Teacher:
    """Two generators that are not trained; their sketches may have other channels.

    Attributes:
        version: Tells them from those of another step or run.
    """

    def __init__(
        self, generators: Mapping[Direction, nn.Module], sketch_channels: int, version: str
    ) -> None:
        self.version = version
        self._photo2sketch = Frozen(generators["photo2sketch"])
        self._sketch2photo = Frozen(generators["sketch2photo"])
        self._sketch_channels = sketch_channels

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return its sketches of the photos and its photos of the sketches shown.

        Sketches have the channels that the batch's have, photos 3; (B, C, H, W), range [-1, 1].
        """
        sketch = self._photo2sketch(batch.photo, batch.style).float()
        photo = self._sketch2photo(with_channels(batch.shown, self._sketch_channels)).float()
        return with_channels(sketch, batch.sketch.shape[1]), photo
