"""Loaded by schemathesis: what the schema calls a binary string is a picture."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from server_helpers import encoded

schemathesis.openapi.format(
    "binary", st.sampled_from([encoded(image_format=kind) for kind in ("PNG", "JPEG", "WEBP")])
)
