"""What glibc does with freed memory; without glibc, nothing here does anything."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of handing them back to the kernel.

    A training step on the CPU frees and asks for the same hundreds of megabytes again; page faults
    took up to two thirds of its time (benchmarks/train_step.py).
    """
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1})


def return_large_memory() -> None:
    """Let glibc hand freed blocks of 1 MB and more back to the kernel, always.

    By itself it raises that bound to the size of what was freed before, and a server that has seen
    a few large pictures keeps their memory for good.
    """
    _set({_M_MMAP_THRESHOLD: 1_000_000})


def return_freed_memory() -> None:
    """Hand the free parts of all heaps back to the kernel now; takes a few milliseconds.

    Each thread has a heap, and what is freed in the middle of one stays with the process.
    """
    with suppress(OSError, AttributeError):  # another system, or musl
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _set(options: dict[int, int]) -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl
        return
    for option, value in options.items():
        mallopt(option, value)
