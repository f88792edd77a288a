"""How long `facesketch convert` takes: one picture from start to finish, and many.

    python benchmarks/convert_time.py [--weights DIR] [--num-images 64] [--repeats 5]

Pictures are made here; each figure is the median of several runs in processes of their own, so
that imports and the loading of the generators count.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = (256, 1024, 3000)


def main() -> None:
    """Measure and print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="generators; default: the shipped ones")
    parser.add_argument("--num-images", type=int, default=64, help="pictures in the folder")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each case")
    args = parser.parse_args()
    options = ["--weights", str(args.weights)] if args.weights else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES:
            picture = folder / f"{size}.jpg"
            make_picture(size, seed=size).save(picture, quality=92)
            for to in ("sketch", "photo", None):
                seconds = _median(picture, folder / "one.png", to, options, args.repeats)
                print(f"one {size} px picture to {to or 'whatever it finds':17} {seconds:6.2f} s")
        many = folder / "many"
        many.mkdir()
        for index in range(args.num_images):
            make_picture(512, seed=index).save(many / f"{index}.jpg", quality=92)
        for to in ("sketch", "photo"):
            seconds = _median(many, folder / "out", to, options, max(1, args.repeats // 2))
            rate = args.num_images / seconds
            print(f"{args.num_images} pictures of 512 px to {to:6} {rate:6.1f} images/s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest resident memory of any run: {peak:.0f} MB")


def make_picture(size: int, seed: int) -> Image.Image:
    """A smooth coloured field with some detail: about as hard to encode as a photo of a face."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(40, 220, (6, 6, 3), np.uint8))
    soft = soft.resize((size, size), Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 256, (size // 4, size // 4, 3), np.uint8))
    return Image.blend(soft, fine.resize((size, size), Image.Resampling.BILINEAR), 0.15)


def _median(
    source: Path, output: Path, to: str | None, options: Sequence[str], repeats: int
) -> float:
    """Median wall time in seconds of converting `source`, process start to end."""
    command = [sys.executable, "-m", "facesketch", "convert", str(source), "-o", str(output)]
    command += ["--overwrite", *(["--to", to] if to else []), *options]
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
