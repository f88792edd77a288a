from __future__ import annotations

import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from facesketch.train_state import learning_rate_factor

pytestmark = pytest.mark.train


def test_the_rate_is_constant_and_then_falls_linearly() -> None:
    factors = [learning_rate_factor(step, 8, 0.5) for step in range(9)]
    assert factors == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


def test_the_paper_halves_its_200_epochs() -> None:
    assert learning_rate_factor(100, 200, 0.5) == 1
    assert learning_rate_factor(150, 200, 0.5) == 0.5


@pytest.mark.parametrize(
    ("decay_start", "expected"), [(0.0, [1, 0.75, 0.5, 0.25]), (1.0, [1, 1, 1, 1])]
)
def test_decay_may_start_at_once_or_never(decay_start: float, expected: list[float]) -> None:
    assert [learning_rate_factor(step, 4, decay_start) for step in range(4)] == expected


def test_steps_beyond_the_last_do_not_learn() -> None:
    assert learning_rate_factor(11, 10, 0.5) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_every_planned_step_learns_and_never_more_than_the_one_before(
    num_steps: int, decay_start: float
) -> None:
    chosen = sorted({0, num_steps // 3, num_steps // 2, num_steps - 2, num_steps - 1} - {-1})
    factors = [learning_rate_factor(step, num_steps, decay_start) for step in chosen]
    assert factors == sorted(factors, reverse=True)
    assert 0 < factors[-1] <= factors[0] <= 1
