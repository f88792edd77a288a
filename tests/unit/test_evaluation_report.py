"""What the report says of figures."""

from __future__ import annotations

import re

import pytest

from facesketch.evaluation.results import Column, Folder, Results
from facesketch.evaluation.statistics import Value

pytest.importorskip("jinja2")

from facesketch.evaluation.report import render


def figure(value: float, half: float = 0.01) -> Value:
    return Value(value=value, n=50, interval=(value - half, value + half), method="bootstrap")


def page(name: str, *figures: Value, labels: tuple[str, ...] = ("first", "second")) -> str:
    """Render a report with one metric of two sets of weights."""
    columns = [
        Column(name=label, kind="weights", values={"photo2sketch": {name: value}})
        for label, value in zip(labels, figures, strict=True)
    ]
    results = Results(
        created="2026-01-01T00:00:00",
        command="facesketch evaluate",
        versions={},
        machine="test",
        size=64,
        subset_size=10,
        extractors={},
        photos=Folder(path="photos", num_images=50),
        sketches=Folder(path="sketches", num_images=50),
        num_pairs=0,
        columns=columns,
    )
    return render(results, [])


def best(html: str) -> list[str]:
    return re.findall(r'<td class="best">\s*<strong>([^<]*)</strong>', html)


def test_the_best_is_marked_where_lower_and_where_higher_is_better() -> None:
    assert best(page("kid_mobilenetv2", figure(0.2), figure(0.1))) == ["0.1000"]
    assert best(page("ssim", figure(0.2), figure(0.1))) == ["0.200"]


def test_nothing_is_best_within_the_intervals() -> None:
    assert best(page("ssim", figure(0.20), figure(0.21))) == []
    assert best(page("ssim", figure(0.2), figure(0.2))) == []


@pytest.mark.parametrize("name", ["checkerboard", "latency"])
def test_some_figures_have_no_best(name: str) -> None:
    assert best(page(name, figure(-1), figure(3))) == []


def test_shares_are_shown_in_percent() -> None:
    assert "<strong>58.9</strong>" in page("rank1", figure(0.589), figure(0.5))


def test_names_cannot_break_the_page() -> None:
    html = page("ssim", figure(1), figure(0), labels=("<script>", "b"))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
