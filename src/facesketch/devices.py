"""What trains: the device, its arithmetic and free memory, and what of the machine lies idle."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from facesketch.cpu import gains_by_bfloat16
from facesketch.distributed import ALONE, Ranks
from facesketch.errors import ConfigError

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def pick_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """Turn the `device` setting into a device; auto takes CUDA, then MPS, then the CPU.

    Several ranks get a GPU each, or share the CPU.

    Raises:
        ConfigError: If this machine or this build of torch has no such device.
    """
    if ranks.size > 1:
        return _device_of_rank(name, ranks)
    if name != "auto":
        device = torch.device(name)
        here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
        if (device.index or 0) >= here.get(device.type, 1):
            raise ConfigError(f"device {name} is not there; leave --device out to take what is.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _device_of_rank(name: str, ranks: Ranks) -> torch.device:
    num_gpus = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not num_gpus):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise ConfigError(
            f"{ranks.size} processes cannot train on device {name}; give --device cuda for a GPU "
            "each, or --device cpu."
        )
    if ranks.local_rank >= num_gpus:
        raise ConfigError(
            f"this machine has {num_gpus} GPUs, too few for process {ranks.local_rank + 1}; start "
            "one for each GPU, or give --device cpu."
        )
    return torch.device("cuda", ranks.local_rank)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn the `precision` setting into a dtype.

    auto is bfloat16 only where the hardware gains by it: on CPUs without it, it is emulated and 1.3
    to 4 times slower than float32.
    """
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        with torch.cuda.device(device):  # what is asked of is the current one
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        fast = gains_by_bfloat16()
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def device_text(device: torch.device, precision: torch.dtype) -> str:
    """Describe in a few words what computes."""
    name = str(precision).removeprefix("torch.")
    if device.type == "cpu":
        num_threads = torch.get_num_threads()
        return f"the CPU, {num_threads} thread{'s' * (num_threads > 1)}, {name}"
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)}), {name}"
    return f"{device}, {name}"


def idle_text(device: torch.device, ranks: Ranks) -> str | None:
    """Say what this machine has and the training does not use; None where that is nothing."""
    num_gpus = torch.cuda.device_count()
    if device.type == "cuda" and ranks.size == 1 and num_gpus > 1:
        return (
            f"One of {num_gpus} GPUs is used; all of them by  torchrun --nproc-per-node {num_gpus} "
            "-m facesketch train ..."
        )
    if device.type == "cpu" and num_gpus:
        return "There is a GPU, which --device cpu leaves idle."
    if device.type == "cpu" and torch.version.cuda is None and shutil.which("nvidia-smi"):
        return "There is an NVIDIA GPU, but this torch is built without CUDA: see pytorch.org."
    return None


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that is free for the device, in bytes; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not _MEMINFO.is_file():
        return None
    lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    (available,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return min(1024 * available, _left_in_container())


def _left_in_container() -> int:
    """Return what a container's limit leaves, in bytes; more than there is where it has none."""
    files = [_CGROUP / name for name in ("memory.max", "memory.current")]
    if not all(file.is_file() for file in files):
        return 2**63
    most, used = (file.read_text(encoding="ascii").strip() for file in files)
    return 2**63 if most == "max" else max(0, int(most) - int(used))
