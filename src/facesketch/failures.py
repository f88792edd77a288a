"""What stops a training from outside - memory, disk, killed processes - said in one sentence."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from facesketch import checkpoint
from facesketch.distributed import LostRankError
from facesketch.errors import OutOfMemoryError, TrainingError
from facesketch.memory import is_out_of_memory

_NO_WORKER = ("DataLoader worker (pid", "shared memory(shm)", "shared memory object")


@contextmanager
def explain_failures(run: Path, device: torch.device) -> Iterator[None]:
    """Turn a failure of the machine into a sentence that says what to do.

    Args:
        run: The run's folder; its newest checkpoint is named.
        device: Where the networks are.

    Raises:
        OutOfMemoryError: If memory ran out.
        TrainingError: If the disk is full, or a process that reads images or trains was killed.
    """
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(_memory_text("machine")) from error
    except (ConnectionError, EOFError) as error:  # a killed worker had a batch half handed over
        raise _worker_error(run) from error
    except OSError as error:
        raise _disk_error(error, run) from error
    except LostRankError as error:
        raise TrainingError(
            "another process of this training ended, or did not answer; if it did not say why, it "
            f"was killed. {_way_on(run)}"
        ) from error
    except RuntimeError as error:
        text = str(error)
        if any(part in text for part in _NO_WORKER):
            raise _worker_error(run) from error
        if is_out_of_memory(error):
            raise OutOfMemoryError(_memory_text(device.type)) from error
        if isinstance(error.__context__, OSError):  # torch's writer, when the disk is full
            raise _disk_error(error.__context__, run) from error
        raise


def _memory_text(device: str) -> str:
    return (
        f"the {device} ran out of memory; raise --accumulate, or in a new run lower "
        "--batch-size or --image-size, or choose --generator compact."
    )


def _worker_error(run: Path) -> TrainingError:
    return TrainingError(
        "a process that reads images was killed, or memory that it shares ran out; give a lower "
        f"--num-workers, 0 reads without such processes. {_way_on(run)}"
    )


def _disk_error(error: OSError, run: Path) -> TrainingError:
    if error.errno == errno.ENOMEM:
        return OutOfMemoryError(_memory_text("machine"))
    if error.errno == errno.EMFILE:
        text = "too many files are open; raise the limit (ulimit -n) or give a lower --num-workers"
    else:
        text = f"{error.filename or run} cannot be written ({error.strerror or error}); make room"
    return TrainingError(f"{text}. {_way_on(run)}")


def _way_on(run: Path) -> str:
    kept = checkpoint.list_checkpoints(run)
    if not kept or not checkpoint.step_of(kept[-1]):
        return "Then give the same command again."
    there = shlex.quote(str(run))
    return f"The last checkpoint, {kept[-1].name}, is whole: then go on with --resume {there}."
