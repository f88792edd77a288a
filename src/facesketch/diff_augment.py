"""DiffAugment (Zhao et al. 2020): judges see every image, real or generated, changed by chance.

With few images a discriminator learns them by heart; seen otherwise each time they are more. The
gradient goes through the change to the generator.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from facesketch.memory_layout import layout_of

NUM_CHOICES = 7
"""Random numbers an image takes, whatever the policy."""

_MAX_SHIFT = 1 / 8  # of a side; both as in the paper's code
_CUT = 1 / 2


def diff_augment(images: Tensor, policy: Collection[str], choices: Tensor) -> Tensor:
    """Change colours, place and completeness of images, each in its own way.

    Args:
        images: (B, C, H, W), range [-1, 1]; the result may leave it.
        policy: Which of "color", "translation" and "cutout".
        choices: (B, NUM_CHOICES), float32, range [0, 1), on the CPU: what to do with each image.

    Returns:
        Changed images, the same shape, differentiable by `images`.
    """
    if "color" in policy:
        images = _change_color(images, choices[:, :3].to(images.device))
    if "translation" in policy:
        images = _translate(images, choices[:, 3:5])
    if "cutout" in policy:
        images = _cut_out(images, choices[:, 5:7])
    return images


def _change_color(images: Tensor, choices: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = (c.view(-1, 1, 1, 1) for c in choices.unbind(1))
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translate(images: Tensor, choices: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; what comes in is 0, mid-grey."""
    sides = torch.tensor(images.shape[2:])
    reach = (sides * _MAX_SHIFT).round()
    shifts = (choices * (2 * reach + 1)).floor() - reach  # (B, 2): down, right
    moved = []
    for image, (down, right) in zip(images, shifts.int().tolist(), strict=True):
        moved.append(F.pad(image, (right, -right, down, -down)))
    return torch.stack(moved).contiguous(memory_format=layout_of(images))


def _cut_out(images: Tensor, choices: Tensor) -> Tensor:
    """Blank a rectangle of half of each side around any point to 0, mid-grey."""
    sides = torch.tensor(images.shape[2:])
    size = (sides * _CUT).round()
    first = (choices * (sides + 1) - size / 2).floor()  # (B, 2): top, left
    last = (first + size).int().tolist()
    mask = torch.ones(len(images), 1, *images.shape[2:])
    corners = zip(first.clamp(min=0).int().tolist(), last, strict=True)
    for plane, ((top, left), (bottom, right)) in zip(mask, corners, strict=True):
        plane[:, top:bottom, left:right] = 0
    return images * mask.to(images.device)
