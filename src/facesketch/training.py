"""The loop: read, step, log, sample, checkpoint; stop cleanly, resume exactly."""

from __future__ import annotations

import logging
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from facesketch import checkpoint, images
from facesketch.config import MAX_BROKEN_SHARE, TrainConfig
from facesketch.data.dataset import (
    Batch,
    Broken,
    Domains,
    can_be_read,
    centre_crop,
    find_domains,
    make_loader,
)
from facesketch.data.sampler import steps_per_epoch
from facesketch.errors import (
    CheckpointError,
    DataError,
    ImageError,
    NonFiniteLossError,
    OutOfMemoryError,
)
from facesketch.init_weights import load_networks
from facesketch.run_log import RunLog, StepProgress, sample_grid
from facesketch.train_state import TrainState, learning_rate_factor, pick_device

NUM_SAMPLES = 4
"""Rows of the picture grid."""

_log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """How a call of `train` ended.

    Attributes:
        run: The run's folder.
        step: Optimizer steps done in all.
        num_steps: Steps planned.
        reason: Why it ended.
        broken: Every broken image met, once.
    """

    run: Path
    step: int
    num_steps: int
    reason: Literal["finished", "time is up", "interrupted"]
    broken: list[Broken] = field(default_factory=list)


def count_steps(config: TrainConfig, domains: Domains) -> int:
    """Return the optimizer steps that the settings ask for."""
    if config.steps is not None:
        return config.steps
    per_epoch = steps_per_epoch(len(domains.photos), len(domains.sketches), config.batch_size)
    return config.epochs * per_epoch


def default_run_folder() -> Path:
    """Name a new run by date and time."""
    return Path("runs") / datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")


def train(config: TrainConfig, *, resume: Path | None = None) -> Outcome:
    """Train until the planned steps are done, time is up or a signal asks to stop.

    Args:
        config: Settings; for a resumed run the stored ones, changed where that is safe
            (`checkpoint.merge_settings`).
        resume: Folder of the run to continue; None starts a new one.

    Raises:
        DataError: If images are missing, or more than 1% of a domain cannot be read.
        CheckpointError: If the run to resume has no usable checkpoint, or other images.
        NonFiniteLossError: After writing the last good state.
        OutOfMemoryError: If the device has too little memory.
    """
    started = time.monotonic()
    domains = find_domains(config)
    assert domains is not None  # noqa: S101  # only the val split may be missing
    run = resume or config.out or default_run_folder()
    if resume is None and checkpoint.list_checkpoints(run):
        raise CheckpointError(f"{run} already holds a run; continue it with --resume {run}.")
    with _explain_out_of_memory(pick_device(config.device)):
        state = TrainState(config, count_steps(config, domains))
        loop = _Loop(config, run, state, domains, started)
        if resume is not None:
            loop.restore(checkpoint.load_latest(run))
        elif config.init_from is not None:
            load_networks(state.model, config, config.init_from)
            state.restart_averages()
        return loop.run_all()


@contextmanager
def _explain_out_of_memory(device: torch.device) -> Iterator[None]:
    """Turn each way in which torch runs out of memory into one sentence."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; CPU and MPS have no own kind
        texts = (
            "out of memory",
            "not enough memory",
            "can't allocate memory",
            "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
            "unable to find an engine",  # cuDNN, when no algorithm fits
        )
        if not any(text in str(error) for text in texts):
            raise
        raise OutOfMemoryError(
            f"the {device.type} ran out of memory; lower --batch-size or --image-size, raise "
            "--accumulate, or choose --generator compact."
        ) from error


class _Loop:
    """The mutable parts of one call of `train`."""

    def __init__(
        self, config: TrainConfig, run: Path, state: TrainState, domains: Domains, started: float
    ) -> None:
        self.config = config
        self.run = run
        self.state = state
        self.domains = domains
        self.started = started
        self.broken: dict[str, Broken] = {}
        self.stop_signal = False
        self.environment = {
            "torch": str(torch.__version__),
            "threads": str(torch.get_num_threads()),
            "device": state.device.type,
            "precision": str(state.precision).removeprefix("torch."),
            "machine": platform.machine(),
            "compile": str(config.compile),
        }

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Continue from a checkpoint, and say what differs from the machine that wrote it."""
        if saved.data_fingerprint != self.domains.fingerprint:
            raise CheckpointError(
                "the images are not those that the run began with (names or number differ); "
                "restore them, or start a new run with --init-from."
            )
        for name, value in self.environment.items():
            stored = saved.environment.get(name)
            if stored != value:
                _log.warning(
                    "%s is %s now and was %s when the checkpoint was written: the run goes on, "
                    "but results equal to the bit are not promised.",
                    name,
                    value,
                    stored,
                )
        self.state.load_state_dict(saved.state, saved.step)
        self.broken = {
            item["path"]: Broken(**item)
            for item in saved.state["broken"]
            if not can_be_read(Path(item["path"]))  # else it has been repaired since
        }
        former = count_steps(saved.settings, self.domains)
        if former != self.state.num_steps:
            self._explain_schedule(former)
        _log.info("Resumed at step %d from %s.", saved.step, saved.path)

    def _explain_schedule(self, former: int) -> None:
        state, config = self.state, self.config
        _log.info(
            "The run now has %d steps, not %d. Learning rates up to step %d stay as they were; "
            "from here it is %.3g, falls from step %d on and reaches 0 at step %d.",
            state.num_steps,
            former,
            state.step,
            state.learning_rate,
            max(state.step, round(config.decay_start * state.num_steps)),
            state.num_steps,
        )

    def run_all(self) -> Outcome:
        """Train from the state's step on."""
        if self.state.step >= self.state.num_steps:
            _log.info(
                "All %d steps are done; ask for more with --epochs or --steps.",
                self.state.num_steps,
            )
            return self._outcome("finished")
        self.run.mkdir(parents=True, exist_ok=True)
        save_settings(self.run, self.config)
        samples = self._fixed_samples()
        loader = make_loader(
            self.domains,
            self.config,
            num_steps=self.state.num_steps,
            first_step=self.state.step,
            pin=self.state.device.type == "cuda",
        )
        batches = iter(loader)  # starts the workers: before there are threads they could inherit
        with (
            RunLog(self.run, self.state.step) as run_log,
            StepProgress(self.state.step, self.state.num_steps) as bar,
            self._stop_on_signals(),
        ):
            if self.state.step == 0:
                self._save()
            for batch in batches:
                values = self._one_step(batch)
                step = self.state.step
                bar.advance(values, len(batch.photo), step)
                reason = self._stop_reason()
                if step % self.config.log_every == 0 or reason == "finished":
                    run_log.write(step, values | bar.speed(self.config.batch_size))
                if step % self.config.sample_every == 0 or reason == "finished":
                    self._save_samples(*samples)
                if step % self.config.checkpoint_every == 0 or reason is not None:
                    self._save()
                if reason is not None:
                    return self._outcome(reason)
        raise AssertionError("the loader ended before the last step")

    def _one_step(self, batch: Batch) -> dict[str, float]:
        try:
            self._note_broken(batch)
        except DataError:
            self._save()
            raise
        learning_rate = self.state.learning_rate
        try:
            values = self.state.train_step(batch.photo, batch.sketch)
        except NonFiniteLossError as error:
            path = self._save()
            raise NonFiniteLossError(
                f"{error}; the state before it is in {path}. Start a new run from it with "
                f"--init-from {self.run} and a lower --learning-rate or --precision float32."
            ) from error
        return values | {"learning_rate": learning_rate}

    def _note_broken(self, batch: Batch) -> None:
        """Warn of new broken images; more than 1% of a domain is an error."""
        for item in batch.broken:
            if item.path not in self.broken:
                _log.warning("Skipped a broken image: %s", item.reason)
                self.broken[item.path] = item
        if not batch.broken:
            return
        for domain in ("photo", "sketch"):
            names = [b.path for b in self.broken.values() if b.domain == domain]
            folder = self.domains.folder(domain)
            if len(names) > MAX_BROKEN_SHARE * len(folder):
                raise DataError(
                    f"{len(names)} of {len(folder)} images in {folder.root} are broken, more than "
                    f"1% (for instance {names[0]}); find them with `facesketch data check`."
                )
        if batch.error is not None:
            raise DataError(batch.error)

    def _fixed_samples(self) -> tuple[Tensor, Tensor]:
        """Read the pictures of the grid: from the validation split where there is one."""
        domains = find_domains(self.config, "val") or self.domains
        size = self.config.image_size
        photos = _read_samples(domains, "photo", size, "RGB")
        sketches = _read_samples(
            domains, "sketch", size, "L" if self.config.sketch_channels == 1 else "RGB"
        )
        num_rows = min(len(photos), len(sketches))
        return torch.stack(photos[:num_rows]), torch.stack(sketches[:num_rows])

    def _save_samples(self, photo: Tensor, sketch: Tensor) -> None:
        folder = self.run / "samples"
        folder.mkdir(exist_ok=True)
        state = self.state
        generators = dict(state.ema.items())
        with state.autocast():
            grid = sample_grid(generators, state.to_device(photo), state.to_device(sketch))
        path = folder / f"step-{state.step:08d}.png"
        path.write_bytes(images.encode(grid, "PNG", generated_photo=True))

    def _save(self) -> Path:
        state = self.state.state_dict()
        state["broken"] = [vars(b) for b in self.broken.values()]
        return checkpoint.save(
            self.run,
            step=self.state.step,
            settings=self.config,
            environment=self.environment,
            data_fingerprint=self.domains.fingerprint,
            state=state,
        )

    def _stop_reason(self) -> Literal["finished", "time is up", "interrupted"] | None:
        if self.state.step >= self.state.num_steps:
            return "finished"
        if self.stop_signal:
            return "interrupted"
        limit = self.config.max_minutes
        if limit is not None and time.monotonic() - self.started >= limit * 60:
            return "time is up"
        return None

    @contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM end the step in progress; a second one ends at once."""
        previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, _frame: object) -> None:
            self.stop_signal = True
            signal.signal(number, previous[signal.Signals(number)])
            _log.info("Stopping after this step; the checkpoint follows.")

        try:
            for number in previous:
                signal.signal(number, stop)
        except ValueError:  # not the main thread: signals are somebody else's
            yield
            return
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _outcome(self, reason: Literal["finished", "time is up", "interrupted"]) -> Outcome:
        broken = list(self.broken.values())
        return Outcome(self.run, self.state.step, self.state.num_steps, reason, broken)


def _read_samples(
    domains: Domains, domain: Literal["photo", "sketch"], size: int, mode: Literal["RGB", "L"]
) -> list[Tensor]:
    """Read up to NUM_SAMPLES whole images, spread over the folder."""
    folder = domains.folder(domain)
    wanted = min(NUM_SAMPLES, len(folder))
    result = []
    for index in range(0, len(folder), max(1, len(folder) // (4 * wanted))):
        try:
            result.append(centre_crop(folder, index, size, mode))
        except ImageError:
            continue  # the training itself names and counts it
        if len(result) == wanted:
            break
    if not result:
        raise DataError(f"no image in {folder.root} can be read; run `facesketch data check`.")
    return result


def save_settings(run: Path, config: TrainConfig) -> None:
    """Write RUN/settings.toml, which `--config` takes."""
    import tomli_w  # noqa: PLC0415

    once = {"out", "init_from", "max_minutes"}  # belong to this run, not to its settings
    values = config.model_dump(mode="json", exclude_none=True, exclude=once)
    path = run / "settings.toml"
    partial = path.with_suffix(".partial")
    partial.write_text(tomli_w.dumps(values), encoding="utf-8")
    partial.replace(path)


def schedule_text(config: TrainConfig, num_steps: int) -> str:
    """Describe the learning rate in one line."""
    first = min(round(config.decay_start * num_steps), num_steps)
    last = learning_rate_factor(num_steps - 1, num_steps, config.decay_start)
    return (
        f"{config.learning_rate:g} up to step {first}, then linearly down to "
        f"{config.learning_rate * last:.2g} in step {num_steps - 1}"
    )
