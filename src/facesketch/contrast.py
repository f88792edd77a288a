"""The contrastive loss of CUT (Park et al. 2020), and the heads that are trained with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch import losses

Places = Callable[[int, int], Tensor]
"""Chooses places of each sample's map: how many there are, how many to choose; (B, count)."""

NUM_PLACES = 256
WIDTH = 256


def first_places(num_places: int, count: int) -> Tensor:
    """Choose the first ones, shape (1, count)."""
    return torch.arange(min(num_places, count))[None]


class PatchContrast(nn.Module):
    """Two-layer heads on the maps of an encoder, one a map (section 3.1)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
            for count in channels
        )

    def forward(
        self, generated: Sequence[Tensor], real: Sequence[Tensor], choose: Places = first_places
    ) -> Tensor:
        """Return the mean over the maps of `losses.patch_nce_loss`, shape ().

        Args:
            generated: The encoder's maps of generated images, (B, C, H, W) each.
            real: Those of what they were made from, same shapes. They are what is aimed at, and get
                no gradient.
            choose: Which places are compared; one choice for the batch, or one a sample.
        """
        total = generated[0].new_zeros((), dtype=torch.float32)
        for head, query, key in zip(self.heads, generated, real, strict=True):
            places = choose(query[0, 0].numel(), NUM_PLACES).to(query.device)
            places = places[:, :, None].expand(len(query), -1, query.shape[1])  # (B, P, C)
            q, k = (x.flatten(2).transpose(1, 2).gather(1, places) for x in (query, key.detach()))
            # With gradients first: autocast of older torch keeps the weights as first cast.
            known = F.normalize(head(q).float(), dim=2)
            with torch.no_grad():
                wanted = F.normalize(head(k).float(), dim=2)
            total = total + losses.patch_nce_loss(known, wanted)
        return total / len(self.heads)
