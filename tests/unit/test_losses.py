from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from facesketch import losses  # noqa: E402
from facesketch.cyclegan import CycleGAN, Generated, Translated  # noqa: E402
from facesketch.data.batch import Batch  # noqa: E402
from facesketch.teacher import Teacher  # noqa: E402
from train_helpers import tiny_config  # noqa: E402

pytestmark = pytest.mark.train


def test_generator_loss_is_the_squared_distance_to_real() -> None:
    judged = torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    assert losses.generator_gan_loss(judged).item() == pytest.approx((0 + 1 + 4 + 0) / 4)


def test_discriminator_loss_is_half_the_sum_of_both_squared_distances() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, -1.0])
    expected = 0.5 * ((0 + 0.25) / 2 + (0 + 1) / 2)
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [losses.cycle_consistency_loss, losses.identity_loss])
def test_reconstruction_losses_are_mean_absolute_differences(loss) -> None:
    a = torch.tensor([-1.0, 0.0, 0.5, 1.0]).view(1, 1, 2, 2)
    b = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert loss(a, b).item() == pytest.approx(2.5 / 4)
    assert loss(a, a).item() == 0


@pytest.mark.parametrize("loss", [losses.cycle_consistency_loss, losses.identity_loss])
def test_reconstruction_losses_refuse_pictures_of_other_shapes(loss) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))


def test_pairs_alone_are_compared_to_their_partners() -> None:
    made, partner = torch.zeros(4, 1, 2, 2), torch.full((4, 1, 2, 2), 0.5)
    is_pair = torch.tensor([1.0, 0.0, 1.0, 1.0]).view(4, 1, 1, 1)
    assert losses.paired_loss(made, partner, is_pair).item() == pytest.approx(0.5 * 3 / 4)
    with pytest.raises(ValueError, match="shapes differ"):
        losses.paired_loss(made, partner.expand(-1, 3, -1, -1), is_pair)


def test_r1_of_a_linear_judge_is_half_its_squared_weight() -> None:
    weight = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    one_patch = losses.r1_penalty(lambda y: (weight * y).sum(dim=(1, 2, 3)), torch.ones(5, 2, 1, 1))
    assert one_patch.item() == pytest.approx(0.5 * 25)
    every_pixel = losses.r1_penalty(lambda y: (weight * y).sum(dim=1), torch.ones(5, 2, 8, 8))
    assert every_pixel.item() == pytest.approx(0.5 * 25)


def test_r1_makes_the_gradients_of_a_judge_smaller() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_r1=1.0))
    optimizer = torch.optim.Adam(model.disc_photo.parameters(), 1e-3)
    photo, penalties = pictures(3, 1), []
    for _ in range(5):
        optimizer.zero_grad()
        penalties.append(losses.r1_penalty(model.disc_photo, photo))
        penalties[-1].backward()
        optimizer.step()
    assert penalties[-1] < 0.8 * penalties[0]


def test_r1_is_exact_within_autocast() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_r1=2.0, r1_every=16, styles="line,edge"))
    photo, sketch, style = pictures(3, 1), pictures(1, 2), torch.tensor([1, 0])
    with torch.autocast("cpu", torch.bfloat16):
        seen = model.r1_losses(Batch.of(photo, sketch, style=style))
    judge_photo, judge_sketch = model.disc_photo.double(), model.disc_sketch.double()
    exact = {
        "r1_photo": losses.r1_penalty(judge_photo, photo.double()),
        "r1_sketch": losses.r1_penalty(lambda x: judge_sketch(x, style), sketch.double()),
    }
    assert {loss.dtype for loss in seen.values()} == {torch.float32}
    expected = {name: 2 * 16 * loss.item() for name, loss in exact.items()}
    assert {n: loss.item() for n, loss in seen.items()} == pytest.approx(expected, rel=1e-3)


def pictures(channels: int, seed: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, 32, 32, generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def model() -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(tiny_config(lambda_cycle=10, lambda_identity=5))


@torch.no_grad()
def test_a_forward_pass_equals_the_generators_one_by_one(model: CycleGAN) -> None:
    photo, sketch = pictures(3, 1), pictures(1, 2)
    seen = model(Batch.of(photo, sketch))
    to_sketch, to_photo = model.gen_photo2sketch, model.gen_sketch2photo
    expected = {
        "fake_sketch": to_sketch(photo),
        "fake_photo": to_photo(sketch),
        "rec_photo": to_photo(to_sketch(photo)),
        "rec_sketch": to_sketch(to_photo(sketch)),
        "idt_sketch": to_sketch(sketch.expand(-1, 3, -1, -1)),
        "idt_photo": to_photo(model.as_sketch(photo)),
    }
    for name, tensor in expected.items():
        torch.testing.assert_close(getattr(seen, name), tensor, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_redrawn_sketch_is_what_becomes_a_photo_and_nothing_else(model: CycleGAN) -> None:
    photo, sketch, redrawn = pictures(3, 1), pictures(1, 2), pictures(1, 3)
    batch = Batch.of(photo, sketch, shown=redrawn)
    plain, seen = model(Batch.of(photo, sketch)), model(batch)
    torch.testing.assert_close(seen.fake_photo, model.gen_sketch2photo(redrawn))
    torch.testing.assert_close(seen.rec_sketch, model.gen_photo2sketch(seen.fake_photo))
    for name in ("fake_sketch", "rec_photo", "idt_photo", "idt_sketch"):
        torch.testing.assert_close(getattr(seen, name), getattr(plain, name))
    asked_back = (seen.rec_sketch - sketch).abs().mean() * model.lambda_cycle
    losses_seen = model.generator_losses(batch, seen)
    torch.testing.assert_close(losses_seen["cycle_sketch"], asked_back)


@torch.no_grad()
@pytest.mark.parametrize("lambda_identity", [0.0, 5.0])
def test_noise_lies_on_what_goes_back_and_on_nothing_else(lambda_identity: float) -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_identity=lambda_identity))
    photo, sketch = pictures(3, 1), pictures(1, 2)
    batch = Batch.of(photo, sketch)
    plain, seen = model(batch), model(batch, before_return=lambda fake: fake + 0.3)
    assert torch.equal(seen.fake_sketch, plain.fake_sketch)
    torch.testing.assert_close(seen.fake_photo, plain.fake_photo)
    back = model.gen_sketch2photo(plain.fake_sketch + 0.3)
    torch.testing.assert_close(seen.rec_photo, back, rtol=1e-4, atol=1e-4)
    back = model.gen_photo2sketch(plain.fake_photo + 0.3)
    torch.testing.assert_close(seen.rec_sketch, back, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_paired_weight_asks_both_translations_for_the_partner() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_paired=3))
    photo, sketch = pictures(3, 1), pictures(1, 2)
    made = Translated(photo + 0.1, sketch - 0.2, photo, sketch)
    batch = Batch.of(photo, sketch, is_pair=torch.ones(2, 1, 1, 1))
    seen = model.generator_losses(batch, made)
    assert seen["paired_photo"].item() == pytest.approx(3 * 0.1, rel=1e-4)
    assert seen["paired_sketch"].item() == pytest.approx(3 * 0.2, rel=1e-4)


@torch.no_grad()
def test_real_and_generated_images_are_judged_as_they_were_changed(model: CycleGAN) -> None:
    images = pictures(3, 1), pictures(1, 2), pictures(3, 3), pictures(1, 4)
    photo, sketch, fake_photo, fake_sketch = images
    batch, first = Batch.of(photo, sketch), torch.zeros(2, dtype=torch.long)
    old = Generated(fake_photo, fake_sketch, first)
    changed = model.discriminator_losses(batch, old, before_judging=torch.neg)
    negative = Generated(-fake_photo, -fake_sketch, first)
    expected = model.discriminator_losses(Batch.of(-photo, -sketch), negative)
    assert changed == expected
    made = Translated(fake_photo, fake_sketch, photo, sketch)
    changed = model.generator_losses(batch, made, before_judging=torch.neg)
    judged = {
        "gan_sketch": model.disc_sketch(-fake_sketch),
        "gan_photo": model.disc_photo(-fake_photo),
    }
    for name, verdict in judged.items():
        torch.testing.assert_close(changed[name], losses.generator_gan_loss(verdict))


@torch.no_grad()
def test_generator_losses_are_weighted_as_the_equation_says(model: CycleGAN) -> None:
    photo, sketch = pictures(3, 1), pictures(1, 2)
    made = Translated(
        fake_photo=pictures(3, 3),
        fake_sketch=pictures(1, 4),
        rec_photo=photo + 0.1,
        rec_sketch=sketch - 0.2,
        idt_photo=photo - torch.tensor([0.3, 0.0, 0.0]).view(1, 3, 1, 1),
        idt_sketch=sketch + 0.4,
    )
    seen = model.generator_losses(Batch.of(photo, sketch), made)
    seen = {name: loss.item() for name, loss in seen.items()}
    assert seen == pytest.approx(
        {
            "gan_sketch": (model.disc_sketch(made.fake_sketch) - 1).square().mean().item(),
            "gan_photo": (model.disc_photo(made.fake_photo) - 1).square().mean().item(),
            "cycle_photo": 10 * 0.1,
            "cycle_sketch": 10 * 0.2,
            "identity_photo": 5 * 0.3 * 0.299,  # of red, as luma
            "identity_sketch": 5 * 0.4,
        },
        rel=1e-4,
    )


class Negative(torch.nn.Module):
    """A generator that inverts the tones, of red where it draws."""

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        return -x[:, :1] if style is not None else -x.expand(-1, 3, -1, -1)


@torch.no_grad()
def test_losses_that_are_off_by_default_are_weighted_as_the_equation_says() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_structure=3, lambda_nce=2, lambda_teacher=4))
    model.teacher = Teacher({"photo2sketch": Negative(), "sketch2photo": Negative()}, 1, "any")
    photo, sketch = pictures(3, 1), pictures(1, 2)
    made = Translated(pictures(3, 3), pictures(1, 4), photo, sketch)
    places = torch.tensor([[5, 700, 90], [3, 60, 1000]])
    seen = model.generator_losses(
        Batch.of(photo, sketch), made, choose=lambda num_places, _count: places % num_places
    )
    drawn = made.fake_sketch.expand(-1, 3, -1, -1)
    maps = [model.gen_photo2sketch.encode(x) for x in (drawn, photo)]
    nce = []
    for head, *pair in zip(model.contrast.heads, *maps, strict=True):
        numbers = places % pair[0][0, 0].numel()
        chosen = [
            torch.stack([x.flatten(1)[:, own].T for x, own in zip(each, numbers, strict=True)])
            for each in pair
        ]  # (B, 3, C)
        known, wanted = (torch.nn.functional.normalize(head(x), dim=2) for x in chosen)
        nce.append(losses.patch_nce_loss(known, wanted))
    expected = {
        "structure": 3 * losses.structure_loss(made.fake_sketch, photo),
        "nce": 2 * torch.stack(nce).mean(),
        "teacher_sketch": 4 * (made.fake_sketch + photo[:, :1]).abs().mean(),
        "teacher_photo": 4 * (made.fake_photo + sketch).abs().mean(),
    }
    for name, loss in expected.items():
        assert seen[name].item() == pytest.approx(loss.item(), rel=1e-4), name


@torch.no_grad()
def test_discriminators_judge_their_own_domain(model: CycleGAN) -> None:
    real_photo, real_sketch = pictures(3, 1), pictures(1, 2)
    old_photo, old_sketch = pictures(3, 3), pictures(1, 4)
    old = Generated(old_photo, old_sketch, torch.zeros(2, dtype=torch.long))
    seen = model.discriminator_losses(Batch.of(real_photo, real_sketch), old)
    photo = losses.discriminator_loss(model.disc_photo(real_photo), model.disc_photo(old_photo))
    sketch = losses.discriminator_loss(
        model.disc_sketch(real_sketch), model.disc_sketch(old_sketch)
    )
    assert seen["disc_photo"].item() == pytest.approx(photo.item(), rel=1e-4)
    assert seen["disc_sketch"].item() == pytest.approx(sketch.item(), rel=1e-4)


@torch.no_grad()
def test_without_an_identity_weight_nothing_is_computed_for_it() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_identity=0))
    photo, sketch = pictures(3, 1), pictures(1, 2)
    made = model(Batch.of(photo, sketch))
    assert made.idt_photo is None
    assert set(model.generator_losses(Batch.of(photo, sketch), made)) == {
        "gan_sketch",
        "gan_photo",
        "cycle_photo",
        "cycle_sketch",
    }


def test_a_photo_is_written_as_its_luma_where_sketches_are_grayscale(model: CycleGAN) -> None:
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert model.as_sketch(red).shape == (1, 1, 2, 2)
    assert model.as_sketch(red).mean().item() == pytest.approx(2 * 0.299 - 1)


def test_a_photo_stays_as_it_is_where_sketches_have_three_channels() -> None:
    model = CycleGAN(tiny_config(sketch_channels=3))
    photo = pictures(3, 1)
    assert torch.equal(model.as_sketch(photo), photo)


@torch.no_grad()
def test_every_sample_is_drawn_and_judged_in_its_style() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(styles="line,edge,hatch"))
    for layer in model.gen_photo2sketch.modules():
        if getattr(layer, "is_styled", False):
            torch.nn.init.normal_(layer.style_gain, 1.0, 0.3)
    photo, sketch, style = pictures(3, 1), pictures(1, 2), torch.tensor([2, 0])
    batch = Batch.of(photo, sketch, style=style)
    seen = model(batch)
    for number in range(2):
        one = slice(number, number + 1)
        drawn = model.gen_photo2sketch(photo[one], style[one])
        torch.testing.assert_close(seen.fake_sketch[one], drawn, rtol=1e-4, atol=1e-4)
    assert (model.gen_photo2sketch(photo) - seen.fake_sketch)[0].abs().max() > 1e-3
    judged = model.disc_sketch.layers(seen.fake_sketch)[[0, 1], style]
    expected = losses.generator_gan_loss(judged)
    torch.testing.assert_close(model.generator_losses(batch, seen)["gan_sketch"], expected)
    old = Generated(photo, sketch, style.flip(0))
    maps = model.disc_sketch.layers(sketch)
    expected = losses.discriminator_loss(maps[[0, 1], style], maps[[0, 1], style.flip(0)])
    torch.testing.assert_close(model.discriminator_losses(batch, old)["disc_sketch"], expected)


# Structure


def shading(size: int = 64) -> Tensor:
    """Light and shade of several sizes, (1, 1, size, size), range [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 1, size, size, generator=generator)
    return torch.nn.functional.avg_pool2d(noise, 3, 1, 1)


def test_structure_asks_for_the_fine_shading_of_the_photo_in_any_tone() -> None:
    light = shading()
    photo = (2 * light - 1).expand(-1, 3, -1, -1)
    same = losses.structure_loss(2 * light - 1, photo).item()
    paler = losses.structure_loss(0.4 * light + 0.5, photo).item()
    negative = losses.structure_loss(1 - 2 * light, photo).item()
    unrelated = losses.structure_loss(2 * light.flip(3) - 1, photo).item()
    assert 0 <= same < 0.2
    assert paler == pytest.approx(same, abs=1e-3)
    assert unrelated == pytest.approx(1, abs=0.2)
    assert negative == pytest.approx(2 - same, abs=1e-3)


def test_structure_does_not_count_the_light_of_the_room() -> None:
    light = shading()
    lamp = torch.linspace(0.5, 1, 64).view(1, 1, 1, 64)
    sketch = 2 * light - 1
    even, uneven = ((2 * p - 1).expand(-1, 3, -1, -1) for p in (light, light * lamp))
    expected = losses.structure_loss(sketch, even).item()
    assert losses.structure_loss(sketch, uneven).item() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("tone", [1.0, 0.9973, 0.9, -1.0])
def test_structure_of_a_blank_sketch_is_neither_nan_nor_a_leap(tone: float) -> None:
    photo = (2 * shading() - 1).expand(-1, 3, -1, -1)
    blank = torch.full((1, 1, 64, 64), tone, requires_grad=True)
    loss = losses.structure_loss(blank, photo)
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-3)
    assert 0 < blank.grad.norm() < 20


# Contrast


def test_the_contrastive_loss_is_log_p_where_nothing_is_known_and_0_where_all_is() -> None:
    alike = torch.full((2, 8, 4), 0.5)
    assert losses.patch_nce_loss(alike, alike).item() == pytest.approx(math.log(8), rel=1e-5)
    apart = torch.eye(8).expand(2, -1, -1)
    assert losses.patch_nce_loss(apart, apart).item() == pytest.approx(0, abs=1e-4)
    swapped = losses.patch_nce_loss(apart, apart.flip(1)).item()
    assert swapped == pytest.approx(1 / 0.07, rel=1e-3)
