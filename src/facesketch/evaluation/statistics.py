"""Measured values: never without the number of samples and an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

FloatArray: TypeAlias = npt.NDArray[np.float64]

SEED = 0
NUM_RESAMPLES = 2000
BLOCK = 50
"""Resamples in memory at a time, a divisor of all."""

Z95 = 1.959964
"""Half the width of a 95% interval, in standard errors."""


class Value(BaseModel):
    """One measured figure."""

    model_config = ConfigDict(frozen=True)

    value: float
    n: int = Field(description="Pictures, pairs or runs behind it.")
    interval: tuple[float, float] = Field(description="95% interval.")
    method: Literal["bootstrap", "wilson", "jackknife"]
    spread: float | None = Field(default=None, description="Standard deviation over KID's subsets.")


def bootstrap(samples: npt.ArrayLike, statistic: Literal["mean", "median"] = "mean") -> Value:
    """Average samples, with the percentile interval of their bootstrap (Efron 1979).

    Args:
        samples: Shape (N,).
        statistic: How they are averaged.
    """
    values = np.asarray(samples, dtype=np.float64)
    average = np.mean if statistic == "mean" else np.median
    low, high = np.percentile(_resampled(values, average), [2.5, 97.5])
    return Value(
        value=float(average(values)),
        n=len(values),
        interval=(float(low), float(high)),
        method="bootstrap",
    )


def bootstrap_distance(fake: FloatArray, real: FloatArray) -> Value:
    """Distance between the means of two sets, the interval by bootstrapping both.

    Half its width is the radius of the ball that holds 95% of the resampled differences: their
    own lengths are biased upward and would leave out a small distance itself.

    Args:
        fake: Shape (N, D).
        real: Shape (M, D).
    """
    fakes, reals = _resampled(fake), _resampled(real, seed=SEED + 1)
    apart = fake.mean(axis=0) - real.mean(axis=0)
    distance = float(np.linalg.norm(apart))
    radius = float(np.percentile(np.linalg.norm(fakes - reals - apart, axis=1), 95))
    return Value(
        value=distance,
        n=len(fake),
        interval=(max(0.0, distance - radius), distance + radius),
        method="bootstrap",
    )


def share(hits: npt.ArrayLike) -> Value:
    """Share of hits with the interval of Wilson (1927), which is right at 0 and 100% too.

    Args:
        hits: Booleans, shape (N,).
    """
    found = np.asarray(hits, dtype=bool)
    n, p = len(found), float(found.mean())
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Value(
        value=p, n=n, interval=(max(0.0, centre - half), min(1.0, centre + half)), method="wilson"
    )


def _resampled(
    samples: FloatArray, average: Callable[..., FloatArray] = np.mean, seed: int = SEED
) -> FloatArray:
    """Averages of the resamples, shape (NUM_RESAMPLES, ...); the same draws for the same N."""
    rng, n = np.random.default_rng(seed), len(samples)
    draws = (rng.integers(n, size=(BLOCK, n)) for _ in range(NUM_RESAMPLES // BLOCK))
    return np.concatenate([average(samples[drawn], axis=1) for drawn in draws])
