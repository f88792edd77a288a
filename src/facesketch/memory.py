"""How the trainer asks for memory, and how much it will need."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import Tensor

from facesketch.config import TrainConfig
from facesketch.cyclegan import CycleGAN
from facesketch.train_state import pick_device, pick_precision

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h
_PROBE_SIZE = 64


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of handing them back to the kernel.

    A training step on the CPU frees and asks for the same hundreds of megabytes again; page faults
    took up to two thirds of its time (benchmarks/train_step.py). Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def estimate_step_bytes(config: TrainConfig) -> int:
    """Estimate the memory of one training step, in bytes.

    Weights, gradients, Adam's moments and the running averages are counted; activations kept for
    the backward pass are measured on one small image and scaled by pixels and batch.
    """
    with torch.device("cpu"):
        model = CycleGAN(config)
    weights = sum(p.numel() for p in model.parameters())
    generators = sum(p.numel() for g in model.generators().values() for p in g.parameters())
    pool = 2 * config.pool_size * 3 * config.image_size**2
    state = 4 * (4 * weights + generators + pool)

    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    photo = torch.zeros(1, 3, _PROBE_SIZE, _PROBE_SIZE)
    sketch = torch.zeros(1, config.sketch_channels, _PROBE_SIZE, _PROBE_SIZE)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        translated = model(photo, sketch)
        losses = model.generator_losses(photo, sketch, translated)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    activations = sum(size for key, size in kept.items() if key not in parameters)
    del losses
    half = pick_precision(config.precision, pick_device(config.device)) == torch.bfloat16
    images = config.batch_size // config.accumulate
    scale = images * (config.image_size / _PROBE_SIZE) ** 2 * (0.5 if half else 1.0)
    return round(state + activations * scale)
