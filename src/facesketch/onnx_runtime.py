"""ONNX Runtime without its telemetry: the only place that imports it.

From 1.29 on, the official builds report each process, session and model to their maker unless
`ORT_DISABLE_TELEMETRY` is set before they are loaded. Whoever wants that sets it to 0. A program
that has imported onnxruntime itself before facesketch must set the variable too: what is reported
at start-up has been reported by then.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort  # reads the variable

__all__ = ["ort"]

if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
    ort.disable_telemetry_events()  # Windows builds do not look at the variable
