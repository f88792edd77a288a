"""Someone who reads a document and does what it says, in a folder with a few tiny pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

from documents import Block, words
from facesketch.cli import main
from server_helpers import SAMPLES, Server
from train_helpers import TINY, as_options, one_thread_environment

TINY_OPTIONS = " ".join(as_options({name: TINY[name] for name in TINY if name != "log_every"}))

CHANGED = [
    # What stands in the document, what is run in its place, and why.
    (r"^pip install .*", ":", "tests install nothing; another test looks at the names"),
    (r"^(facesketch train (?!.*--resume).*)", rf"\1 --steps 2 {TINY_OPTIONS}", "two small steps"),
    (r"^(facesketch train .*--resume .*)", r"\1 --steps 3", "one step more"),
    (r"^(facesketch evaluate .*)", r"\1 --size 64 --subset-size 10", "20 pictures a folder"),
    (r"^curl ", "curl --silent --show-error --fail-with-body ", "an error must fail the test"),
]
"""All that is run in another way than it stands, `facesketch serve` apart: see `Reader._serve`."""

PORTRAIT = (110, 0, 340, 230)  # left, top, right, bottom of the astronaut's face, FFHQ framing
NUM_PICTURES = 20
SHELL_ONLY = re.compile(r"[|<>&;$`*?]|^\w+=")
"""What a command needs a shell for; the others run in this process, which saves seconds each."""


class Reader:
    """Runs the blocks of one document, one after the other, in one folder."""

    def __init__(self, folder: Path, commands: Path) -> None:
        """Go to a folder.

        Args:
            folder: Where everything is done; the working folder of this process, too.
            commands: Folder with the command `facesketch`.
        """
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.server: Server | None = None
        self.environment = one_thread_environment()
        self.environment["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, _kind: type | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        code, errors = self._stop_server()
        assert code == 0 or error, errors

    def run(self, block: Block) -> None:
        """Run a block; what fails raises AssertionError or what the code raised."""
        if block.file:
            (self.folder / block.file).write_text(block.code, encoding="utf-8")
            return
        if block.language == "python":
            code = self._with_port(block.code)
            exec(compile(code, block.place, "exec"), self.names)  # noqa: S102
            return
        for command in block.commands():
            self._run_command(command, block.place)

    def _run_command(self, command: str, place: str) -> None:
        changed = as_run(command)
        if re.search(r"\bfacesketch serve\b(?!.*--help)", changed):
            self._serve(words(changed))
            return
        changed = self._with_port(changed)
        if changed.startswith("facesketch ") and not SHELL_ONLY.search(changed):
            with redirect_stdout(StringIO()) as printed:
                code = _run_here(words(changed)[1:])
            output = f"{printed.getvalue()}; see the captured output"
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", changed],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            code, output = done.returncode, done.stdout + done.stderr
        assert code == 0, f"{place}: {changed}: exit code {code}: {output}"
        assert ": skipped, " not in output, f"{place}: {changed} does nothing: {output}"

    def _with_port(self, text: str) -> str:
        """Name the port of the server that runs, if one does."""
        port = self.server.port if self.server else 8000
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")

    def _serve(self, command: list[str]) -> None:
        """Serve on a free port and without a browser, until the document ends or serves again."""
        code, errors = self._stop_server()
        assert code == 0, errors
        start = command.index("facesketch")
        variables = dict(word.split("=", 1) for word in command[:start])
        options = [word for word in command[start + 2 :] if word != "--open"]
        self.server = Server(*options, **self.environment, **variables)

    def _stop_server(self) -> tuple[int, str]:
        """Return how it ended, and what it wrote to stderr."""
        if self.server is None:
            return 0, ""
        errors = self.server.stop()
        return self.server.process.returncode, errors


def as_run(command: str) -> str:
    """Return what is run in place of a command."""
    for pattern, replacement, _why in CHANGED:
        command = re.sub(pattern, replacement, command)
    return command


def _run_here(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    raise AssertionError("main() always exits")


def write_commands(folder: Path) -> None:
    """Write `facesketch` and `python` of this source tree into a folder."""
    for name, arguments in {"facesketch": "-m facesketch", "python": ""}.items():
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)


def furnish(folder: Path) -> None:
    """Write the pictures and folders that the documents speak of."""
    astronaut = Image.fromarray(np.asarray(data.astronaut()))
    portrait = astronaut.crop(PORTRAIT).resize((128, 128))
    for name in ("portrait.jpg", "one.jpg", "two.jpg", "holiday/beach.jpg", "holiday/hills.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        portrait.save(folder / name)
    astronaut.resize((256, 256)).save(folder / "holiday.jpg")
    with Image.open(SAMPLES / "drawing_1.png") as drawing:
        drawing.resize((128, 128)).save(folder / "drawing.png")
    photos = [_variant(portrait, number) for number in range(NUM_PICTURES)]
    _write(photos, folder / "faces")
    assert _run_here(["data", "draw", str(folder / "faces"), str(folder / "drawings")]) == 0
    for split, count in {"train": 4, "val": 4, "test": NUM_PICTURES}.items():
        for domain, source in {"photos": "faces", "sketches": "drawings"}.items():
            target = folder / "sketches-set" / split / domain
            target.mkdir(parents=True)
            for picture in sorted((folder / source).iterdir())[:count]:
                shutil.copy(picture, target)


def _variant(portrait: Image.Image, number: int) -> Image.Image:
    """The portrait in another place, tone and mirror image."""
    shifted = portrait.crop((number % 5, number % 7, 108 + number % 5, 108 + number % 7))
    small = np.asarray(shifted.resize((64, 64)), np.float32)
    toned = small * (0.7 + 0.015 * number)
    return Image.fromarray((toned[:, ::-1] if number % 2 else toned).astype(np.uint8))


def _write(photos: list[Image.Image], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos):
        photo.save(folder / f"{number:02}.jpg")
