"""What is random within a step: noise before the way back, views for the judges, places."""

from __future__ import annotations

import torch
from torch import Tensor

from facesketch.config import TrainConfig
from facesketch.data.sampler import disturbance_seeds
from facesketch.diff_augment import NUM_CHOICES, diff_augment


class Disturbances:
    """Changes the images of one step; what a sample gets depends on seed and its number alone.

    So no random state goes into checkpoints, a batch in parts gets what a whole one gets, and a
    step that is given up leaves nothing behind. (`torch_rng` in a checkpoint is the CPU's alone.)
    """

    def __init__(self, config: TrainConfig, numbers: range, device: torch.device) -> None:
        self._std = config.cycle_noise
        self._policy = config.diff_augment_policy
        if not (self._std or self._policy or config.lambda_nce):
            return
        self._device = device
        seeds = [disturbance_seeds(config.seed, number) for number in numbers]
        # Noise is made where it is used; choices on the CPU, which must know them to shift and cut.
        self._noise = [torch.Generator(device).manual_seed(seed) for seed, _, _ in seeds]
        self._choices = [torch.Generator().manual_seed(seed) for _, seed, _ in seeds]
        self._places = [torch.Generator().manual_seed(seed) for _, _, seed in seeds]

    def before_return(self, fake: Tensor) -> Tensor:
        """Add noise to generated images that go back, so that nothing faint can be hidden there.

        x + cycle_noise * n, n ~ N(0, 1) (Chu et al. 2017; Bashkirova et al. 2019)

        Nothing is clipped: on white paper half of the noise, and of the gradient, would be lost.

        Args:
            fake: (B, C, H, W), range [-1, 1], one image a sample.
        """
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
