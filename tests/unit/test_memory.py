"""The estimate of a step's memory measures a network and lets go of it."""

from __future__ import annotations

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

from facesketch import memory  # noqa: E402
from facesketch.cyclegan import CycleGAN  # noqa: E402
from train_helpers import EVERYTHING, tiny_config  # noqa: E402

pytestmark = pytest.mark.train


def test_what_was_measured_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []

    class Watched(CycleGAN):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            weights.extend(weakref.ref(p) for p in self.parameters())

    monkeypatch.setattr(memory, "CycleGAN", Watched)
    assert memory.estimate_step_bytes(tiny_config()) > 1e8
    gc.collect()
    assert weights
    assert not [ref for ref in weights if ref() is not None]


def test_tensors_without_values_take_what_real_ones_take() -> None:
    config = tiny_config()
    real = memory._kept_bytes(CycleGAN(config), config.sketch_channels, 32, torch.float32)
    with memory.FakeTensorMode(allow_non_fake_inputs=True):
        fake = memory._kept_bytes(CycleGAN(config), config.sketch_channels, 32, torch.float32)
    assert fake == real > 1e6


def test_bfloat16_takes_less_whatever_is_on() -> None:
    everything = tiny_config(**EVERYTHING)
    whole = memory.estimate_step_bytes(everything)
    half = everything.model_copy(update={"precision": "bfloat16"})
    assert memory.estimate_step_bytes(half) < whole
