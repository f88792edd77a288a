"""Pictures, forms and a server in a process of its own, for tests of the server."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image

START_TIMEOUT_S = 120.0
SAMPLES = Path(__file__).parents[1] / "src" / "facesketch" / "samples"


def encoded(
    size: tuple[int, int] = (80, 64), image_format: str = "PNG", **options: object
) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(buffer, image_format, **options)
    return buffer.getvalue()


def form(data: bytes, *, field: str = "image", **fields: str) -> dict[str, Any]:
    """What a client posts: a file and text fields."""
    return {
        "data": {field: (io.BytesIO(data), "portrait.png"), **fields},
        "content_type": "multipart/form-data",
    }


class Server:
    """`facesketch serve` in a process of its own, on a free port."""

    def __init__(self, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "facesketch", "serve", "--port", "0", *options]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # a pipe fills up
        self.process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.process.stdout is not None
        timer = threading.Timer(START_TIMEOUT_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if "http://" not in line:
            raise AssertionError(f"the server did not start: {self.stop()}")
        self.port = int(line.split("127.0.0.1:")[1].split("/")[0])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> str:
        """Stop it as a service manager does, if it runs; return what it wrote to stderr."""
        self.process.terminate()
        self.process.communicate(timeout=60)
        if not self._log.closed:
            with self._log:
                self._log.seek(0)
                self.errors = self._log.read()
        return self.errors
