"""KID and FID: how far generated pictures are from real ones as a set."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from facesketch.evaluation.statistics import SEED, Z95, Value

NUM_SUBSETS = 100

BLOCK = 256
"""Rows of a matrix of kernels that are in memory at a time."""

MIN_FRECHET = 2048
"""Pictures that a Frechet distance needs of each kind: as many as Inception has features."""


def kernel_distance(fake: Tensor, real: Tensor, subset_size: int) -> Value:
    """Squared MMD under the cubic kernel (k(x, y) = (x.y / D + 1)^3; Binkowski et al. 2018).

    Mean and spread are torchmetrics' over random subsets; the estimator has no bias, so that the
    mean of two equal distributions is 0 and single values may be negative. The interval is that
    mean with two errors: the jackknife's over all pictures, and that of the mean over subsets.

    Args:
        fake: Features of generated pictures, shape (N, D).
        real: Features of real ones, shape (M, D).
        subset_size: Pictures in a subset, at most min(N, M).
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        metric = KernelInceptionDistance(
            feature=nn.Identity(),
            subsets=NUM_SUBSETS,
            subset_size=subset_size,
            sync_on_compute=False,  # one process of a training measures, the others measure nothing
        )
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        mean, spread = (float(value) for value in metric.compute())
    half = Z95 * math.hypot(jackknife_error(fake, real), spread / math.sqrt(NUM_SUBSETS))
    return Value(
        value=mean,
        n=len(fake),
        interval=(mean - half, mean + half),
        method="jackknife",
        spread=spread,
    )


def jackknife_error(fake: Tensor, real: Tensor) -> float:
    """Standard error of the distance over all pictures: each set's pictures left out in turn.

    A bootstrap would not do: a picture drawn twice is its own nearest neighbour.
    """
    fake, real = fake.double(), real.double()
    variance = 0.0
    for own, other in ((fake, real), (real, fake)):
        n, m = len(own), len(other)
        itself = _kernel(own.square().sum(dim=1), own.shape[1])
        rows = _kernel_sums(own, own) - itself  # (N,)
        cross = _kernel_sums(own, other)  # (N,)
        inside = (rows.sum() - 2 * rows) / ((n - 1) * (n - 2))
        between = (cross.sum() - cross) / ((n - 1) * m)
        variance += (n - 1) * float((inside - 2 * between).var(correction=0))
    return math.sqrt(variance)


def _kernel_sums(x: Tensor, y: Tensor) -> Tensor:
    """Sum the kernel of each of x over all of y, shape (len(x),)."""
    blocks = (_kernel(block @ y.T, x.shape[1]) for block in torch.split(x, BLOCK))
    return torch.cat([block.sum(dim=1) for block in blocks])


def _kernel(products: Tensor, num_features: int) -> Tensor:
    return (products / num_features + 1) ** 3


class _Given(nn.Identity):
    """Takes features for pictures: they were extracted before."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def frechet_distance(fake: Tensor, real: Tensor) -> Value:
    """Frechet distance of two Gaussians (Heusel et al. 2017), by torchmetrics.

    |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)). The interval is the value with the jackknife's
    standard error; it says nothing of the bias, which falls with the number of pictures.

    Args:
        fake: Features of generated pictures, shape (N, D).
        real: Features of real ones, shape (M, D).
    """
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    value = float(metric.compute())
    half = Z95 * frechet_error(fake, real)
    return Value(
        value=value,
        n=len(fake),
        interval=(max(0.0, value - half), value + half),
        method="jackknife",
    )


def frechet_error(fake: Tensor, real: Tensor) -> float:
    """Standard error of the Frechet distance by the infinitesimal jackknife.

    How much one picture u more of the first set moves the distance is its derivative,
    u (1 - T) u + 2 (m1 - m2) u, T = C2^(1/2) (C2^(1/2) C1 C2^(1/2))^(-1/2) C2^(1/2) being the
    optimal transport from the first to the second Gaussian. A bootstrap would take an hour.
    """
    variance = 0.0
    for moving, fixed in ((fake.double(), real.double()), (real.double(), fake.double())):
        root = _power(fixed.T.cov(), 0.5)
        transport = root @ _power(root @ moving.T.cov() @ root, -0.5) @ root
        apart = moving.mean(dim=0) - fixed.mean(dim=0)
        u = moving - moving.mean(dim=0)  # (N, D)
        influence = ((u - u @ transport) * u).sum(dim=1) + 2 * u @ apart
        variance += float(influence.var()) / len(moving)
    return math.sqrt(variance)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Raise a positive matrix to a power, on the space that it spans."""
    powers, axes = torch.linalg.eigh(matrix)
    kept = powers > powers[-1] * 1e-10
    axes = axes[:, kept]
    result: Tensor = (axes * powers[kept] ** exponent) @ axes.T
    return result
