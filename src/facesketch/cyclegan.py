"""Four networks and their losses by name. Steps no optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facesketch import losses
from facesketch.config import TrainConfig
from facesketch.models import PatchDiscriminator, generator

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in brightness (ITU-R BT.601)."""


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


class CycleGAN(nn.Module):
    """Two generators, two discriminators (Zhu et al. 2017)."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        channels = config.sketch_channels
        self.lambda_cycle = config.lambda_cycle
        self.lambda_identity = config.lambda_identity
        self.lambda_paired = config.lambda_paired
        self.weight_r1 = config.lambda_r1 * config.r1_every
        self.sketch_channels = channels
        self.gen_photo2sketch = generator(config.generator, 3, channels, config.upsample)
        self.gen_sketch2photo = generator(config.generator, channels, 3, config.upsample)
        self.disc_photo = PatchDiscriminator(3, config.disc_filters)
        self.disc_sketch = PatchDiscriminator(channels, config.disc_filters)

    def generators(self) -> dict[str, nn.Module]:
        """Return the two generators by direction."""
        return {"photo2sketch": self.gen_photo2sketch, "sketch2photo": self.gen_sketch2photo}

    def discriminators(self) -> dict[str, nn.Module]:
        """Return the two discriminators by the domain that they judge."""
        return {"photo": self.disc_photo, "sketch": self.disc_sketch}

    def forward(
        self,
        real_photo: Tensor,
        real_sketch: Tensor,
        redrawn_sketch: Tensor | None = None,
        before_return: Change = unchanged,
    ) -> Translated:
        """Translate both domains there and back.

        No layer looks across the batch, so inputs of one generator go through it together; the
        result is the same as one by one.

        Args:
            real_photo: (B, 3, H, W), range [-1, 1].
            real_sketch: (B, sketch_channels, H, W), range [-1, 1].
            redrawn_sketch: What sketch2photo is shown in its place, same shape and range. The
                cycle asks for the real one, so that the way there and back cleans it up.
            before_return: What happens to generated images of both domains that go back: photos
                too, as they can hide the strokes that an artist was free to choose.
        """
        photo = real_photo
        sketch = real_sketch if redrawn_sketch is None else redrawn_sketch
        n = len(photo)
        if self.lambda_identity == 0:
            fake_sketch = self.gen_photo2sketch(photo).float()
            both = self.gen_sketch2photo(torch.cat([before_return(fake_sketch), sketch])).float()
            rec_photo, fake_photo = both[:n], both[n:]
            rec_sketch = self._sketch(before_return(fake_photo))
            return Translated(fake_photo, fake_sketch, rec_photo, rec_sketch)
        both = self.gen_photo2sketch(torch.cat([photo, self.as_photo(real_sketch)])).float()
        fake_sketch, idt_sketch = both[:n], both[n:]
        returning = before_return(fake_sketch)
        both = self.gen_sketch2photo(torch.cat([returning, sketch, self.as_sketch(photo)]))
        rec_photo, fake_photo, idt_photo = both.float().split([n, len(sketch), n])
        rec_sketch = self._sketch(before_return(fake_photo))
        return Translated(fake_photo, fake_sketch, rec_photo, rec_sketch, idt_photo, idt_sketch)

    def _sketch(self, photo: Tensor) -> Tensor:
        return self.gen_photo2sketch(photo).float()  # type: ignore[no-any-return]

    def as_photo(self, sketch: Tensor) -> Tensor:
        """Write a sketch in the channels of a photo, (B, 3, H, W)."""
        return sketch.expand(-1, 3, -1, -1)

    def as_sketch(self, photo: Tensor) -> Tensor:
        """Write a photo in the channels of a sketch: its luma where sketches are grayscale."""
        if self.sketch_channels == 3:
            return photo
        weights = photo.new_tensor(LUMA).view(1, 3, 1, 1)
        return (photo * weights).sum(dim=1, keepdim=True)

    def generator_losses(
        self,
        real_photo: Tensor,
        real_sketch: Tensor,
        t: Translated,
        is_pair: Tensor | None = None,
        before_judging: Change = unchanged,
    ) -> dict[str, Tensor]:
        """Return the generators' losses, weighted; their sum is what to minimise.

        A photo that went in as luma cannot come back in colour: with grayscale sketches its
        identity loss compares the luma.

        Args:
            real_photo: (B, 3, H, W), range [-1, 1].
            real_sketch: (B, sketch_channels, H, W), range [-1, 1].
            t: What `forward` made of them.
            is_pair: 1 where photo and sketch show the same face, else 0, shape (B, 1, 1, 1).
            before_judging: What happens to generated images before they are judged.
        """
        judged_sketch = self.disc_sketch(before_judging(t.fake_sketch)).float()
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
        if self.lambda_paired and is_pair is not None:
            photo = losses.paired_loss(t.fake_photo, real_photo, is_pair)
            sketch = losses.paired_loss(t.fake_sketch, real_sketch, is_pair)
            result["paired_photo"] = self.lambda_paired * photo
            result["paired_sketch"] = self.lambda_paired * sketch
        return result

    def discriminator_losses(
        self,
        real_photo: Tensor,
        real_sketch: Tensor,
        old_photo: Tensor,
        old_sketch: Tensor,
        before_judging: Change = unchanged,
    ) -> dict[str, Tensor]:
        """Return the discriminators' losses.

        Args:
            real_photo: (B, 3, H, W).
            real_sketch: (B, sketch_channels, H, W).
            old_photo: Generated photos from the pool, without gradient.
            old_sketch: Generated sketches from the pool, without gradient.
            before_judging: What happens to all of them, each on its own, before they are judged.
        """
        n = len(real_photo)
        photo = self.disc_photo(before_judging(torch.cat([real_photo, old_photo]))).float()
        sketch = self.disc_sketch(before_judging(torch.cat([real_sketch, old_sketch]))).float()
        return {
            "disc_photo": losses.discriminator_loss(photo[:n], photo[n:]),
            "disc_sketch": losses.discriminator_loss(sketch[:n], sketch[n:]),
        }

    def r1_losses(self, real_photo: Tensor, real_sketch: Tensor) -> dict[str, Tensor]:
        """Return the discriminators' R1 penalties, weighted for every r1_every-th step."""
        # forward() is never the compiled one, which has no second derivative.
        photo = losses.r1_penalty(self.disc_photo.forward, real_photo)
        sketch = losses.r1_penalty(self.disc_sketch.forward, real_sketch)
        return {"r1_photo": self.weight_r1 * photo, "r1_sketch": self.weight_r1 * sketch}
