"""Average the generators of several runs, of which each began with the weights of another.

    python recipes/generators/average.py runs/average \
        --photo2sketch runs/stage2 runs/stage3 --sketch2photo runs/stage2 runs/stage3

writes a run that can be exported, and from which another can begin (`--init-from`); all but its
averages is the last run's, so `--resume` would not go on from them. Between such runs there are
weights that have something of all of them (Wortsman et al. 2022, model soups). A run stands for
its newest checkpoint; the file of another one may be given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from facesketch import checkpoint
from facesketch.checkpoint import Checkpoint
from facesketch.weights_info import DIRECTIONS


def main() -> None:
    """Write the averages, with all else of the last run that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    for direction in DIRECTIONS:
        parser.add_argument(f"--{direction}", type=_load, nargs="+", required=True, metavar="RUN")
    args = parser.parse_args()
    if checkpoint.list_checkpoints(args.out):
        parser.error(f"{args.out} holds a run already; give another folder")
    averaged: dict[str, Tensor] = {}
    for direction in DIRECTIONS:
        last = getattr(args, direction)[-1]
        states = [each.generator_state(direction) for each in getattr(args, direction)]
        for name in states[0]:
            mean = torch.stack([state[name].float() for state in states]).mean(0)
            averaged[f"{direction}.{name}"] = mean
    print(
        checkpoint.save(
            args.out,
            step=last.step,
            settings=last.settings,
            environment=last.environment,
            data_fingerprint=last.data_fingerprint,
            state=last.state | {"ema": averaged},
        )
    )


def _load(given: str) -> Checkpoint:
    path = Path(given)
    return checkpoint.load(path) if path.is_file() else checkpoint.load_latest(path)


if __name__ == "__main__":
    main()
