"""The losses of CycleGAN (Zhu et al. 2017), pure functions, unweighted.

The generators minimise

    gan_sketch + gan_photo
        + lambda_cycle    * (cycle_photo + cycle_sketch)
        + lambda_identity * (identity_photo + identity_sketch)
        + lambda_paired   * (paired_photo + paired_sketch)
        + lambda_structure * structure
        + lambda_features  * (features_cycle + features_paired)
        + lambda_nce       * nce
        + lambda_teacher   * (teacher_photo + teacher_sketch)

and each discriminator its own

    discriminator_loss + lambda_r1 * r1_penalty

where the penalty is added in every r1_every-th step alone, r1_every times as high (Karras et al.
2020). lambda_identity is absolute: the paper's identity weight of 0.5 lambda_cycle is
lambda_identity = 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in brightness (ITU-R BT.601)."""


PENCIL_PAPER = 0.95
"""Of the light around: what is brighter is left paper by a pencil."""

PENCIL_FLOOR = 0.05
"""Light that is added to that of a pixel and to that around it: grain in the dark is not drawn."""


STRUCTURE_FLOOR = 1e-6
"""Variance that counts as none: that of an eighth of a grey level of 255."""


def generator_gan_loss(judged_fake: Tensor) -> Tensor:
    """Least squares loss of a generator, E[(D(G(x)) - 1)^2] (Mao et al. 2017; Zhu 2017, sec. 4).

    Args:
        judged_fake: Discriminator output for generated images, any shape.

    Returns:
        Scalar loss, shape ().
    """
    return (judged_fake - 1).square().mean()


def discriminator_loss(judged_real: Tensor, judged_fake: Tensor) -> Tensor:
    """Least squares loss of a discriminator, halved as in Zhu et al. 2017, section 4.

        0.5 * (E[(D(y) - 1)^2] + E[D(G(x))^2])

    Args:
        judged_real: Discriminator output for real images, any shape.
        judged_fake: Discriminator output for generated images, same shape.

    Returns:
        Scalar loss, shape ().
    """
    return 0.5 * ((judged_real - 1).square().mean() + judged_fake.square().mean())


def r1_penalty(judge: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Squared gradient of a discriminator at real images, halved (Mescheder et al. 2018, Eq. 9).

        0.5 * E[|grad_y sum_p D_p(y)|^2] / P

    Of the P patches that a discriminator judges the mean is taken, so that a weight means the same
    at every image size; with P = 1 this is the paper's. In float32 (TF32 where CUDA's
    convolutions take it), also within autocast.

    Args:
        judge: Discriminator that can be differentiated twice.
        real: Real images, shape (B, C, H, W), range [-1, 1].

    Returns:
        Scalar loss, shape ().
    """
    real = real.detach().requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        judged = judge(real)
        [gradient] = torch.autograd.grad(judged.sum(), real, create_graph=True)
    return 0.5 * gradient.square().sum() / judged.numel()


def cycle_consistency_loss(reconstructed: Tensor, real: Tensor) -> Tensor:
    """Mean L1 distance after a round trip (Zhu et al. 2017, Eq. 2).

    Args:
        reconstructed: Round-trip images, shape (B, C, H, W), range [-1, 1].
        real: Original images, same shape and range.

    Returns:
        Scalar loss, shape ().

    Raises:
        ValueError: If the shapes differ.
    """
    return _mean_l1(reconstructed, real)


def identity_loss(translated: Tensor, real: Tensor) -> Tensor:
    """Mean L1 change of an image that already is in the target domain (Zhu 2017, sec. 5.2).

    Args:
        translated: Generator output for `real`, shape (B, C, H, W), range [-1, 1].
        real: Images of the generator's target domain, same shape and range.

    Returns:
        Scalar loss, shape ().

    Raises:
        ValueError: If the shapes differ.
    """
    return _mean_l1(translated, real)


def paired_loss(translated: Tensor, partner: Tensor, is_pair: Tensor) -> Tensor:
    """Mean L1 distance to the picture of the same face, 0 for images that have none.

        E[1_pair |G(x) - y|] (Isola et al. 2017, Eq. 3)

    The mean is that of the whole batch, so that a batch in parts gives the same.

    Args:
        translated: Generator output, shape (B, C, H, W), range [-1, 1].
        partner: What it should be where there is a pair, same shape and range.
        is_pair: 1 for pairs, 0 for others, shape (B, 1, 1, 1).

    Returns:
        Scalar loss, shape ().

    Raises:
        ValueError: If the shapes differ.
    """
    return _mean_l1(translated * is_pair, partner * is_pair)


def feature_loss(
    seen: Sequence[Tensor],
    wanted: Sequence[Tensor],
    share: float = 1.0,
    place_weight: Tensor | None = None,
) -> Tensor:
    """Distance in the features of a network (Zhang et al. 2018, Eq. 1, all channels alike).

        sum_l mean_{h,w} m |f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)||^2

    Args:
        seen: Features of generated images, by layer, each (N, C, H, W).
        wanted: Those of the images that they should be, same shapes.
        share: N in units of the batch, so that a batch in parts gives what a whole one gives.
        place_weight: How much each place counts, m, shape (1, 1, H, W) of the images or any other;
            of the layers' places its means are taken. None is 1 everywhere.

    Returns:
        Scalar loss, shape (), of the whole batch: 0 for images that are not there.
    """
    total = seen[0].new_zeros(())
    for a, b in zip(seen, wanted, strict=True):
        apart = (F.normalize(a.float()) - F.normalize(b.float())).square().sum(dim=1, keepdim=True)
        if place_weight is not None:
            apart = apart * F.interpolate(place_weight, apart.shape[2:], mode="area")
        total = total + share * apart.mean()
    return total


def imitation_loss(translated: Tensor, taught: Tensor) -> Tensor:
    """Mean L1 distance to what a teacher makes of the image (distillation, Hinton et al. 2015).

    Args:
        translated: Generator output, shape (B, C, H, W), range [-1, 1].
        taught: The teacher's, same shape and range.

    Returns:
        Scalar loss, shape ().

    Raises:
        ValueError: If the shapes differ.
    """
    return _mean_l1(translated, taught)


def patch_nce_loss(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Patches know their own place among others (PatchNCE, Park et al. 2020, Eq. 2 and 3).

        -log( exp(q_i . k_i / T) / sum_j exp(q_i . k_j / T) )

    Args:
        query: Features of P places of generated images, shape (B, P, C), unit length over C.
        key: Features of the same places of the real ones, same shape; places of one image alone
            are compared.
        temperature: T.

    Returns:
        Scalar loss, shape (); log P where nothing is known.
    """
    with torch.autocast(query.device.type, enabled=False):
        alike = query @ key.transpose(1, 2) / temperature  # (B, P, P)
    own = torch.arange(alike.shape[1], device=alike.device).expand(len(alike), -1)
    return F.cross_entropy(alike.flatten(0, 1), own.flatten())


def structure_loss(fake_sketch: Tensor, real_photo: Tensor) -> Tensor:
    """How little a sketch follows the fine light and shade of its photo.

        1 - sum_w cov_w(s, p) / sqrt(sum_w (var_w(s) + C) * sum_w (var_w(p) + C))

    s is the luma of the sketch, p = min(0.95, (l + 0.05) / (m + 0.05)) with l the luma of the
    photo, range [0, 1], and m its mean over squares of a sixteenth of the picture, taken twice:
    what a pencil would draw dark, without the grain of skin. Both are means of 3 x 3 pixels first.
    Windows w are of an eighth of the picture, so that neither the paper's tone nor the light of the
    room counts, and places with more to draw count more. The structure term of SSIM (Wang et al.
    2004, Eq. 10), summed before it is divided. C, as there, is there for blank sketches,
    whose direction would else be that of rounding, at any strength.

    Args:
        fake_sketch: Sketches, shape (B, 1 or 3, H, W), range [-1, 1].
        real_photo: The photos that they were drawn from, shape (B, 3, H, W), same range.

    Returns:
        Scalar loss, shape (), range [0, 2].
    """
    side = min(real_photo.shape[2:])
    light = luma(real_photo) / 2 + 0.5
    around = _box(_box(light, side // 32), side // 32)
    shade = (light + PENCIL_FLOOR) / (around + PENCIL_FLOOR)
    pencil = _box(shade.clamp(max=PENCIL_PAPER), 1)
    sketch = _box(luma(fake_sketch), 1)

    # What is the same everywhere would cost the differences below their last digits.
    sketch, pencil = (x - x.mean(dim=(1, 2, 3), keepdim=True) for x in (sketch, pencil))

    def covariance(a: Tensor, b: Tensor) -> Tensor:  # (B,)
        window = side // 16
        return (_box(a * b, window) - _box(a, window) * _box(b, window)).mean(dim=(1, 2, 3))

    def variance(x: Tensor) -> Tensor:
        return covariance(x, x).clamp_min(0) + STRUCTURE_FLOOR

    shared = covariance(sketch, pencil) * (variance(sketch) * variance(pencil)).rsqrt()
    return (1 - shared).mean()


def _box(x: Tensor, reach: int) -> Tensor:
    """Mean over squares of 2 * reach + 1 pixels, over columns of them and then over rows."""
    for kernel, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        x = F.avg_pool2d(x, kernel, 1, padding, count_include_pad=False)
    return x


def luma(x: Tensor) -> Tensor:
    """Brightness, shape (B, 1, H, W), by the weights of ITU-R BT.601."""
    if x.shape[1] == 1:
        return x
    red, green, blue = (weight * x[:, n : n + 1] for n, weight in enumerate(LUMA))
    return red + green + blue


def with_channels(images: Tensor, count: int) -> Tensor:
    """Write images, (B, 1 or 3, H, W), in 1 channel, their luma, or in 3."""
    return luma(images) if count == 1 else images.expand(-1, 3, -1, -1)


def _mean_l1(a: Tensor, b: Tensor) -> Tensor:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
    return F.l1_loss(a, b)
