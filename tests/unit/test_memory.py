"""The estimate of a step's memory measures a network and lets go of it."""

from __future__ import annotations

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

from facesketch import memory  # noqa: E402
from facesketch.cyclegan import CycleGAN  # noqa: E402
from train_helpers import tiny_config  # noqa: E402

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
