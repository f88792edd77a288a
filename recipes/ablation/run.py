"""Train one run a change, all for the same time, and measure them side by side on `val`.

    python recipes/ablation/run.py DATA OUT --minutes 8

DATA is as `recipes/generators/README.md` makes it. What is exported is not trained again, so
an interrupted call goes on, less the run that it was in. docs/results/ablation.json is made by

    python docs/report/record.py ablation --result OUT/evaluation/metrics.json -- \
        python recipes/ablation/run.py DATA OUT --minutes 8

With --designs it compares designs of the generator in the same way: docs/results/designs.json.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

BASE = ("--image-size", "128", "--batch-size", "4", "--styles", "line,edge,line,hatch",
        "--steps", "1000000", "--decay-start", "1", "--validate-every", "0",
        "--sample-every", "500", "--num-workers", "1")  # fmt: skip
"""The preset at half its size, on the data of the shipped weights, at a constant rate."""

CHANGES: dict[str, tuple[str, ...]] = {
    "base": (),
    "base_again": ("--seed", "1"),
    "augment_sketches": ("--augment-sketches",),
    "cycle_noise": ("--cycle-noise", "0.1"),
    "cycle_blur": ("--cycle-blur", "0.75"),
    "lambda_paired": ("--lambda-paired", "20"),
    "lambda_structure": ("--lambda-structure", "1"),
    "lambda_features": ("--lambda-features", "0.5"),
    "lambda_identity": ("--lambda-identity", "5"),
    "lambda_nce": ("--lambda-nce", "1"),
    "lambda_r1": ("--lambda-r1", "0.01"),
    "diff_augment": ("--diff-augment", "translation,cutout"),
    "projected": ("--discriminator", "projected"),
    "disc_learning_rate": ("--disc-learning-rate", "4e-4"),
    "no_average": ("--ema-decay", "0"),
    "colour_sketches": ("--sketch-channels", "3"),
    "structure_and_features": ("--lambda-structure", "1", "--lambda-features", "0.5"),
}
"""One change each, but for the last; that of the seed tells what chance is worth."""

DESIGNS_BASE = ("--styles", "line", "--lambda-structure", "1", "--lambda-features", "0.5")
"""For designs: they draw in one style; with neither loss, likeness is left to chance so early."""

DESIGNS = (
    "compact",
    "batch_norm",
    "instance_norm",
    "magnitude_preserving",
    "inverted_bottlenecks",
    "large_kernels",
    "no_skips",
    "attention",
)
"""The designs of designs.py."""


def main() -> None:
    """Train what is missing, export it, and compare all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--designs", action="store_true", help="compare designs, not settings")
    parser.add_argument("--minutes", type=float, default=8, help="of training for each [8]")
    parser.add_argument("--limit", type=int, default=200, help="photos to measure with [200]")
    args = parser.parse_args()
    facesketch: tuple[object, ...] = ("-m", "facesketch")
    program = Path(__file__).with_name("designs.py")
    runs = (
        {name: ((program, name), DESIGNS_BASE) for name in DESIGNS}
        | {"compact_again": ((program, "compact"), (*DESIGNS_BASE, "--seed", "1"))}
        if args.designs
        else {name: (facesketch, change) for name, change in CHANGES.items()}
    )
    weights: list[str] = []
    for name, (script, change) in runs.items():
        run, exported = args.out / "runs" / name, args.out / name
        if not (exported / "sketch2photo.onnx").is_file():
            shutil.rmtree(run, ignore_errors=True)  # of a call that was interrupted in it
            _python(*script, "train", "--data", args.data, "--out", run, *BASE, *change,
                    "--max-minutes", args.minutes)  # fmt: skip
            _python(*script, "export", run, "-o", exported)
        weights += ["--weights", str(exported)]
    # val has too few drawings for KID; those of train are no photos' partners.
    _python(*facesketch, "evaluate", *weights, "--identity",
            "--photos", args.data / "val" / "photos",
            "--sketches", args.data / "train" / "sketches" / "line", "--size", "128",
            "--limit", args.limit, "-o", args.out / "evaluation")  # fmt: skip


def _python(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], check=True)


if __name__ == "__main__":
    main()
