"""Four networks and their losses by name. Steps no optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from facesketch import losses
from facesketch.config import TrainConfig
from facesketch.contrast import PatchContrast, Places, first_places
from facesketch.data.batch import Batch
from facesketch.features import Frozen, PhotoFeatures
from facesketch.models import Generator, PatchDiscriminator, ProjectedDiscriminator, generator
from facesketch.teacher import Teacher
from facesketch.weights_info import Direction

Channels = Literal[1, 3]

Change = Callable[[Tensor], Tensor]
"""A change to images (B, C, H, W) that keeps their shape and passes gradients."""


def unchanged(images: Tensor) -> Tensor:
    """Return images as they are."""
    return images


@dataclass(frozen=True)
class Translated:
    """One forward pass, all (B, C, H, W), range [-1, 1]; identity only where it is trained."""

    fake_photo: Tensor
    fake_sketch: Tensor
    rec_photo: Tensor
    rec_sketch: Tensor
    idt_photo: Tensor | None = None
    idt_sketch: Tensor | None = None


@dataclass(frozen=True)
class Generated:
    """Generated images to judge, (B, C, H, W), range [-1, 1], and the styles of the sketches."""

    photo: Tensor
    sketch: Tensor
    style: Tensor


def build_generator(config: TrainConfig, direction: Direction) -> Generator:
    """Build one untrained generator of a run."""
    channels = channels_of(config, direction)
    if direction == "sketch2photo":
        return generator(config.generator, *channels, config.upsample)
    return generator(
        config.generator,
        *channels,
        config.upsample,
        num_styles=len(config.style_names),
        paper_threshold=config.clean_paper,
    )


def channels_of(config: TrainConfig, direction: Direction) -> tuple[Channels, Channels]:
    """Return input and output channels of a generator."""
    sketch = config.sketch_channels
    return (3, sketch) if direction == "photo2sketch" else (sketch, 3)


class CycleGAN(nn.Module):
    """Two generators, two discriminators (Zhu et al. 2017)."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        channels = config.sketch_channels
        self.lambda_cycle = config.lambda_cycle
        self.lambda_identity = config.lambda_identity
        self.lambda_paired = config.lambda_paired
        self.lambda_structure = config.lambda_structure
        self.lambda_features = config.lambda_features
        self.lambda_nce = config.lambda_nce
        self.lambda_teacher = config.lambda_teacher
        self.weight_r1 = config.lambda_r1 * config.r1_every
        self.sketch_channels = channels
        num_styles = len(config.style_names)
        self.gen_photo2sketch = build_generator(config, "photo2sketch")
        self.gen_sketch2photo = build_generator(config, "sketch2photo")
        if config.lambda_nce:
            self.contrast = PatchContrast(self.gen_photo2sketch.encoder_channels)
        self.teacher: Teacher | None = None
        if config.lambda_features or config.discriminator == "projected":
            self._see = Frozen(PhotoFeatures.pretrained())
        self.disc_photo = self._discriminator(config, 3)
        self.disc_sketch = self._discriminator(config, channels, num_styles)

    def _discriminator(
        self, config: TrainConfig, channels: int, num_styles: int = 1
    ) -> PatchDiscriminator | ProjectedDiscriminator:
        if config.discriminator == "patch":
            return PatchDiscriminator(channels, config.disc_filters, num_styles)
        return ProjectedDiscriminator(self._see, PhotoFeatures.channels, num_styles=num_styles)

    def generators(self) -> dict[str, nn.Module]:
        """Return the two generators by direction."""
        return {"photo2sketch": self.gen_photo2sketch, "sketch2photo": self.gen_sketch2photo}

    def loss_networks(self) -> list[nn.Module]:
        """Return what is trained with the generators and is no part of them."""
        return [self.contrast] if self.lambda_nce else []

    def discriminators(self) -> dict[str, nn.Module]:
        """Return the two discriminators by the domain that they judge."""
        return {"photo": self.disc_photo, "sketch": self.disc_sketch}

    def forward(self, batch: Batch, before_return: Change = unchanged) -> Translated:
        """Translate both domains there and back.

        No layer looks across the batch, so inputs of one generator go through it together; the
        result is the same as one by one.

        Args:
            batch: Real images. A sketch goes as it is shown, and comes back as it is: the way
                there and back cleans it up.
            before_return: What happens to generated images of both domains that go back: photos
                too, as they can hide the strokes that an artist was free to choose.
        """
        photo, style, n = batch.photo, batch.style, len(batch)
        if self.lambda_identity == 0:
            fake_sketch = self._draw(photo, style)
            both = self._develop(torch.cat([before_return(fake_sketch), batch.shown]))
            rec_photo, fake_photo = both[:n], both[n:]
            rec_sketch = self._draw(before_return(fake_photo), style)
            return Translated(fake_photo, fake_sketch, rec_photo, rec_sketch)
        both = self._draw(torch.cat([photo, self.as_photo(batch.sketch)]), style.repeat(2))
        fake_sketch, idt_sketch = both[:n], both[n:]
        returning = before_return(fake_sketch)
        every = self._develop(torch.cat([returning, batch.shown, self.as_sketch(photo)]))
        rec_photo, fake_photo, idt_photo = every.chunk(3)
        rec_sketch = self._draw(before_return(fake_photo), style)
        return Translated(fake_photo, fake_sketch, rec_photo, rec_sketch, idt_photo, idt_sketch)

    def _draw(self, photo: Tensor, style: Tensor) -> Tensor:
        return self.gen_photo2sketch(photo, style).float()  # type: ignore[no-any-return]

    def _develop(self, sketch: Tensor) -> Tensor:
        return self.gen_sketch2photo(sketch).float()  # type: ignore[no-any-return]

    def as_photo(self, sketch: Tensor) -> Tensor:
        """Write a sketch in the channels of a photo, (B, 3, H, W)."""
        return losses.with_channels(sketch, 3)

    def as_sketch(self, photo: Tensor) -> Tensor:
        """Write a photo in the channels of a sketch: its luma where sketches are grayscale."""
        return losses.with_channels(photo, self.sketch_channels)

    def generator_losses(
        self,
        batch: Batch,
        t: Translated,
        before_judging: Change = unchanged,
        choose: Places = first_places,
    ) -> dict[str, Tensor]:
        """Return the generators' losses, weighted; their sum is what to minimise.

        A photo that went in as luma cannot come back in colour: with grayscale sketches its
        identity loss compares the luma.

        Args:
            batch: Real images.
            t: What `forward` made of them.
            before_judging: What happens to generated images before they are judged.
            choose: Which places the contrastive loss compares.
        """
        real_photo, real_sketch = batch.photo, batch.sketch
        judged_sketch = self.disc_sketch(before_judging(t.fake_sketch), batch.style).float()
        judged_photo = self.disc_photo(before_judging(t.fake_photo)).float()
        result = {
            "gan_sketch": losses.generator_gan_loss(judged_sketch),
            "gan_photo": losses.generator_gan_loss(judged_photo),
            "cycle_photo": self.lambda_cycle
            * losses.cycle_consistency_loss(t.rec_photo, real_photo),
            "cycle_sketch": self.lambda_cycle
            * losses.cycle_consistency_loss(t.rec_sketch, real_sketch),
        }
        if t.idt_photo is not None and t.idt_sketch is not None:
            result["identity_photo"] = self.lambda_identity * losses.identity_loss(
                self.as_sketch(t.idt_photo), self.as_sketch(real_photo)
            )
            result["identity_sketch"] = self.lambda_identity * losses.identity_loss(
                t.idt_sketch, real_sketch
            )
        if self.lambda_paired:
            photo = losses.paired_loss(t.fake_photo, real_photo, batch.is_pair)
            sketch = losses.paired_loss(t.fake_sketch, real_sketch, batch.is_pair)
            result["paired_photo"] = self.lambda_paired * photo
            result["paired_sketch"] = self.lambda_paired * sketch
        if self.lambda_features:
            result |= self.feature_losses(batch, t)
        if self.lambda_structure:
            structure = losses.structure_loss(t.fake_sketch, real_photo)
            result["structure"] = self.lambda_structure * structure
        if self.lambda_nce:
            encode = self.gen_photo2sketch.encode
            seen = encode(self.as_photo(t.fake_sketch))
            with torch.no_grad():
                wanted = encode(batch.photo)
            result["nce"] = self.lambda_nce * self.contrast(seen, wanted, choose)
        if self.teacher is not None:
            sketch, photo = self.teacher(batch)
            taught_sketch = losses.imitation_loss(t.fake_sketch, sketch)
            taught_photo = losses.imitation_loss(t.fake_photo, photo)
            result["teacher_sketch"] = self.lambda_teacher * taught_sketch
            result["teacher_photo"] = self.lambda_teacher * taught_photo
        return result

    def feature_losses(
        self, batch: Batch, t: Translated, place_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compare photos that came back, and those with a partner, as a classifier sees them.

        Args:
            batch: Real images.
            t: What `forward` made of them.
            place_weight: As `losses.feature_loss` has it.
        """
        n = len(batch)
        with torch.no_grad():
            wanted = self._see(batch.photo)
        if not self.lambda_paired:
            cycle = losses.feature_loss(self._see(t.rec_photo), wanted, place_weight=place_weight)
            return {"features_cycle": self.lambda_features * cycle}
        pairs = batch.is_pair.flatten() > 0
        seen = self._see(torch.cat([t.rec_photo, t.fake_photo[pairs]]))
        cycle = losses.feature_loss([x[:n] for x in seen], wanted, place_weight=place_weight)
        paired = seen[0].new_zeros(())
        if pairs.any():
            partners = [x[pairs] for x in wanted]
            share = pairs.float().mean().item()
            paired = losses.feature_loss([x[n:] for x in seen], partners, share, place_weight)
        return {
            "features_cycle": self.lambda_features * cycle,
            "features_paired": self.lambda_features * paired,
        }

    def discriminator_losses(
        self, batch: Batch, old: Generated, before_judging: Change = unchanged
    ) -> dict[str, Tensor]:
        """Return the discriminators' losses.

        Args:
            batch: Real images.
            old: Generated ones from the pools, without gradient.
            before_judging: What happens to all of them, each on its own, before they are judged.
        """
        n = len(batch)
        both = before_judging(torch.cat([batch.photo, old.photo]))
        photo = self.disc_photo(both).float()
        both = before_judging(torch.cat([batch.sketch, old.sketch]))
        sketch = self.disc_sketch(both, torch.cat([batch.style, old.style])).float()
        return {
            "disc_photo": losses.discriminator_loss(photo[:n], photo[n:]),
            "disc_sketch": losses.discriminator_loss(sketch[:n], sketch[n:]),
        }

    def r1_losses(self, batch: Batch, before_judging: Change = unchanged) -> dict[str, Tensor]:
        """Return the discriminators' R1 penalties, weighted for every r1_every-th step.

        Args:
            batch: Real images.
            before_judging: What happens to them before they are judged; the gradient goes through.
        """

        # forward() is never the compiled one, which has no second derivative.
        def judge_photo(photo: Tensor) -> Tensor:
            return self.disc_photo.forward(before_judging(photo))

        def judge_sketch(sketch: Tensor) -> Tensor:
            return self.disc_sketch.forward(before_judging(sketch), batch.style)

        photo = losses.r1_penalty(judge_photo, batch.photo)
        sketch = losses.r1_penalty(judge_sketch, batch.sketch)
        return {"r1_photo": self.weight_r1 * photo, "r1_sketch": self.weight_r1 * sketch}
