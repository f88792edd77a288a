"""Atomic checkpoints that hold everything, and the way back from them."""

from __future__ import annotations

import errno
import logging
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from pydantic import ValidationError
from torch import Tensor

from facesketch.config import TrainConfig, build_config, field_extra
from facesketch.distributed import Ranks
from facesketch.errors import (
    CheckpointError,
    OtherVersionError,
    OutOfMemoryError,
    TrainingError,
)
from facesketch.memory import is_out_of_memory
from facesketch.writing import write_whole

SCHEMA_VERSION = 2
BROKEN_SUFFIX = ".broken"
BEST_NAME = "best.pt"
_NAME = re.compile(r"step-(\d{8})\.pt")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        path: Where it came from.
        step: Optimizer steps done.
        settings: The run's settings, validated.
        environment: What equality to the bit depends on: torch version, threads, device...
        data_fingerprint: Hash of the names of all training images.
        state: State dicts of networks, EMA, optimizers, pools and random numbers.
    """

    path: Path
    step: int
    settings: TrainConfig
    environment: dict[str, str]
    data_fingerprint: str
    state: dict[str, Any]

    def generator_state(self, direction: str) -> dict[str, Tensor]:
        """Return the state dict of one averaged generator."""
        return _below(self.state["ema"], direction)

    def discriminator_state(self, domain: str) -> dict[str, Tensor]:
        """Return the state dict of one discriminator."""
        return _below(self.state["model"], f"disc_{domain}")

    def with_averages(self, ema: dict[str, Tensor]) -> Content:
        """Return what to save of a run whose averaged generators are others."""
        return {
            "step": self.step,
            "settings": self.settings,
            "environment": self.environment,
            "data_fingerprint": self.data_fingerprint,
            "state": self.state | {"ema": ema},
        }


class Content(TypedDict):
    """What is stored: a `Checkpoint` without its path."""

    step: int
    settings: TrainConfig
    environment: dict[str, str]
    data_fingerprint: str
    state: dict[str, Any]


def _below(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def checkpoint_folder(run: Path) -> Path:
    """Return where a run keeps its checkpoints."""
    return run / "checkpoints"


def path_at(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step is kept."""
    return checkpoint_folder(run) / f"step-{step:08d}.pt"


def save(run: Path, **content: Unpack[Content]) -> Path:
    """Write a checkpoint and delete the oldest ones beyond `keep_checkpoints`.

    The file appears under its name only when every byte is on disk.
    """
    path = path_at(run, content["step"])
    _write(path, content)
    for old in list_checkpoints(run)[: -content["settings"].keep_checkpoints]:
        old.unlink()
    return path


def best_path(run: Path) -> Path:
    """Return where a run keeps its best weights."""
    return checkpoint_folder(run) / BEST_NAME


def save_best(run: Path, **content: Unpack[Content]) -> None:
    """Keep the averaged generators of a state, in place of those that were the best before."""
    _write(best_path(run), {**content, "state": {"ema": content["state"]["ema"]}})


def load_best(run: Path) -> Checkpoint:
    """Load the averaged generators with the lowest KID; nothing else is in this checkpoint.

    Raises:
        CheckpointError: If the run was never validated, or the file is broken.
    """
    path = best_path(run)
    if not path.is_file():
        raise CheckpointError(
            f"{run} has no best weights, as it was never validated (--validate-every); leave "
            "--best out to export the newest."
        )
    return load(path)


def _write(path: Path, content: Content) -> None:
    settings = content["settings"].model_dump_json()
    stored = {"schema_version": SCHEMA_VERSION} | content | {"settings": settings}
    with write_whole(path, durable=True) as partial, partial.open("wb") as file:
        torch.save(stored, file)


def step_of(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(path.stem.removeprefix("step-"))


def list_checkpoints(run: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    folder = checkpoint_folder(run)
    return sorted(path for path in folder.glob("*.pt") if _NAME.fullmatch(path.name))


def load_latest(run: Path, *, warn: bool = True) -> Checkpoint:
    """Load the newest checkpoint that is whole; a broken one is warned of and passed over.

    Args:
        run: Folder of a training run.
        warn: False where the run is loaded again, so that nobody is warned twice.

    Raises:
        CheckpointError: If there is none.
        OtherVersionError: If that one is of another version; an older one would lose steps.
    """
    paths = list_checkpoints(run)
    if not paths:
        raise CheckpointError(f"{run} holds no checkpoint; is it the folder of a training run?")
    for path in reversed(paths):
        try:
            return load(path)
        except OtherVersionError:
            raise
        except CheckpointError as error:
            if warn:
                _log.warning("%s Trying the one before it.", error)
    raise CheckpointError(f"none of the {len(paths)} checkpoints in {run} can be read.")


def load_latest_together(run: Path, ranks: Ranks) -> Checkpoint:
    """Load, on every rank, what the first one finds to be the newest checkpoint that is whole.

    Raises:
        CheckpointError: If there is none.
    """
    if ranks.is_first:
        saved = load_latest(run)
        ranks.gather(saved.path)
        return saved
    return load(ranks.gather(run)[0])


def set_aside_newer(run: Path, step: int) -> None:
    """Rename the checkpoints after a step, which are broken: nobody shall try or count them."""
    for path in list_checkpoints(run):
        if step_of(path) > step:
            aside = path.replace(path.with_suffix(BROKEN_SUFFIX))
            _log.info("The broken checkpoint is now called %s.", aside)


def load(path: Path) -> Checkpoint:
    """Load one checkpoint; tensors and plain values only, never code.

    Raises:
        CheckpointError: If it is broken.
        OtherVersionError: If it is whole, and of another version.
        OutOfMemoryError: If it does not fit into memory.
        TrainingError: If the disk does not let it be read.
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        version = content["schema_version"]
        if version == SCHEMA_VERSION:
            return Checkpoint(
                path=path,
                step=content["step"],
                settings=TrainConfig.model_validate_json(content["settings"]),
                environment=content["environment"],
                data_fingerprint=content["data_fingerprint"],
                state=content["state"],
            )
    except ValidationError as error:
        names = dict.fromkeys(str(each["loc"][0]) for each in error.errors() if each["loc"])
        how = f"with settings that this one does not take: {', '.join(names)}"
        raise _of_another_version(path, how) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise TrainingError(
                f"{path} cannot be read ({error.strerror}); once it can be, give the same command "
                "again."
            ) from error
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{path} does not fit into the machine's memory.") from error
        # Truncated and foreign files are answered with many kinds of exception.
        raise CheckpointError(f"{path} is broken ({type(error).__name__}).") from error
    raise _of_another_version(path, f"schema {version}, this one reads {SCHEMA_VERSION}")


def _of_another_version(path: Path, how: str) -> OtherVersionError:
    return OtherVersionError(
        f"{path} was written by another version of facesketch ({how}); use that version."
    )


def _check_sums(path: Path) -> None:
    """Compare the checksums in the file, which torch's reader does not look at."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def merge_settings(stored: TrainConfig, *layers: dict[str, Any]) -> TrainConfig:
    """Continue with the stored settings, changed where that is safe; max_minutes is forgotten.

    Args:
        stored: Settings in the checkpoint.
        *layers: Settings that the person gave this time, by name, not yet validated; a later layer
            wins.

    Raises:
        ConfigError: If a value is not valid.
        CheckpointError: If a setting that must not change differs; lists all of them.
    """
    base = stored.model_copy(update={"max_minutes": None})  # a limit of that call alone
    merged = build_config("compact", base.model_dump(), *layers)
    unsafe = [
        f"{name} is {getattr(stored, name)}, not {getattr(merged, name)}"
        for name in dict.fromkeys(name for layer in layers for name in layer)
        if getattr(stored, name) != getattr(merged, name) and not field_extra(name)["resume"]
    ]
    if unsafe:
        raise CheckpointError(
            "these settings cannot change in a resumed run: "
            + "; ".join(unsafe)
            + ". Leave them out, or start a new run with --init-from."
        )
    return merged
