"""What runs cost and how their losses went, for docs/results/training.json.

    python docs/report/record.py training -- python docs/report/training_log.py RUN [RUN ...]

Runs in the order in which they went on from one another. --after FILE puts those of an earlier
record, whose logs are elsewhere, before them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facesketch import checkpoint
from facesketch.config import build_config
from facesketch.run_folder import LOGS_NAME
from facesketch.settings import load_toml

CURVES = ("gan_sketch", "gan_photo", "cycle_sketch", "cycle_photo", "disc_sketch", "disc_photo")
ROW = ("run", "px", "batch", "steps", "images a domain", "minutes", "on")
NUM_POINTS = 60
"""Points of a curve; each is the mean of the logged steps around it."""


def main() -> None:
    """Print JSON: a row a run, and the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--after", type=Path, metavar="FILE", help="an earlier training.json")
    args = parser.parse_args()
    stages: list[dict[str, Any]] = []
    if args.after is not None:
        stages = json.loads(args.after.read_text(encoding="utf-8"))["result"]["stages"]
    for run in args.runs:
        stages.append(read(run, first_image=stages[-1]["last_image"] if stages else 0))
    rows = [{name: stage[name] for name in ROW} for stage in stages]
    print(json.dumps({"rows": rows, "stages": stages}, indent=1))


def read(run: Path, first_image: int) -> dict[str, Any]:
    """Read settings and losses of one run."""
    settings = load_toml(run / "settings.toml")
    config = build_config(settings.pop("preset", "compact"), settings)
    lines = (run / LOGS_NAME / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines]
    parts = np.array_split(np.arange(len(logged)), min(NUM_POINTS, len(logged)))
    last = checkpoint.load_latest(run)  # which is exported; logs skip some steps
    steps = last.step
    speeds = [line["images_per_second"] for line in logged if line.get("images_per_second")]
    minutes = float(np.median([1 / speed for speed in speeds])) * steps * config.batch_size / 60
    return {
        "run": run.name,
        "px": config.image_size,
        "batch": config.batch_size,
        "steps": steps,
        "images a domain": steps * config.batch_size,
        "minutes": round(minutes),
        "on": trained_on(last.environment),
        "first_image": first_image,
        "last_image": first_image + steps * config.batch_size,
        "curves": {"step": [float(np.mean([logged[i]["step"] for i in part])) for part in parts]}
        | {
            name: [round(float(np.mean([logged[i][name] for i in part])), 4) for part in parts]
            for name in CURVES
        },
    }


def trained_on(environment: Mapping[str, str]) -> str:
    """Say what a run was trained on, from what its checkpoint says of the machine."""
    if environment["device"] != "cpu":
        return "a GPU"
    threads = int(environment["threads"])
    return f"{threads} CPU core{'s' if threads > 1 else ''}"


if __name__ == "__main__":
    main()
