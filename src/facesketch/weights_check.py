"""Looks at an ONNX file before a runtime does: what it may not hold, and whether it is ours."""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

from facesketch.errors import WeightsError
from facesketch.protobuf import fields

SHIPPED = Path(__file__).resolve().parent / "weights"
"""Folder of all networks that come with the package."""

SUMS_NAME = "SHA256SUMS"
"""File in it with the hash of each, as `sha256sum` writes it."""

MAX_BYTES = 1_000_000_000
"""Largest file that is read; a generator has 4 to 50 MB."""

DOMAINS = (b"", b"ai.onnx")
"""Sets of operators that `facesketch export` uses: the standard's."""

_LOOKED_AT = {"node": 7, "tensor": 13}
"""Numbers of NodeProto.domain and TensorProto.external_data in onnx.proto."""

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""In which fields of a message other messages stand, and of which kind, down to all tensors."""


def read_checked(path: Path) -> bytes:
    """Read an ONNX file that a runtime may load.

    A file that the package ships has to be the one that was shipped. No file may name others, as
    ONNX's external data do, or use operators that are not the standard's. What a network computes,
    and how much memory that takes, cannot be told from its file.

    Raises:
        WeightsError: If it is none.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(
                f"{path} has {size / 1e9:.1f} GB, more than any generator; write it again with "
                "`facesketch export`."
            )
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror or error}).") from error
    if path.resolve().is_relative_to(SHIPPED):
        _check_shipped(path, data)
    else:
        _check_parts(path, data)
    return data


@cache
def shipped_sums() -> dict[str, str]:
    """Read the hashes of the networks that are shipped, by path below `SHIPPED`.

    Raises:
        WeightsError: If the file is missing or broken.
    """
    try:
        lines = (SHIPPED / SUMS_NAME).read_text(encoding="ascii").splitlines()
        return {name: digest for digest, name in (line.split() for line in lines)}
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{SHIPPED / SUMS_NAME} is missing or broken; install facesketch again."
        ) from error


def _check_shipped(path: Path, data: bytes) -> None:
    name = path.resolve().relative_to(SHIPPED).as_posix()
    if hashlib.sha256(data).hexdigest() != shipped_sums().get(name):
        raise WeightsError(
            f"{path} is not the file that came with facesketch (its SHA-256 differs); install "
            "facesketch again, or keep weights of your own in another folder."
        )


def _check_parts(path: Path, data: bytes) -> None:
    """Look at every operator and tensor."""
    waiting = [("model", data)]
    try:
        while waiting:
            kind, message = waiting.pop()
            parts, forbidden = _PARTS[kind], _LOOKED_AT.get(kind, 0)
            for number, content in fields(io.BytesIO(message), {*parts, forbidden}):
                if number != forbidden:
                    waiting.append((parts[number], content))
                elif kind == "tensor":
                    raise WeightsError(
                        f"{path} takes numbers from another file, which no generator may; write "
                        "it again with `facesketch export`."
                    )
                elif content not in DOMAINS:
                    raise WeightsError(
                        f"{path} uses operators of {content.decode(errors='replace')[:40]!r}, "
                        "which no generator may; write it again with `facesketch export`."
                    )
    except ValueError as error:
        raise WeightsError(
            f"{path} cannot be loaded: it is broken, or no ONNX file; write it again with "
            "`facesketch export`."
        ) from error
