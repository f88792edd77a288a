"""RUN/losses.png."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from facesketch import loss_plot

pytestmark = pytest.mark.train


def write_log(run: Path, num_steps: int) -> None:
    (run / "logs").mkdir()
    lines = [
        {"step": step, "gan_photo": 1 / step, "disc_photo": 0.25, "cycle_photo": 3.0, "nce": 0.5,
         "learning_rate": 2e-4, "grad_norm_gen": 40.0, "images_per_second": 4.0}
        for step in range(1, num_steps + 1)
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "logs" / "losses.jsonl").write_text(text, encoding="utf-8")


def test_every_loss_has_a_curve_and_nothing_else_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path, 30)
    drawn: dict[str, tuple[list[float], list[float]]] = {}
    axes = pytest.importorskip("matplotlib.axes").Axes
    plot = axes.plot

    def remember(self: object, x: list[float], y: list[float], label: str, **options: object):
        drawn[label] = x, y
        return plot(self, x, y, label=label, **options)

    monkeypatch.setattr(axes, "plot", remember)
    loss_plot.write_loss_plot(tmp_path)
    assert set(drawn) == {"gan_photo", "disc_photo", "cycle_photo", "nce"}
    assert drawn["gan_photo"] == (
        [float(step) for step in range(1, 31)],
        pytest.approx([1 / step for step in range(1, 31)]),
    )
    with Image.open(tmp_path / loss_plot.PLOT_NAME) as picture:
        assert picture.width > 600


def test_a_long_log_is_read_in_a_few_records(tmp_path: Path) -> None:
    write_log(tmp_path, 2 * loss_plot.NUM_RECORDS + 1)
    records = loss_plot._read(tmp_path / "logs" / "losses.jsonl")
    assert len(records) <= loss_plot.NUM_RECORDS
    assert 3 * len(records) >= 2 * loss_plot.NUM_RECORDS


def test_an_empty_log_gives_no_plot(tmp_path: Path) -> None:
    write_log(tmp_path, 0)
    loss_plot.write_loss_plot(tmp_path)
    assert not (tmp_path / loss_plot.PLOT_NAME).exists()
