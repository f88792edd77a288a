"""How much memory training will need, and whether it was too much."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from facesketch.config import TrainConfig
from facesketch.cyclegan import CycleGAN
from facesketch.data.batch import Batch
from facesketch.devices import pick_device, pick_precision

_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
    "unable to find an engine",  # cuDNN, when no algorithm fits
)

_PROBES = (32, 64)  # px
_TRANSIENT = 1.25  # gradients of activations and workspace, in units of what is kept (measured)
_LIBRARY_BYTES = 100_000_000  # what libraries take when a first step is done (measured)


def is_out_of_memory(error: Exception) -> bool:
    """Tell, torch's by their text: of its RuntimeErrors only CUDA's are of a kind of their own."""
    return isinstance(error, MemoryError) or any(part in str(error) for part in _NO_MEMORY)


def estimate_step_bytes(config: TrainConfig) -> int:
    """Estimate the memory of one training step, in bytes.

    Weights, gradients, Adam's moments, running averages and pools are counted. Tensors kept for
    the backward pass are measured on images of two small sizes: some grow with the pixels, some,
    such as standardised weights, do not. What pairs add is left out. On the CPU the estimate came
    within 10% of the growth of the process (both presets, 128 and 256 px, batches of 1 and 4, both
    precisions).
    """
    precision = pick_precision(config.precision, pick_device(config.device))
    # A CPU without bfloat16 would take half a minute; without values there is nothing to compute,
    # and no telling which of a batch are pairs. To be ready for that takes longer than float32.
    is_half = precision == torch.bfloat16
    without_values = FakeTensorMode(allow_non_fake_inputs=True) if is_half else nullcontext()
    with torch.device("cpu"), without_values:
        model = CycleGAN(config.model_copy(update={"lambda_paired": 0.0}))
        kept = (_kept_bytes(model, config.sketch_channels, side, precision) for side in _PROBES)
        small, large = kept
    weights = sum(p.numel() for p in model.parameters())
    generators = sum(p.numel() for g in model.generators().values() for p in g.parameters())
    pools = config.pool_size * (3 + config.sketch_channels) * config.image_size**2
    state = 4 * (4 * weights + generators + pools)

    per_pixel = (large - small) / (_PROBES[1] ** 2 - _PROBES[0] ** 2)
    fixed = small - per_pixel * _PROBES[0] ** 2
    pixels = config.batch_size // config.accumulate * config.image_size**2
    return round(_LIBRARY_BYTES + state + fixed + _TRANSIENT * per_pixel * pixels)


def share_of_rank(config: TrainConfig, num_ranks: int) -> TrainConfig:
    """Return the settings of the part that each of several processes does."""
    share = {
        "batch_size": config.batch_size // num_ranks,
        "pool_size": -(-config.pool_size // num_ranks),
    }
    return config.model_copy(update=share)


def _kept_bytes(model: CycleGAN, sketch_channels: int, side: int, precision: torch.dtype) -> int:
    """Measure what one image of each domain leaves for the backward pass of the generators."""
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor.detach()  # an output that keeps itself would never be freed

    photo, sketch = torch.zeros(1, 3, side, side), torch.zeros(1, sketch_channels, side, side)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16),
    ):
        batch = Batch.of(photo, sketch)
        translated = model(batch)
        losses = model.generator_losses(batch, translated)
    size = sum(size for key, size in kept.items() if key not in parameters)
    del losses  # until here it holds what was kept, so that no storage is used twice
    return size
