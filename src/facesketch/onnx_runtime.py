"""ONNX Runtime without its telemetry: the only place that imports it.

From 1.29 on, the official builds report each process, session and model to their maker unless
`ORT_DISABLE_TELEMETRY` is set before they are loaded. Whoever wants that sets it to 0. A program
that has imported onnxruntime itself before facesketch must set the variable too: what is reported
at start-up has been reported by then.
"""

from __future__ import annotations

import os
from functools import cache

from facesketch.errors import WeightsError
from facesketch.parallel import num_cores
from facesketch.weights_check import SHIPPED, read_checked

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort  # reads the variable

__all__ = ["ort", "session_options", "shipped_session"]

if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
    ort.disable_telemetry_events()  # Windows builds do not look at the variable


def session_options(num_threads: int | None = None) -> ort.SessionOptions:
    """Return options for a session that logs errors only.

    Args:
        num_threads: Threads of one call on the CPU; None takes all cores that this process may use.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    # Left alone, the runtime may pin a thread to each core of the machine, those too that this
    # process is kept from (microsoft/onnxruntime#12819; not on every system).
    is_limited = num_cores() < (os.cpu_count() or 1)
    options.intra_op_num_threads = num_threads or (num_cores() if is_limited else 0)
    return options


@cache
def shipped_session(name: str) -> ort.InferenceSession:
    """Load a small network that the package ships, once, for one thread of the CPU.

    Args:
        name: File in the folder weights/.

    Raises:
        WeightsError: If the file is missing or broken.
    """
    options = session_options(1)
    options.inter_op_num_threads = 1
    # It would keep 45 MB of the most views that were ever looked at together; costs no time.
    options.enable_cpu_mem_arena = False
    path = SHIPPED / name
    if not path.is_file():
        raise WeightsError(f"{path} is missing from the package; install facesketch again.")
    weights = read_checked(path)
    try:
        return ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no public base class
        raise WeightsError(f"{path} cannot be loaded; install facesketch again.") from error
