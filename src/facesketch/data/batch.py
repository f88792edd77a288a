"""The images of one training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One photo and one sketch a sample, float32, range [-1, 1], and what is known of them.

    Attributes:
        photo: (B, 3, H, W).
        sketch: (B, 1 or 3, H, W).
        shown: What sketch2photo sees of the sketches, same shape: other hands may have redrawn
            them.
        style: Number of each sketch's style, in which its photo is drawn as well, int64, (B,).
        is_pair: 1 where photo and sketch show the same face, else 0, (B, 1, 1, 1).
    """

    photo: Tensor
    sketch: Tensor
    shown: Tensor
    style: Tensor
    is_pair: Tensor

    @classmethod
    def of(
        cls,
        photo: Tensor,
        sketch: Tensor,
        *,
        shown: Tensor | None = None,
        style: Tensor | None = None,
        is_pair: Tensor | None = None,
    ) -> Batch:
        """Make a batch; what is not given is plain: shown as it is, first style, unpaired."""
        return cls(
            photo,
            sketch,
            sketch if shown is None else shown,
            sketch.new_zeros(len(sketch), dtype=torch.long) if style is None else style,
            sketch.new_zeros(len(sketch), 1, 1, 1) if is_pair is None else is_pair,
        )

    def __len__(self) -> int:
        return len(self.photo)

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Change every tensor alike."""
        return Batch(*(change(tensor) for tensor in vars(self).values()))

    def split(self, num_parts: int) -> list[Batch]:
        """Split into equal parts, in order."""
        chunks = (tensor.chunk(num_parts) for tensor in vars(self).values())
        return [Batch(*part) for part in zip(*chunks, strict=True)]
