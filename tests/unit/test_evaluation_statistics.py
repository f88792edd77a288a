"""Figures and their intervals, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from facesketch.evaluation import statistics
from facesketch.evaluation.statistics import bootstrap, bootstrap_distance, share

RNG = np.random.default_rng(7)


def test_the_interval_of_a_mean_is_that_of_the_central_limit() -> None:
    samples = RNG.normal(10, 3, 400)
    found = bootstrap(samples)
    half = 1.96 * samples.std() / 20
    assert found.value == pytest.approx(samples.mean())
    assert found.interval == pytest.approx((samples.mean() - half, samples.mean() + half), abs=0.03)
    assert found.n == 400


def test_a_median_does_not_follow_one_slow_run() -> None:
    assert bootstrap([10.0] * 20 + [900.0], "median").value == 10


def test_a_share_has_the_interval_of_wilson() -> None:
    found = share([True] * 8 + [False] * 2)  # Brown, Cai and DasGupta 2001 give 0.490 to 0.943
    assert found.value == 0.8
    assert found.interval == pytest.approx((0.490, 0.943), abs=5e-4)


def test_a_perfect_share_is_not_certain() -> None:
    assert share([True] * 20).interval == pytest.approx((0.839, 1.0), abs=5e-4)


def test_a_distance_of_means_holds_the_true_one() -> None:
    fake, real = RNG.normal(0, 1, (200, 3)), RNG.normal((3, 4, 0), 1, (300, 3))
    found = bootstrap_distance(fake, real)
    low, high = found.interval
    assert low < 5 < high
    assert high - low < 0.8


def test_the_distance_of_equal_sets_lies_in_its_own_interval() -> None:
    samples = RNG.normal(0, 1, (100, 3))
    found = bootstrap_distance(samples, samples)
    assert found.value == 0
    assert found.interval[0] == 0


def test_intervals_do_not_depend_on_how_many_resamples_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, real = RNG.normal(0, 1, (33, 3)), RNG.normal(1, 1, (20, 3))
    found = []
    for block in (statistics.NUM_RESAMPLES, 8):
        monkeypatch.setattr(statistics, "BLOCK", block)
        found.append((bootstrap_distance(fake, real), bootstrap(fake[:, 0], "median")))
    assert found[0] == found[1]
