"""The process that fuzzes: `soak.fuzz_decode` starts it."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["PIL", "facesketch.images", "facesketch.decoding"]):
    from PIL import Image

    from soak.fuzz_decode import read

    Image.init()  # imports all plugins, which would else be done when they are first needed


def _read_one(data: bytes) -> None:
    read(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, _read_one)
    atheris.Fuzz()
