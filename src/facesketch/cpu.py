"""What this machine's processor is good at."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def gains_by_bfloat16() -> bool:
    """Say whether bfloat16 is faster than float32 here; False where the system does not tell.

    Of processors with AVX512-BF16, AMD's do twice as much per cycle in it. Intel's do half, and
    gain by AMX alone: without it, bfloat16 is 1.4 to 1.5 times slower (a training step, OpenVINO).
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    flags = {
        flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()
    }
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "AuthenticAMD" in text)
