"""Average the generators of two runs, of which one began with the other's weights.

    python recipes/generators/average.py runs/stage2 runs/stage3 runs/average

writes a run that can be exported and gone on from. Along the line between two such runs there are
weights that have something of both (Wortsman et al. 2022, model soups).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from facesketch import checkpoint


def main() -> None:
    """Write the average of the newest checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path, help="gives all but the averaged generators")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    first, second = (checkpoint.load_latest(run) for run in (args.first, args.second))
    averaged = {
        name: torch.lerp(first.state["ema"][name], tensor, 0.5)
        for name, tensor in second.state["ema"].items()
    }
    print(
        checkpoint.save(
            args.out,
            step=second.step,
            settings=second.settings,
            environment=second.environment,
            data_fingerprint=second.data_fingerprint,
            state=second.state | {"ema": averaged},
        )
    )


if __name__ == "__main__":
    main()
