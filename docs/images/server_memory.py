"""Draws docs/images/server_memory.svg from docs/results/faults_uploads.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RECORD = HERE.parent / "results" / "faults_uploads.json"


def main() -> None:
    """Draw it; the same record gives the same file."""
    result = json.loads(RECORD.read_text(encoding="utf-8"))["result"]
    requests, memory = zip(*result["memory_mb"], strict=True)
    mpl.rcParams |= {"svg.hashsalt": "facesketch", "svg.fonttype": "none", "font.size": 10}
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.plot(requests, memory, linewidth=1, label="resident memory")
    axes.axhline(result["before_mb"], linestyle="--", color="0.4", label="after the warm-up")
    axes.set(xlabel="hostile requests answered", ylabel="MB", xlim=(0, requests[-1]))
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(HERE / "server_memory.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
