"""RUN/validation.png: how KID and cycle errors went, and where the best weights are from."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from facesketch.validation.record import History, best_of
from facesketch.writing import write_whole

SKETCH, PHOTO, BEST = "#0b6e99", "#d1642e", "#444444"
"""Colours, told apart without red against green."""


def write_plot(path: Path, history: History) -> None:
    """Draw a run's validations.

    Args:
        path: PNG to write.
        history: One validation or more.
    """
    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _draw_kid(above, history)
    steps = [each.step for each in history]
    for name, colour in (("sketch", SKETCH), ("photo", PHOTO)):
        errors = [getattr(each, f"cycle_{name}") for each in history]
        below.plot(steps, errors, color=colour, marker="o", markersize=3)
    below.set(ylabel="cycle error (steps of 255)", xlabel="optimizer step")
    below.set(xlim=(0, None), ylim=(0, None))
    below.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    below.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(best_of(history).step, color=BEST, linestyle=":", linewidth=1)
    with write_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _draw_kid(axes: Axes, history: History) -> None:
    """Draw both KIDs in their standard errors, and their mean, by which the best is chosen."""
    steps = [each.step for each in history]
    for name, label, colour in (("sketch", "sketches", SKETCH), ("photo", "photos", PHOTO)):
        values = [getattr(each, f"kid_{name}") for each in history]
        errors = [getattr(each, f"error_{name}") for each in history]
        low = [value - error for value, error in zip(values, errors, strict=True)]
        high = [value + error for value, error in zip(values, errors, strict=True)]
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(steps, values, color=colour, marker="o", markersize=3, label=label)
    mean = [each.kid for each in history]
    axes.plot(steps, mean, color=BEST, linestyle="--", linewidth=1, label="mean of both")
    best = best_of(history)
    label = f"best: {best.kid:.3g} at step {best.step:,}"
    axes.plot(best.step, best.kid, "*", color=BEST, markersize=14, label=label)
    if min(min(each.kid_sketch, each.kid_photo) for each in history) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(ylabel="KID, lower is better", title="Validation")
    axes.legend(frameon=False)
