"""Latency of a generator against the reference's, in one run: rounds of all, medians, ratios.

    python benchmarks/latency.py WEIGHTS/photo2sketch.onnx --architecture compact

The reference is the ResNet-9 generator of the CycleGAN paper in eager PyTorch, float32, NCHW.
Beside it: an architecture in PyTorch with its weights folded (its speed does not depend on what
they are), and the file through ONNX Runtime and OpenVINO, in float32 and, where X.int8.onnx lies
beside it, in int8. OpenVINO computes float32 files in bfloat16 where the CPU has it. Rounds are
interleaved, so that a machine that others load slows all alike. Before each call is a pause:
threads of the call before it, PyTorch's above all, go on waiting at full speed for a while and
would take a core from the next. Needs the extras train and fast.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from facesketch.config import GeneratorName
from facesketch.images import Float32Array
from facesketch.models import generator
from facesketch.models.layers import fold
from facesketch.parallel import num_cores
from facesketch.sessions import OPENVINO, PROVIDERS, open_session
from facesketch.weights_info import WeightsInfo, int8_path

REFERENCE = "reference, PyTorch"
PAUSE = 0.05  # seconds
Call = Callable[[Float32Array], object]


def main() -> None:
    """Measure, print a Markdown table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="an exported generator")
    parser.add_argument("--architecture", choices=get_args(GeneratorName), default="compact")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20, help="about what one case may take")
    parser.add_argument("--out", type=Path, default=Path("results/latency.json"))
    args = parser.parse_args()
    cases: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in args.threads:
            torch.set_num_threads(threads)
            calls = dict(contenders(args.weights, args.architecture, threads, Path(folder)))
            for size in args.sizes:
                for batch in args.batches:
                    planes = make_batch(args.weights, batch, size)
                    times = measure(calls, planes, args.seconds)
                    if not cases:
                        print_row("threads", "px", "batch", *times)
                        print_row(*["---:"] * (3 + len(times)))
                    cases.append({"threads": threads, "size": size, "batch": batch, "ms": times})
                    shown = [f"{ms:.1f} ({times[REFERENCE] / ms:.1f}x)" for ms in times.values()]
                    print_row(str(threads), str(size), str(batch), *shown)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"command": shlex.join(sys.argv), **surroundings(), "cases": cases}
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def contenders(
    weights: Path, architecture: GeneratorName, threads: int, folder: Path
) -> Iterator[tuple[str, Call]]:
    """Yield what is compared, each by name."""
    session = open_session(weights, PROVIDERS["cpu"], threads)
    info = WeightsInfo.from_metadata(session.metadata, str(weights))
    channels = (info.input_channels, info.output_channels)
    yield REFERENCE, functools.partial(run_torch, generator("resnet9", *channels).eval())
    network = generator(architecture, *channels)
    yield f"{architecture}, PyTorch", functools.partial(run_torch, fold(network).eval())
    alone = Path(shutil.copy(weights, folder / "alone.onnx"))  # no int8 file beside it
    yield "ONNX Runtime", open_session(alone, PROVIDERS["cpu"], threads).run
    yield "OpenVINO", open_session(alone, OPENVINO, threads).run
    if int8_path(weights).is_file():
        yield "ONNX Runtime int8", open_session(int8_path(weights), PROVIDERS["cpu"], threads).run
        yield "OpenVINO int8", open_session(weights, OPENVINO, threads).run


def run_torch(network: torch.nn.Module, batch: Float32Array) -> object:
    """Run a network on an array."""
    with torch.inference_mode():
        return network(torch.from_numpy(batch))


def make_batch(weights: Path, batch: int, size: int) -> Float32Array:
    """Noise of the shape that a generator takes, (B, C, H, W)."""
    session = open_session(weights, PROVIDERS["cpu"], 1)
    channels = WeightsInfo.from_metadata(session.metadata, str(weights)).input_channels
    noise = np.random.default_rng(0).uniform(-1, 1, (batch, channels, size, size))
    return noise.astype(np.float32)


def measure(calls: Mapping[str, Call], planes: Float32Array, seconds: float) -> dict[str, float]:
    """Time all in turn: a warm-up, then at least three rounds, until the time is up.

    Returns:
        Median milliseconds of one call, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for rounds in itertools.count():
        if rounds > 3 and time.perf_counter() > end:
            break
        for name, call in calls.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            call(planes)
            if rounds:
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def print_row(*cells: str) -> None:
    """Print one row of a Markdown table."""
    print("|", " | ".join(cells), "|", flush=True)


def surroundings() -> dict[str, object]:
    """What the figures depend on beside the command."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    packages = ("torch", "onnxruntime", "openvino", "numpy")
    return {
        "commit": commit,
        "machine": f"{platform.platform()}, {processor()}, {num_cores()} cores",
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": {name: metadata.version(name) for name in packages},
    }


def processor() -> str:
    """Name the processor, as Linux does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
