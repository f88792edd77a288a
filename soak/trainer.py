"""Training processes that say what they are doing, so that they can be disturbed in it.

A trainer is forked from this process, which has imported everything: a start takes a second and
not ten. What it runs is the command line; around a few functions it reports to a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo  # imported here once, not in each fork: as are the next four
import torch.utils.tensorboard
from PIL import Image

import facesketch.cli.train
import facesketch.evaluation.mobilenet
import facesketch.validation.plot  # noqa: F401
from facesketch import checkpoint, cli, training
from facesketch.validation import measure, plan
from train_helpers import options, photo_array, sketch_array, write_pictures

STEP, CHECKPOINT, SAMPLES, VALIDATION = "a step", "a checkpoint", "a sample grid", "a validation"
START = "its start"
_PHASES = {
    STEP: (training._Loop, "_one_step"),
    CHECKPOINT: (checkpoint, "_write"),
    SAMPLES: (training._Loop, "_save_samples"),
    VALIDATION: (training._Loop, "_measure"),
}
torch.set_num_threads(1)  # sums have another order on another number of threads

NUM_VALIDATED = 4
"""Images that do for a validation here; for figures that say something it takes more."""

PATIENCE_S = 1800
"""A trainer that takes longer counts as hung."""

EVERY: dict[str, Any] = {
    "checkpoint_every": 3,
    "sample_every": 4,
    "validate_every": 10 / 3,  # epochs of 3 steps
    "keep_checkpoints": 2,
}
"""How often a tiny run does what it may be disturbed in."""


class Trainer:
    """One training process.

    Attributes:
        pid: Its number.
        doing: What it is doing, the innermost last, as far as its reports were read.
        seconds: How long each phase took, the newest last; `START` is all before the first.
    """

    def __init__(
        self, words: Sequence[str], log: Path, prepare: Callable[[], None] = lambda: None
    ) -> None:
        """Start it.

        Args:
            words: Command line after `facesketch`.
            log: File that its output is added to.
            prepare: Called in the new process before all else.
        """
        reports, pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reports)
            _be_a_trainer(words, log, prepare, pipe)
        os.close(pipe)
        self._reports = os.fdopen(reports, encoding="ascii")
        self._entered = [time.monotonic()]
        self.doing: list[str] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def reaches(self, phase: str, times: int = 1) -> bool:
        """Wait until it enters a phase for the n-th time; False if it ended before."""
        for line in self._reports:
            if self._heed(line) == phase:
                times -= 1
                if times == 0:
                    return True
        return False

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        for line in self._reports:
            self._heed(line)
        self._reports.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _heed(self, line: str) -> str:
        """Follow a report; return the phase that was entered, if one was."""
        entered = line.strip()
        if not self.seconds:
            self.seconds[START].append(time.monotonic() - self._entered.pop())
        if entered:
            self.doing.append(entered)
            self._entered.append(time.monotonic())
        else:
            self.seconds[self.doing.pop()].append(time.monotonic() - self._entered.pop())
        return entered


def _be_a_trainer(
    words: Sequence[str], log: Path, prepare: Callable[[], None], pipe: int
) -> NoReturn:
    code = 1
    try:
        with log.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        signal.alarm(PATIENCE_S)  # ends it
        for module in (plan, measure):
            module.MIN_IMAGES = NUM_VALIDATED  # type: ignore[attr-defined]
        for phase, (owner, name) in _PHASES.items():
            setattr(owner, name, _reporting(getattr(owner, name), phase, pipe))
        prepare()
        cli.main(list(words))
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reporting(function: Callable[..., Any], phase: str, pipe: int) -> Callable[..., Any]:
    @wraps(function)
    def report(*args: Any, **kwargs: Any) -> Any:
        os.write(pipe, f"{phase}\n".encode())
        try:
            return function(*args, **kwargs)
        finally:
            os.write(pipe, b"\n")

    return report


def write_data(folder: Path) -> Path:
    """Write a tiny data set that can be validated; return its root."""
    root = write_pictures(folder)
    for number in range(100, 100 + NUM_VALIDATED - 2):
        for domain, array in (("photos", photo_array), ("sketches", sketch_array)):
            Image.fromarray(array(number)).save(root / "val" / domain / f"{number}.png")
    return root


def new_run(data: Path, run: Path, num_steps: int) -> list[str]:
    """Return the command line of a new run that does everything often."""
    return ["train", *options(data=data, out=run, steps=num_steps, **EVERY)]


def resumed(run: Path) -> list[str]:
    """Return the command line that goes on with a run."""
    return ["train", "--resume", str(run)]


def last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return lines[-1] if lines else ""
