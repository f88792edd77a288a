"""History of generated images for the discriminators (Shrivastava et al. 2017, section 2.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to `size` generated images; half of the time a discriminator sees an old one.

    A query only proposes; `commit` makes it so. A step that is given up (a non-finite loss)
    therefore leaves the pool as it was.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._images: list[Tensor] = []  # each (C, H, W)
        self._rng = torch.Generator().manual_seed(seed)
        self._pending: list[tuple[int, Tensor]] = []
        self._pending_rng = self._rng.get_state()

    def query(self, images: Tensor) -> Tensor:
        """Exchange some of the images against older ones.

        Until the pool is full every image is kept and returned. Then each image is, with
        probability 0.5, put in a random place whose former image is returned instead.

        Args:
            images: Generated images without gradient, shape (B, C, H, W).

        Returns:
            Images of the same shape.
        """
        if self.size == 0:
            return images
        rng = torch.Generator()
        rng.set_state(self._pending_rng)
        stored = dict(enumerate(self._images)) | dict(self._pending)
        result = []
        for image in images:
            if len(stored) < self.size:
                slot = len(stored)
                result.append(image)
            elif torch.rand((), generator=rng) < 0.5:
                slot = int(torch.randint(self.size, (), generator=rng))
                result.append(stored[slot])
            else:
                result.append(image)
                continue
            stored[slot] = image
            self._pending.append((slot, image))
        self._pending_rng = rng.get_state()
        return torch.stack(result)

    def commit(self) -> None:
        """Make the exchanges of all queries since the last commit final."""
        for slot, image in self._pending:
            if slot == len(self._images):
                self._images.append(image.clone())
            else:
                self._images[slot] = image.clone()
        self._pending.clear()
        self._rng.set_state(self._pending_rng)

    def discard(self) -> None:
        """Forget the exchanges of all queries since the last commit."""
        self._pending.clear()
        self._pending_rng = self._rng.get_state()

    def state_dict(self) -> dict[str, Any]:
        """Return images (N, C, H, W) and the state of the generator of random numbers."""
        images = torch.stack(self._images).cpu() if self._images else None
        return {"images": images, "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        images = state["images"]
        self._images = [] if images is None else list(images.to(device))
        self._rng.set_state(state["rng"])
        self.discard()
