"""What a run says while it goes: losses as JSONL and TensorBoard events, progress."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import Progress, TaskID

from facesketch.console import progress_bar
from facesketch.errors import MissingExtraError
from facesketch.run_folder import LOGS_NAME
from facesketch.writing import write_whole

STATUS_SECONDS = 30.0
"""How often a line is logged where there is no terminal for a progress bar."""

_log = logging.getLogger(__name__)


class RunLog:
    """Writes RUN/logs/losses.jsonl and TensorBoard event files beside it; no server needed.

    Resuming at a step drops the lines after it, so that a loss is logged once.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError("facesketch train", "train") from error
        folder = run / LOGS_NAME
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "losses.jsonl"
        kept = _lines_up_to(path, first_step)
        with write_whole(path) as partial:
            partial.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add the values of one step (counted from 1)."""
        line = {"step": step} | {name: float(f"{value:.6g}") for name, value in values.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def write_validation(self, step: int, values: dict[str, float]) -> None:
        """Add a validation to the TensorBoard events, in a group of its own."""
        for name, value in values.items():
            self._writer.add_scalar(f"validation/{name}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._writer.close()


def _lines_up_to(path: Path, step: int) -> list[str]:
    """Return the lines of a loss log up to a step; a torn last line is dropped."""
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step and line.endswith("\n"):
                kept.append(line)
        except json.JSONDecodeError:
            continue
    return kept


class StepProgress:
    """Progress with losses, images/s and time left; a log line now and then without a terminal."""

    def __init__(self, step: int, num_steps: int) -> None:
        self.num_steps = num_steps
        self._progress: Progress = progress_bar()
        self._task: TaskID = self._progress.add_task("training", total=num_steps, completed=step)
        self._last_status = time.monotonic()
        self._last = time.monotonic()
        self._seconds = 0.0  # smoothed over steps
        self._num_timed = 0

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.__exit__(None, None, None)

    def advance(self, values: dict[str, float], num_images: int, step: int) -> None:
        """Show one more step."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._num_timed += 1
        # The first step warms up, 12 s on an H100 where others take 0.2, so the second replaces it.
        is_smoothed = self._num_timed > 2
        self._seconds = 0.95 * self._seconds + 0.05 * seconds if is_smoothed else seconds
        shown = " ".join(
            f"{name} {values[name]:.2f}"
            for name in ("gan_sketch", "gan_photo", "cycle_sketch", "cycle_photo")
        )
        text = f"{shown} | {num_images / self._seconds:.1f} images/s"
        self._progress.update(self._task, completed=step, description=text)
        if self._progress.disable and now - self._last_status > STATUS_SECONDS:
            self._last_status = now
            left = (self.num_steps - step) * self._seconds / 60
            _log.info("step %d of %d: %s, %.0f min left", step, self.num_steps, text, left)

    @contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Show that something else is being done, and do not count its time as a step's."""
        began = time.monotonic()
        self._progress.update(self._task, description=what)
        try:
            yield
        finally:
            self._last += time.monotonic() - began

    def speed(self, batch_size: int) -> dict[str, float]:
        """Return images/s, for the log."""
        return {"images_per_second": batch_size / self._seconds if self._seconds else 0.0}
