"""The folder of a run: one trainer at a time, and its settings for people."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from facesketch import checkpoint
from facesketch.config import ONE_CALL, TrainConfig
from facesketch.errors import CheckpointError, MissingExtraError, TrainingError, UsageError
from facesketch.writing import remove_leftovers, write_whole

LOCK_NAME = ".lock"
LOGS_NAME = "logs"

_log = logging.getLogger(__name__)


def default_run_folder() -> Path:
    """Name a new run by date and time."""
    return Path("runs") / datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Keep other trainers off a run; the lock ends with this process, however that ends.

    What a trainer left half-written there when it was killed is deleted.

    Raises:
        TrainingError: If another process is training in that folder.
        UsageError: If nothing can be written there.
    """
    try:
        from filelock import FileLock, Timeout  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch train", "train") from error
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"another process is training in {run}; wait for its end, or give another --out."
        ) from error
    except OSError as error:
        raise UsageError(
            f"nothing can be written into {run} ({error.strerror or error}); choose another --out, "
            "or make it writable."
        ) from error
    try:
        for folder in (run, *filter(Path.is_dir, run.iterdir())):
            remove_leftovers(folder)
        yield
    finally:
        lock.release()


def refuse_a_run(run: Path) -> None:
    """Refuse to begin in a folder whose run has done a step.

    Raises:
        CheckpointError: If there is such a run.
    """
    if any(checkpoint.step_of(path) for path in checkpoint.list_checkpoints(run)):
        raise CheckpointError(f"{run} already holds a run; continue it with --resume {run}.")


def start_over(run: Path) -> None:
    """Clear away a run that ended before a checkpoint of its first steps, and say so.

    Raises:
        CheckpointError: If another process has done a step there since anybody looked.
    """
    refuse_a_run(run)
    remains = checkpoint.list_checkpoints(run)
    if not remains:
        return
    _log.info("%s holds a run without progress; beginning it anew.", run)
    events = (run / LOGS_NAME).glob("events.out.tfevents.*")
    for path in (*remains, *events, checkpoint.best_path(run)):
        path.unlink(missing_ok=True)


def save_settings(run: Path, config: TrainConfig) -> None:
    """Write RUN/settings.toml, which `--config` takes."""
    import tomli_w  # noqa: PLC0415

    values = config.model_dump(mode="json", exclude_none=True, exclude=set(ONE_CALL))
    with write_whole(run / "settings.toml") as partial:
        partial.write_text(tomli_w.dumps(values), encoding="utf-8")
