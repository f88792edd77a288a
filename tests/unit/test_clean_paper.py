"""The last layer of drawings whose paper is cleaned."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facesketch.config import build_config  # noqa: E402
from facesketch.cyclegan import build_generator  # noqa: E402
from facesketch.errors import ConfigError  # noqa: E402
from facesketch.models import CompactGenerator  # noqa: E402
from facesketch.models.layers import clean_paper  # noqa: E402

pytestmark = pytest.mark.train


def drawing(ink: float) -> torch.Tensor:
    return torch.full((1, 1, 9, 9), 1.0 - 2 * ink)


@pytest.mark.parametrize(
    ("ink", "left"), [(0, 0), (0.1, 0), (0.16, 0), (0.2, 0.12), (0.24, 0.24), (0.5, 0.5), (1, 1)]
)
def test_ink_lighter_than_the_threshold_becomes_paper(ink: float, left: float) -> None:
    torch.testing.assert_close(clean_paper(drawing(ink), 0.2), drawing(left))  # border included


def test_a_dot_is_softened_and_keeps_its_ink() -> None:
    dot = drawing(0)
    dot[0, 0, 4, 4] = -1
    ink = (1 - clean_paper(dot, 0.1)) / 2
    assert ink.sum().item() == pytest.approx(1, abs=1e-5)
    assert ink[0, 0, 4, 4].item() == pytest.approx(0.57 + 0.43 / 9, abs=1e-6)
    assert ink[0, 0, 3, 5].item() == pytest.approx(0.43 / 9, abs=1e-6)
    assert not ink[0, 0, :, :3].any()


def test_a_small_difference_stays_small() -> None:
    shades = torch.linspace(-1, 1, 2001).expand(1, 1, 3, -1)
    steps = clean_paper(shades, 0.15)[0, 0, 1].diff()
    assert steps.min() >= -1e-6
    assert steps.max() <= 3.01 * 2 / 2000


def test_a_generator_cleans_what_it_draws() -> None:
    torch.manual_seed(0)
    plain = CompactGenerator(3, 1)
    clean = CompactGenerator(3, 1, paper_threshold=0.3)
    clean.load_state_dict(plain.state_dict())
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(clean(photo), clean_paper(plain(photo), 0.3))


def test_the_setting_is_for_sketches_of_the_compact_generator() -> None:
    config = build_config("compact", {"clean_paper": 0.2})
    thresholds = [
        getattr(build_generator(config, way), "paper_threshold", None)
        for way in ("photo2sketch", "sketch2photo")
    ]
    assert thresholds == [0.2, 0]
    with pytest.raises(ConfigError, match="generator resnet9 has no clean_paper; compact has"):
        build_config("paper", {"clean_paper": 0.2})
