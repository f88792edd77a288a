"""Sum the generators of several runs, of which each began with the weights of another.

    python recipes/generators/average.py runs/average \
        --photo2sketch runs/stage2 runs/stage3=2 --sketch2photo runs/stage2 runs/stage3

writes a run that can be exported, and from which another can begin (`--init-from`); all but its
averages is the last run's, so `--resume` would not go on from them. Between such runs there are
weights that have something of all of them (Wortsman et al. 2022, model soups), and beyond them
some that have more of one and less of another (Ilharco et al. 2023, task arithmetic). Each run
has the share that follows it, 1 if none does, of the sum of all; a share may be below zero. A run
stands for its newest checkpoint; the file of another one may be given.

`--lighter X` adds X to what the last layer of photo2sketch hands to its tanh: ink grows lighter,
grays more than black, and the paper stays as it is. `--clean-paper X` is the setting of that name
in place of the last run's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from facesketch import checkpoint
from facesketch.checkpoint import Checkpoint
from facesketch.errors import FacesketchError
from facesketch.weights_info import DIRECTIONS

LAST_BIAS = "head.bias"  # of the compact generator

Part = tuple[Checkpoint, float]


def main() -> None:
    """Write the sums, with all else of the last run that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    for direction in DIRECTIONS:
        parser.add_argument(
            f"--{direction}", type=_part, nargs="+", required=True, metavar="RUN[=SHARE]"
        )
    parser.add_argument("--lighter", type=float, default=0.0, metavar="X")
    parser.add_argument("--clean-paper", type=float, metavar="X")
    args = parser.parse_args()
    if checkpoint.list_checkpoints(args.out):
        parser.error(f"{args.out} holds a run already; give another folder")
    for direction in DIRECTIONS:
        if sum(share for _, share in getattr(args, direction)) == 0:
            parser.error(f"the shares of --{direction} sum to zero; change one of them")
    sums = {direction: _sum(getattr(args, direction), direction) for direction in DIRECTIONS}
    if args.lighter and LAST_BIAS not in sums["photo2sketch"]:
        parser.error("--lighter is for the compact generator; leave it out")
    if args.lighter:
        sums["photo2sketch"][LAST_BIAS] += args.lighter
    last, _ = getattr(args, DIRECTIONS[-1])[-1]
    content = last.with_averages(
        {f"{d}.{name}": value for d in sums for name, value in sums[d].items()}
    )
    if args.clean_paper is not None:
        changes = {"clean_paper": args.clean_paper}
        content["settings"] = last.settings.model_copy(update=changes)
    print(checkpoint.save(args.out, **content))


def _sum(parts: list[Part], direction: str) -> dict[str, Tensor]:
    whole = sum(share for _, share in parts)
    summed: dict[str, Tensor] = {}
    for run, share in parts:
        for name, value in run.generator_state(direction).items():
            part = value.double() * (share / whole)
            summed[name] = summed[name] + part if name in summed else part
    return {name: value.float() for name, value in summed.items()}


def _part(given: str) -> Part:
    name, separator, share = given.rpartition("=")
    if not separator or Path(given).exists():  # a name may hold a "="
        name, share = given, "1"
    path = Path(name)
    load = checkpoint.load if path.is_file() else checkpoint.load_latest
    try:
        return load(path), float(share)
    except (FacesketchError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    main()
