"""How much of the bare generator's throughput `facesketch convert` reaches on a folder.

    python benchmarks/convert_throughput.py [--weights FILE] [--num-images 600] [--rounds 3]

JPEGs in, JPEGs out, as they are (`--align none`), on the same cores, one thread and one process a
core. Bare is the network alone on one array, again and again, in the better of two ways: a session
in each process, pinned to its core, or one session on all threads. Loading the generator does not
count on either side: of the command, pictures are counted from when the first results are there
until the last one is. The rounds of all three are in turn, so that a machine that others load slows
all alike. CPU time of a picture, which hardly depends on the load, is printed beside; the command's
is what the folder takes beyond one picture for each process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convert_time import make_picture
from facesketch.parallel import num_cores
from facesketch.sessions import PROVIDERS, open_session
from facesketch.weights_info import SHIPPED_WEIGHTS, WeightsInfo

WARM_UP = 3  # calls


def main() -> None:
    """Measure in turn, print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="folder")
    parser.add_argument("--style", default="line")
    parser.add_argument("--num-images", type=int, default=600, help="pictures in the folder")
    parser.add_argument("--size", type=int, default=256, help="sides of the pictures in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each bare measurement")
    args = parser.parse_args()
    file = args.weights / f"photo2sketch-{args.style}.onnx"
    found: dict[str, list[Rate]] = {"pinned": [], "together": [], "convert": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        for index in range(args.num_images):
            make_picture(args.size, seed=index).save(photos / f"{index}.jpg", quality=92)
        cases: dict[str, Callable[[], Rate]] = {
            "pinned": lambda: bare_pinned(file, args.size, args.seconds),
            "together": lambda: bare(file, args.size, args.seconds, num_cores()),
            "convert": lambda: convert(photos, folder / "out", args.weights, args.style),
        }
        for number in range(args.rounds):
            for case, measure in cases.items():
                found[case].append(measure())
            row = ", ".join(f"{case} {rates[-1].per_second:.1f}" for case, rates in found.items())
            print(f"round {number + 1}: {row} pictures/s, load {os.getloadavg()[0]:.1f}")
    pinned, together, converted = (
        Rate(*map(statistics.median, zip(*rates, strict=True))) for rates in found.values()
    )
    print_line(f"bare, {num_cores()} pinned processes", pinned)
    print_line(f"bare, 1 session, {num_cores()} threads", together)
    print_line("facesketch convert", converted)
    share = converted.per_second / max(pinned.per_second, together.per_second)
    cpu_share = min(pinned.cpu_ms, together.cpu_ms) / converted.cpu_ms
    print(f"convert reaches {share:.1%} of the better in pictures/s, {cpu_share:.1%} in CPU time")


class Rate(NamedTuple):
    """Pictures a second, and milliseconds of CPU time for each."""

    per_second: float
    cpu_ms: float


def print_line(what: str, rate: Rate) -> None:
    """Print one case."""
    print(f"{what:28} {rate.per_second:8.1f} pictures/s {rate.cpu_ms:8.1f} ms CPU a picture")


def bare(file: Path, size: int, seconds: float, num_threads: int) -> Rate:
    """Measure one session, one picture a call."""
    session = open_session(file, PROVIDERS["cpu"], num_threads)
    channels = WeightsInfo.from_metadata(session.metadata, str(file)).input_channels
    batch = np.zeros((1, channels, size, size), np.float32)  # (B, C, H, W)
    for _ in range(WARM_UP):
        session.run(batch)
    started, cpu_started = time.perf_counter(), time.process_time()
    count = 0
    while time.perf_counter() < started + seconds:
        session.run(batch)
        count += 1
    cpu_ms = 1000 * (time.process_time() - cpu_started) / count
    return Rate(count / (time.perf_counter() - started), cpu_ms)


def bare_pinned(file: Path, size: int, seconds: float) -> Rate:
    """Measure as many sessions as cores, each in a process that keeps to one core."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(num_cores())
    answers: multiprocessing.SimpleQueue[Rate] = context.SimpleQueue()
    work = partial(bare, file, size, seconds, 1)
    processes = [
        context.Process(target=_on_core, args=(number, work, together, answers))
        for number in range(num_cores())
    ]
    for process in processes:
        process.start()
    rates = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    each = sum(rate.per_second for rate in rates)
    return Rate(each, statistics.mean(rate.cpu_ms for rate in rates))


def _on_core(
    number: int,
    work: Callable[[], Rate],
    together: Barrier,
    answers: multiprocessing.SimpleQueue[Rate],
) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[number]])
    together.wait()
    answers.put(work())


def convert(photos: Path, out: Path, weights: Path, style: str) -> Rate:
    """Measure the command: its pictures a second by when its results were written."""
    names = sorted(str(path) for path in photos.iterdir())
    options = ["-o", str(out), "--to", "sketch", "--format", "jpg", "--overwrite"]
    options += ["--weights", str(weights), "--style", style, "--num-workers", str(num_cores())]
    options += ["--align", "none"]  # the pictures are framed; looking for faces is no part of it
    start_seconds = _cpu_of_command([*names[: num_cores()], *options])
    cpu_seconds = _cpu_of_command([str(photos), *options]) - start_seconds
    times = sorted(path.stat().st_mtime for path in out.iterdir())
    first = len(times) // 10  # by then all processes have loaded the network
    per_second = (len(times) - 1 - first) / (times[-1] - times[first])
    return Rate(per_second, 1000 * cpu_seconds / (len(times) - num_cores()))


def _cpu_of_command(options: list[str]) -> float:
    before = _cpu_of_children()
    command = [sys.executable, "-m", "facesketch", "convert", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return _cpu_of_children() - before


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
