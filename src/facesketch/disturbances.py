"""What is random within a step: noise before the way back, views for the judges, places."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facesketch.config import TrainConfig
from facesketch.data.sampler import disturbance_seeds
from facesketch.diff_augment import NUM_CHOICES, diff_augment
from facesketch.memory_layout import layout_of


class Disturbances:
    """Changes the images of one step; what a sample gets depends on seed and its number alone.

    So no random state goes into checkpoints, a batch in parts gets what a whole one gets, and a
    step that is given up leaves nothing behind.
    """

    def __init__(self, config: TrainConfig, numbers: range, device: torch.device) -> None:
        self._std = config.cycle_noise
        self._most_blur = config.cycle_blur
        self._policy = config.diff_augment_policy
        if not (self._std or self._most_blur or self._policy or config.lambda_nce):
            return
        self._device = device
        seeds = [disturbance_seeds(config.seed, number) for number in numbers]
        # Noise is made where it is used; choices on the CPU, which must know them to shift and cut.
        self._noise = [torch.Generator(device).manual_seed(seed) for seed, _, _ in seeds]
        self._choices = [torch.Generator().manual_seed(seed) for _, seed, _ in seeds]
        self._places = [torch.Generator().manual_seed(seed) for _, _, seed in seeds]

    def before_return(self, fake: Tensor) -> Tensor:
        """Blur generated images that go back, and add noise, so that nothing can be hidden there.

            blur(x, s) + cycle_noise * n,   s ~ U(0, cycle_blur) px,   n ~ N(0, 1)

        Noise drowns what is faint (Chu et al. 2017; Bashkirova et al. 2019), a blur what is fine.
        Nothing is clipped: on white paper half of the noise, and of the gradient, would be lost.

        Args:
            fake: (B, C, H, W), range [-1, 1], one image a sample.
        """
        if self._most_blur:
            chosen = [torch.rand((), generator=rng) for rng in self._choices]
            stds = self._most_blur * torch.stack(chosen).to(fake.device)
            fake = gaussian_blur(fake, stds, reach=math.ceil(3 * self._most_blur))
        if not self._std:
            return fake
        shape, device = fake.shape[1:], fake.device
        noise = [torch.randn(shape, generator=rng, device=device) for rng in self._noise]
        return fake + self._std * torch.stack(noise)

    def before_judging(self, images: Tensor) -> Tensor:
        """Change what a discriminator sees, real and generated images alike.

        Args:
            images: (k * B, C, H, W), range [-1, 1], all samples k times in turn.
        """
        if not self._policy:
            return images
        rounds = range(len(images) // len(self._choices))
        choices = [torch.rand(NUM_CHOICES, generator=rng) for _ in rounds for rng in self._choices]
        return diff_augment(images, self._policy, torch.stack(choices))

    def choose_places(self, num_places: int, count: int) -> Tensor:
        """Choose different places of each sample's feature map.

        Args:
            num_places: Of the map, H x W.
            count: How many to choose.

        Returns:
            Their numbers, shape (B, count), int64.
        """
        chosen = [torch.randperm(num_places, generator=rng)[:count] for rng in self._places]
        return torch.stack(chosen).to(self._device)


def gaussian_blur(images: Tensor, std: Tensor, reach: int) -> Tensor:
    """Blur each image by a Gaussian of its own.

    Args:
        images: (B, C, H, W); at the border the outermost pixels go on.
        std: Standard deviations in pixels, shape (B,); 0 leaves an image as it is.
        reach: Pixels to each side that count.

    Returns:
        Same shape and layout.
    """
    away = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (away / std.clamp_min(1e-3)[:, None]).square())  # (B, K)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    batch, channels, height, width = images.shape
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None]  # (B * C, 1, K)
    x = images.reshape(1, batch * channels, height, width)  # an image's kernel is its group's
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    with torch.autocast(x.device.type, enabled=False):
        x = F.conv2d(x, kernel[:, :, None], groups=batch * channels)
        x = F.conv2d(x, kernel[:, :, :, None], groups=batch * channels)
    return x.view_as(images).contiguous(memory_format=layout_of(images))
