"""Training on several processes: which of them this one is, and what they tell each other.

Each rank reads its share of the global batch; gradients are averaged by one all-reduce of all of
them, not by DistributedDataParallel. Losses are means over samples and no layer looks across the
batch, so the mean of the gradients of equal shares is the gradient of the whole batch. A step goes
backward twice (discriminators frozen the first time), several times through each network, and in
parts (`accumulate`), where DDP wants one forward and one backward of one module; what it would give
in return is to hide part of this one transfer behind the backward pass.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from facesketch.config import TrainConfig
from facesketch.console import CONSOLE
from facesketch.errors import ConfigError, DataError, TrainingError

PATIENCE = timedelta(minutes=30)
"""How long a rank may keep the others waiting; one that has died is noticed at once."""

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")

T = TypeVar("T")


class LostRankError(RuntimeError):
    """A process of the training ended, or does not answer."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. Alone, it talks to nobody.

    Attributes:
        rank: Its number; the first one, 0, writes files and talks to people.
        size: How many there are.
        local_rank: Its number on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read what torchrun says; without it the process is alone."""
        if not all(name in os.environ for name in _VARIABLES):
            return ALONE
        return cls(*(int(os.environ[name]) for name in _VARIABLES))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def check(self, config: TrainConfig) -> None:
        """Refuse a batch that cannot be shared out.

        Raises:
            ConfigError: If `batch_size` is no multiple of ranks x `accumulate`.
        """
        if config.batch_size % (self.size * config.accumulate):
            parts = f" x accumulate {config.accumulate}" if config.accumulate > 1 else ""
            raise ConfigError(
                f"batch_size {config.batch_size} must be a multiple of {self.size} "
                f"processes{parts}; start another number of processes, or give a new run another "
                "--batch-size."
            )

    def check_same(self, plan: str) -> None:
        """Refuse to train where not all ranks mean the same.

        Args:
            plan: Whatever must not differ, in words.

        Raises:
            DataError: If it differs.
        """
        if len({*self.gather(plan)}) > 1:
            raise DataError(
                "the processes have other settings or see other images; give all of them one "
                "command, and every machine the same folders."
            )

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over the ranks, which get the same to the bit.

        Args:
            tensors: On one device, of the same shapes on every rank.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _answers():
            dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        views = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), views)

    def gather(self, own: T) -> list[T]:
        """Return what every rank has, in the order of ranks."""
        if self.size == 1:
            return [own]
        result: list[T] = [own] * self.size
        with _answers():
            dist.all_gather_object(result, own)
        return result

    def gather_on_first(self, own: T) -> list[T]:
        """Return what every rank has to the first one, nothing to the others."""
        if self.size == 1:
            return [own]
        result = [own] * self.size if self.is_first else None
        with _answers():
            dist.gather_object(own, result)
        return result or []

    def collect(self, own: list[T]) -> list[T]:
        """Join lists that are mostly empty, in the order of ranks; the same for all of them."""
        if self.size == 1:
            return own
        longest = torch.tensor(len(own))
        with _answers():
            dist.all_reduce(longest, dist.ReduceOp.MAX)
        return [item for part in self.gather(own) for item in part] if longest else []


ALONE = Ranks()


@contextmanager
def joined(config: TrainConfig) -> Iterator[Ranks]:
    """Meet the other processes that torchrun has started; those but the first fall silent.

    Args:
        config: Settings, the same on all of them.

    Raises:
        ConfigError: If the batch cannot be shared out.
        TrainingError: If the processes do not find each other.
    """
    ranks = Ranks.from_environment()
    ranks.check(config)
    if ranks.size == 1:
        yield ranks
        return
    if not ranks.is_first:
        logging.getLogger("facesketch").setLevel(logging.ERROR)
        CONSOLE.quiet = True
    # Optimisers import this later, and it keeps the group of the moment: there must be none yet.
    importlib.import_module("torch.distributed.nn.functional")
    backend = _backend(config.device)
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"process {ranks.rank} of {ranks.size} does not find the others ({error}); start them "
            "with torchrun."
        ) from error
    has_ended_well = False
    try:
        yield ranks
        has_ended_well = True
    finally:
        # Gloo's threads must not outlive Python (pytorch/pytorch#190489: SIGABRT). After an error
        # NCCL would wait here for ranks that have gone.
        if has_ended_well or backend == "gloo":
            dist.destroy_process_group()


def _backend(device: str) -> str:
    """Name what carries tensors: NCCL between GPUs where there is one, Gloo all the rest."""
    on_gpu = device != "cpu" and torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if on_gpu else "gloo"


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(str(error)) from error
