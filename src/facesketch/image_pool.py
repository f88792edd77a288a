"""History of generated images for the discriminators (Shrivastava et al. 2017, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from facesketch.memory_layout import layout_of


class ImagePool:
    """Keeps up to `size` generated images; half of the time a discriminator sees an old one.

    A query only proposes; `commit` makes it so. A step that is given up (a non-finite loss)
    therefore leaves the pool as it was.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._images: list[Tensor] = []  # each (C, H, W)
        self._styles: list[int] = []
        self._rng = torch.Generator().manual_seed(seed)
        self._pending: list[tuple[int, Tensor, int]] = []
        self._pending_rng = self._rng.get_state()

    def query(self, images: Tensor, styles: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Exchange some of the images against older ones.

        Until the pool is full every image is kept and returned. Then each image is, with
        probability 0.5, put in a random place whose former image is returned instead.

        Args:
            images: Generated images without gradient, shape (B, C, H, W).
            styles: Number of each one's style.

        Returns:
            As many images and styles; images in the same layout.
        """
        if self.size == 0:
            return images, list(styles)
        rng = torch.Generator()
        rng.set_state(self._pending_rng)
        stored = dict(enumerate(zip(self._images, self._styles, strict=True)))
        stored |= {slot: (image, style) for slot, image, style in self._pending}
        result = []
        for image, style in zip(images, styles, strict=True):
            if len(stored) < self.size:
                slot = len(stored)
                result.append((image, style))
            elif torch.rand((), generator=rng) < 0.5:
                slot = int(torch.randint(self.size, (), generator=rng))
                result.append(stored[slot])
            else:
                result.append((image, style))
                continue
            stored[slot] = image, style
            self._pending.append((slot, image, style))
        self._pending_rng = rng.get_state()
        old_images, old_styles = zip(*result, strict=True)
        old = torch.stack(old_images).contiguous(memory_format=layout_of(images))
        return old, list(old_styles)

    def commit(self) -> None:
        """Make the exchanges of all queries since the last commit final."""
        for slot, image, style in self._pending:
            # A slice, so that the place after the last one grows the list.
            self._images[slot : slot + 1] = [image.clone()]
            self._styles[slot : slot + 1] = [style]
        self._pending.clear()
        self._rng.set_state(self._pending_rng)

    def discard(self) -> None:
        """Forget the exchanges of all queries since the last commit."""
        self._pending.clear()
        self._pending_rng = self._rng.get_state()

    def state_dict(self) -> dict[str, Any]:
        """Return images (N, C, H, W), their styles and the state of the random numbers."""
        images = torch.stack(self._images).cpu() if self._images else None
        return {"images": images, "styles": [*self._styles], "rng": self._rng.get_state()}

    def load_share(
        self, states: list[dict[str, Any]], rank: int, num_ranks: int, device: torch.device
    ) -> None:
        """Restore this rank's pool; other than `num_ranks` pools are dealt out anew.

        The random numbers of pools dealt out begin anew.

        Args:
            states: What `state_dict` returned, by rank.
            rank: Number of this rank.
            num_ranks: How many there are now.
            device: Where to put the images.
        """
        if len(states) == num_ranks:
            self.load_state_dict(states[rank], device)
            return
        images = [image for state in states if state["styles"] for image in state["images"]]
        styles = [style for state in states for style in state["styles"]]
        share = slice(rank, self.size * num_ranks, num_ranks)
        self._images = [image.to(device) for image in images[share]]
        self._styles = styles[share]
        self.discard()

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        images = state["images"]
        self._images = [] if images is None else list(images.to(device))
        self._styles = [*state["styles"]]
        self._rng.set_state(state["rng"])
        self.discard()
