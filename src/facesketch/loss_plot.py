"""RUN/losses.png: how the losses went, without any program that must run to see them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from facesketch.run_folder import LOGS_NAME
from facesketch.writing import write_whole

PLOT_NAME = "losses.png"

NUM_POINTS, NUM_RECORDS = 200, 4_000
"""Points of a curve, means of neighbours; logged steps that are read, spread over the run."""

_TITLES = {
    "gan": "Generators, adversarial; at 0.25 discriminators are undecided",
    "disc": "Discriminators; at 0.25 they are undecided",
    "cycle": "Cycle",
}


def write_loss_plot(run: Path) -> None:
    """Draw what RUN/logs/losses.jsonl holds; nothing where it is empty.

    Losses are as they are minimised, weighted. What is neither adversarial nor of the cycle shares
    the last plot.
    """
    records = _read(run / LOGS_NAME / "losses.jsonl")
    if not records:
        return
    names = sorted({name for record in records for name in record if _group(name) is not None})
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(str(_group(name)), []).append(name)
    order = [group for group in (*_TITLES, "others") if group in groups]
    figure = Figure(figsize=(8, 2.4 * len(order)), layout="constrained")
    plots = figure.subplots(len(order), 1, sharex=True, squeeze=False)[:, 0]
    for axes, group in zip(plots, order, strict=True):
        for name in groups[group]:
            points = [(record["step"], record[name]) for record in records if name in record]
            axes.plot(*_means(np.array(points, dtype=float)), label=name, linewidth=1)
        axes.set_title(_TITLES.get(group, "Other losses"), fontsize=10, loc="left")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    plots[-1].set(xlabel="optimizer step", xlim=(0, None))
    plots[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    plots[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    with write_whole(run / PLOT_NAME) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _read(path: Path) -> list[dict[str, float]]:
    """Read logged steps, in memory that does not grow with their number."""
    with path.open(encoding="utf-8") as file:
        stride = -(-sum(1 for _ in file) // NUM_RECORDS) or 1
        file.seek(0)
        return [json.loads(line) for line in islice(file, stride - 1, None, stride)]


def _group(name: str) -> str | None:
    """Return which plot a logged value belongs to; None for what is no loss."""
    kind = name.partition("_")[0]
    if name in ("step", "learning_rate", "images_per_second") or kind == "grad":
        return None
    return kind if kind in _TITLES else "others"


def _means(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[list[float], ...]:
    """Return steps and values, each the mean of a stretch."""
    stretches = np.array_split(points, min(NUM_POINTS, len(points)))
    steps, values = zip(*(stretch.mean(axis=0) for stretch in stretches), strict=True)
    return list(steps), list(values)
