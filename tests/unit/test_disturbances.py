from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from facesketch.diff_augment import NUM_CHOICES, diff_augment  # noqa: E402
from facesketch.disturbances import Disturbances, gaussian_blur  # noqa: E402
from train_helpers import tiny_config  # noqa: E402

pytestmark = pytest.mark.train

CPU = torch.device("cpu")
EVERYTHING = "color,translation,cutout"


def pictures(channels: int = 3, batch: int = 4, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, channels, size, size, generator=generator) * 2 - 1


def choices(**changed: float) -> Tensor:
    """Numbers that leave an image as it is, but for those named."""
    neutral = dict.fromkeys(
        ("brightness", "saturation", "contrast", "down", "right", "y", "x"), 0.5
    )
    return torch.tensor([list((neutral | changed).values())])


# Noise before the way back


def test_noise_has_its_standard_deviation_and_no_mean() -> None:
    fake = torch.ones(8, 1, 64, 64)  # white paper
    noise = Disturbances(tiny_config(cycle_noise=0.1), range(8), CPU).before_return(fake) - fake
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)


def test_a_blur_spreads_a_dot_by_its_standard_deviation_and_keeps_its_sum() -> None:
    dot = torch.zeros(2, 2, 33, 33)
    dot[:, :, 16, 16] = 1
    still, blurred = gaussian_blur(dot, torch.tensor([0.0, 1.5]), reach=8)
    assert torch.equal(still, dot[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gaussian_blur(dot, torch.zeros(2), reach=8), dot)
    away = torch.arange(-16, 17).float().square()
    for channel in blurred:
        assert channel.sum().item() == pytest.approx(1, abs=1e-5)
        assert (channel.sum(dim=0) * away).sum().item() == pytest.approx(1.5**2, rel=1e-3)
        assert (channel.sum(dim=1) * away).sum().item() == pytest.approx(1.5**2, rel=1e-3)


def test_what_goes_back_is_blurred_by_random_amounts() -> None:
    disturb = Disturbances(tiny_config(cycle_blur=1.5), range(8), CPU)
    before = pictures(batch=8)
    left = [image.std().item() for image in disturb.before_return(before) / before.std()]
    assert 0.1 < min(left) < max(left) - 0.2 < 0.9


def test_every_sample_and_both_ways_back_get_noise_of_their_own() -> None:
    disturb = Disturbances(tiny_config(cycle_noise=0.1), range(4), CPU)
    zero = torch.zeros(4, 1, 8, 8)
    seen = torch.cat([disturb.before_return(zero), disturb.before_return(zero)])
    assert len({image.numpy().tobytes() for image in seen}) == 8


def test_what_is_random_depends_on_seed_and_sample_alone() -> None:
    config = tiny_config(cycle_noise=0.1, cycle_blur=1.5, diff_augment=EVERYTHING)
    images = pictures()

    def both(seed: int, *parts: range) -> Tensor:
        disturbed = [
            Disturbances(config.model_copy(update={"seed": seed}), part, CPU) for part in parts
        ]
        shares = [images[part.start - 8 : part.stop - 8] for part in parts]
        seen = [
            d.before_judging(d.before_return(s)) for d, s in zip(disturbed, shares, strict=True)
        ]
        return torch.cat(seen)

    whole = both(0, range(8, 12))
    torch.testing.assert_close(whole, both(0, range(8, 10), range(10, 12)))
    assert torch.equal(whole, both(0, range(8, 12)))
    assert not torch.allclose(whole, both(1, range(8, 12)))


def test_every_sample_has_different_places_of_its_own_from_all_over_its_map() -> None:
    places = Disturbances(tiny_config(lambda_nce=1.0), range(4), CPU).choose_places(1024, 256)
    chosen = [frozenset(own) for own in places.tolist()]
    assert len(set(chosen)) == 4
    for own in chosen:
        assert len(own) == 256
        assert 0 <= min(own) < 100
        assert 924 < max(own) < 1024


def test_nothing_changes_where_it_is_off() -> None:
    disturb = Disturbances(tiny_config(), range(4), CPU)
    images = pictures()
    assert disturb.before_return(images) is images
    assert disturb.before_judging(images) is images


# What discriminators see


def test_real_and_generated_images_are_changed_by_the_same_kinds_of_change() -> None:
    config = tiny_config(diff_augment="translation", batch_size=200)
    white = torch.ones(400, 1, 16, 16)  # real ones, then generated ones
    seen = Disturbances(config, range(200), CPU).before_judging(white)
    lost = (seen == 0).float().mean(dim=(1, 2, 3))
    assert lost[:200].mean().item() == pytest.approx(lost[200:].mean().item(), abs=0.02)
    assert not torch.equal(lost[:200], lost[200:])


def test_colours_change_as_the_choices_say() -> None:
    images = pictures(batch=1)

    def changed(**kind: float) -> Tensor:
        return diff_augment(images, {"color"}, choices(**kind))

    torch.testing.assert_close(changed(), images)
    torch.testing.assert_close(changed(brightness=1), images + 0.5)
    grey = changed(saturation=0)
    torch.testing.assert_close(grey, images.mean(1, keepdim=True).expand_as(images))
    assert changed(contrast=1).std() / images.std() == pytest.approx(1.5, rel=1e-4)


def test_images_are_shifted_by_up_to_an_eighth() -> None:
    images = pictures(batch=1)
    down = diff_augment(images, {"translation"}, choices(down=0.999, right=0))
    torch.testing.assert_close(down[..., 4:, :-4], images[..., :-4, 4:])
    assert not down[..., :4, :].any()
    assert not down[..., -4:].any()
    assert torch.equal(diff_augment(images, {"translation"}, choices()), images)


def test_up_to_a_quarter_of_an_image_is_cut_out() -> None:
    images = torch.ones(1, 3, 32, 32)
    middle = diff_augment(images, {"cutout"}, choices())
    assert not middle[..., 8:24, 8:24].any()
    assert (middle == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    corner = diff_augment(images, {"cutout"}, choices(y=0, x=0))
    assert not corner[..., :8, :8].any()
    assert corner.mean().item() == pytest.approx(1 - 8 * 8 / 32**2)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_reach_the_images_that_were_changed(channels: int) -> None:
    images = pictures(channels).requires_grad_()
    numbers = torch.rand(4, NUM_CHOICES, generator=torch.Generator().manual_seed(1))
    diff_augment(images, EVERYTHING.split(","), numbers).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=1) > 0).float().mean() > 0.5
