"""Memory of reading images over small and large folders: growth in bytes a file.

    python benchmarks/loading_memory.py            1,000 against 100,000 files
    python benchmarks/loading_memory.py --packed   the same, packed into shards

Each size runs in a fresh process. Proportional set size (PSS, Linux) counts shared pages once
over the trainer's process and its workers; it is taken while batches flow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from facesketch.data.pack import pack_set


def make_files(folder: Path, count: int) -> None:
    """Fill train/{photos,sketches} with `count` files altogether: links to 50 small pictures."""
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for index in range(50):
        shade = (index * 5, 128, 255 - index * 5)
        Image.new("RGB", (72, 72), shade).save(originals / f"{index}.png")
    for domain in ("photos", "sketches"):
        (folder / "train" / domain).mkdir(parents=True)
        for index in range(count // 2):
            os.link(originals / f"{index % 50}.png", folder / "train" / domain / f"{index:08d}.png")


def pss_bytes(pids: list[int]) -> int:
    """Return the proportional set size of some processes, summed."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def children(pid: int) -> list[int]:
    """Return the processes started by one."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def measure(folder: Path, num_workers: int, num_steps: int) -> None:
    """Read `num_steps` batches and print the memory at the end as JSON."""
    from facesketch.allocator import keep_freed_memory  # noqa: PLC0415
    from facesketch.config import build_config  # noqa: PLC0415
    from facesketch.data.dataset import find_domains, make_loader  # noqa: PLC0415

    keep_freed_memory()  # as training does

    config = build_config(
        "compact",
        {
            "data": folder,
            "image_size": 64,
            "batch_size": 8,
            "num_workers": num_workers,
        },
    )
    domains = find_domains(config)
    loader = make_loader(domains, config, num_steps=num_steps)
    used = 0
    for step, _ in enumerate(loader, start=1):
        if step == max(1, num_steps - 20):  # workers are still there
            used = pss_bytes([os.getpid(), *children(os.getpid())])
    print(json.dumps({"pss_bytes": used}))


def main() -> None:
    """Compare the two sizes, several rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--num-steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measure(args.only, args.num_workers, args.num_steps)
        return
    with tempfile.TemporaryDirectory() as temporary:
        used: dict[int, list[int]] = {}
        for count in (args.small, args.large):
            make_files(Path(temporary) / str(count), count)
            if args.packed:
                pack_set(Path(temporary) / str(count), f"{temporary}/{count}-packed")
        for _ in range(args.rounds):
            for count in (args.small, args.large):
                data = f"{temporary}/{count}{'-packed' if args.packed else ''}"
                command = [sys.executable, __file__, "--only", data]
                command += ["--num-workers", str(args.num_workers)]
                command += ["--num-steps", str(args.num_steps)]
                printed = subprocess.run(command, check=True, capture_output=True, text=True)
                result = json.loads(printed.stdout.splitlines()[-1])
                used.setdefault(count, []).append(result["pss_bytes"])
    for count, values in used.items():
        text = ", ".join(f"{value / 2**20:.1f}" for value in values)
        print(f"{count:>9,} files: PSS {text} MiB ({args.num_workers} workers)")
    growth = (min(used[args.large]) - min(used[args.small])) / (args.large - args.small)
    print(f"growth: {growth:.1f} bytes a file")


if __name__ == "__main__":
    main()
