"""The designs that recipes/ablation compares train, export and are as large as `compact`."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import facts  # noqa: E402
from facesketch import models  # noqa: E402
from facesketch.errors import ConfigError  # noqa: E402
from facesketch.export import export_run  # noqa: E402
from facesketch.models.layers import WEIGHT_STD, WSConv2d  # noqa: E402
from facesketch.training import train  # noqa: E402
from recipes.ablation import designs, run  # noqa: E402
from train_helpers import tiny_config, write_pictures  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread")]

MAX_PARAMETERS = 3_000_000
MAX_MACS = 2_500_000_000


@pytest.mark.parametrize("design", ["batch_norm", "magnitude_preserving", "attention"])
def test_a_design_learns_both_ways_and_is_exported(
    design: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "CompactGenerator", partial(designs.build, design))
    data, out = write_pictures(tmp_path / "data"), tmp_path / "run"
    train(tiny_config(data=data, out=out, steps=2, generator="compact"))
    export_run(out, tmp_path / "weights")
    assert (tmp_path / "weights" / "sketch2photo.onnx").stat().st_size > 1e6


@pytest.mark.parametrize("design", designs.DESIGNS)
def test_a_design_costs_what_compact_costs_and_all_of_it_learns(design: str) -> None:
    network = designs.build(design, 3, 1)
    assert sum(p.numel() for p in network.parameters()) < MAX_PARAMETERS
    network(torch.rand(2, 3, 32, 32)).mean().backward()
    missing = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    assert facts.macs(network.to("meta")) < MAX_MACS


def test_several_styles_are_refused() -> None:
    with pytest.raises(ConfigError, match="--styles"):
        designs.build("no_skips", 3, 1, num_styles=2)


def test_statistics_of_batches_are_learned_and_used() -> None:
    layer = designs.NormConv2d(WSConv2d(3, 4, 3), of_batch=True)
    batch = torch.rand(4, 3, 32, 32)
    for _ in range(200):
        learned = layer(batch)
    with torch.no_grad():
        used = layer(batch[:1])
    torch.testing.assert_close(used, learned[:1].detach(), atol=1e-2, rtol=0)


def test_lengths_of_weights_are_kept_while_they_learn() -> None:
    network = designs.build("magnitude_preserving", 3, 1)
    conv = network.enc1.conv1
    with torch.no_grad():
        conv.weight.mul_(3)
    network(torch.rand(1, 3, 32, 32))
    assert conv.weight.std().item() == pytest.approx(WEIGHT_STD, rel=0.01)


def test_designs_are_named_alike_and_others_are_refused() -> None:
    assert tuple(designs.DESIGNS) == run.DESIGNS
    done = subprocess.run(
        [sys.executable, designs.__file__, "wide"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "one of compact, batch_norm" in done.stderr
