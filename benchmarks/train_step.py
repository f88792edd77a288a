"""Time of a training step against the reference's, in one run: alternating, median of several.

    python benchmarks/train_step.py --image-size 256
    python benchmarks/train_step.py --image-size 256 --device cuda --repeats 40

The reference is pytorch-CycleGAN-and-pix2pix's step on the same networks: float32, NCHW, eager,
batch 1, one network call an image, Adam by single tensors, the C library's allocator as it comes.
It runs in a process of its own, since the allocator's setting holds for a whole process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from facesketch import losses
from facesketch.allocator import keep_freed_memory
from facesketch.config import build_config
from facesketch.cyclegan import CycleGAN
from facesketch.data.batch import Batch
from facesketch.devices import pick_device
from facesketch.image_pool import ImagePool
from facesketch.train_state import TrainState

Step = Callable[[Tensor, Tensor], object]


def reference_step(device: torch.device) -> Step:
    """Rebuild optimize_parameters() of the reference's cycle_gan_model.py."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # as its base_model.py sets it
    model = CycleGAN(build_config("paper")).to(device).eval()  # plain convolutions
    p2s, s2p = model.gen_photo2sketch, model.gen_sketch2photo
    judges = (model.disc_photo, model.disc_sketch)
    gen_params = list(itertools.chain(p2s.parameters(), s2p.parameters()))
    disc_params = list(itertools.chain(*(judge.parameters() for judge in judges)))
    optimizers = [
        torch.optim.Adam(params, 2e-4, (0.5, 0.999)) for params in (gen_params, disc_params)
    ]
    pools = (ImagePool(50, 0), ImagePool(50, 1))

    def judge_loss(judge: torch.nn.Module, real: Tensor, fake: Tensor) -> None:
        losses.discriminator_loss(judge(real), judge(fake.detach())).backward()  # type: ignore[no-untyped-call]

    def step(photo: Tensor, sketch: Tensor) -> None:
        photo, sketch = photo.to(device), sketch.to(device)
        fake_sketch = p2s(photo)
        rec_photo = s2p(fake_sketch)
        fake_photo = s2p(sketch)
        rec_sketch = p2s(fake_photo)
        for param in disc_params:
            param.requires_grad_(False)
        optimizers[0].zero_grad()
        loss = 5 * (losses.identity_loss(p2s(sketch), sketch))
        loss = loss + 5 * losses.identity_loss(s2p(photo), photo)
        loss = loss + losses.generator_gan_loss(judges[1](fake_sketch))
        loss = loss + losses.generator_gan_loss(judges[0](fake_photo))
        loss = loss + 10 * losses.cycle_consistency_loss(rec_photo, photo)
        loss = loss + 10 * losses.cycle_consistency_loss(rec_sketch, sketch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers[0].step()
        for param in disc_params:
            param.requires_grad_(True)
        optimizers[1].zero_grad()
        first = [0] * len(photo)  # it has one style
        judge_loss(judges[0], photo, pools[0].query(fake_photo.detach(), first)[0])
        judge_loss(judges[1], sketch, pools[1].query(fake_sketch.detach(), first)[0])
        for pool in pools:
            pool.commit()
        optimizers[1].step()
        loss.item()

    return step


def our_step(preset: str, settings: dict[str, object]) -> Step:
    """Take the package's own step."""
    state = TrainState(build_config(preset, settings), num_steps=1000)
    return lambda photo, sketch: state.train_step(Batch.of(photo, sketch))


Variant: TypeAlias = tuple[str, dict[str, object] | None]
"""Preset and what is set beside it; None for the reference's own step."""

VARIANTS: dict[str, Variant] = {
    "reference, float32": ("paper", None),
    "paper preset, float32": ("paper", {"precision": "float32"}),
    "paper preset, auto": ("paper", {}),
    "compact preset, float32": ("compact", {"precision": "float32"}),
    "compact preset, auto": ("compact", {}),
}
COMPILED: dict[str, Variant] = {
    "paper preset, compiled": ("paper", {"compile": True}),
    "compact preset, compiled": ("compact", {"compile": True}),
}
"""On a GPU alone: on a CPU they are slower."""


def measure(variant: str, size: int, batch_size: int, repeats: int, device_name: str) -> None:
    """Time one variant in this process and print JSON."""
    preset, settings = (VARIANTS | COMPILED)[variant]
    device = pick_device(device_name)
    if settings is None:
        step = reference_step(device)
    else:
        keep_freed_memory()
        step = our_step(preset, settings | {"batch_size": batch_size, "device": device_name})
    channels = 3 if preset == "paper" else 1
    generator = torch.Generator().manual_seed(1)
    photo = torch.rand(batch_size, 3, size, size, generator=generator) * 2 - 1
    sketch = torch.rand(batch_size, channels, size, size, generator=generator) * 2 - 1
    seconds = []
    warm_up = 1 if device.type == "cpu" else 5
    for number in range(warm_up + repeats):
        if number == warm_up and device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()  # less what trying cuDNN's algorithms took
        started = time.perf_counter()
        step(photo, sketch)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    print(json.dumps({"seconds": seconds[warm_up:], "peak_bytes": peak}))


def main() -> None:
    """Run every variant in turn, `--rounds` times, and print a table with ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=VARIANTS | COMPILED, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measure(args.only, args.image_size, args.batch_size, args.repeats, args.device)
        return
    variants = VARIANTS if args.device == "cpu" else VARIANTS | COMPILED
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    peaks: dict[str, int] = {}
    for _, variant in itertools.product(range(args.rounds), variants):
        command = [sys.executable, __file__, "--only", variant]
        for name in ("image_size", "batch_size", "repeats", "device"):
            command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result = json.loads(printed.splitlines()[-1])
        seconds[variant] += result["seconds"]
        peaks[variant] = result["peak_bytes"]
    base = statistics.median(seconds["reference, float32"])
    where = f"{torch.get_num_threads()} threads"
    if args.device != "cpu":
        tf32 = torch.backends.cudnn.allow_tf32
        where = f"{torch.cuda.get_device_name()}, TF32 in convolutions {'on' if tf32 else 'off'}"
    print(f"torch {torch.__version__}, {where}, ", end="")
    print(f"{args.image_size} px, batch {args.batch_size}, {args.rounds} x {args.repeats} steps")
    print(f"{'variant':<26}{'s/step':>9}{'spread':>16}{'faster':>8}{'peak GiB':>10}")
    for variant, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):.4f}-{max(values):.4f}"
        print(
            f"{variant:<26}{median:>9.4f}{spread:>16}{base / median:>7.1f}x"
            f"{peaks[variant] / 2**30:>10.2f}"
        )


if __name__ == "__main__":
    main()
