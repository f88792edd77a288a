"""The loop: read, step, log, sample, checkpoint; stop cleanly, resume exactly."""

from __future__ import annotations

import logging
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from facesketch import checkpoint, distributed, run_folder
from facesketch.allocator import keep_freed_memory
from facesketch.config import TrainConfig
from facesketch.data.batch import Batch
from facesketch.data.broken import BrokenImages
from facesketch.data.dataset import (
    Broken,
    Domains,
    Loaded,
    epoch_steps,
    find_domains,
    make_loader,
)
from facesketch.data.pens import has_all_styles
from facesketch.data.workers import reading
from facesketch.devices import device_text, free_bytes, idle_text, pick_device
from facesketch.distributed import Ranks
from facesketch.errors import (
    CheckpointError,
    DataError,
    NonFiniteLossError,
)
from facesketch.failures import explain_failures
from facesketch.init_weights import load_networks, load_teacher
from facesketch.loss_plot import write_loss_plot
from facesketch.memory import estimate_step_bytes, share_of_rank
from facesketch.run_log import RunLog, StepProgress
from facesketch.samples import Samples
from facesketch.train_state import TrainState, all_pools, new_schedule_text
from facesketch.validation import Validation

Reason = Literal["finished", "time is up", "interrupted"]

CHECKPOINT_SECONDS = 600.0
"""A checkpoint is written after this time, too: 500 steps may take most of an hour."""

EARLY_SAMPLES = (50, 100, 200)
"""Steps after which pictures are written beside every `sample_every`: the first show most."""

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
        validation: What was measured on the validation split, in sentences.
    """

    run: Path
    step: int
    num_steps: int
    reason: Reason
    broken: list[Broken] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)


def count_steps(config: TrainConfig, domains: Domains) -> int:
    """Return the optimizer steps that the settings ask for."""
    if config.steps is not None:
        return config.steps
    return config.epochs * epoch_steps(config, domains)


def check_images(saved: checkpoint.Checkpoint, domains: Domains) -> None:
    """Refuse to continue a run with other images than it began with.

    Raises:
        CheckpointError: If names or number differ.
    """
    if saved.data_fingerprint != domains.fingerprint:
        raise CheckpointError(
            "the images are not those that the run began with (names or number differ); "
            "restore them, or start a new run with --init-from."
        )


def train(
    config: TrainConfig, *, resume: Path | None = None, domains: Domains | None = None
) -> Outcome:
    """Train until the planned steps are done, time is up or a signal asks to stop.

    Under torchrun all processes call it alike and train together.

    Args:
        config: Settings; for a resumed run the stored ones, changed where that is safe
            (`checkpoint.merge_settings`).
        resume: Folder of the run to continue; None starts a new one.
        domains: The images that the settings name, where they have been listed already.

    Raises:
        DataError: If images are missing, or more of a domain than `max_broken` cannot be read.
        CheckpointError: If the run to resume has no usable checkpoint, or other images; if a new
            one would begin in the folder of another.
        NonFiniteLossError: After writing the last good state.
        OutOfMemoryError: If the device has too little memory.
        TrainingError: If another run trains in that folder, the disk is full, or a process that
            reads images or takes part was killed.
    """
    started = time.monotonic()
    keep_freed_memory()
    config = config.from_anywhere()
    domains = domains or find_domains(config)
    run = resume or config.out or run_folder.default_run_folder()
    if resume is None:
        run_folder.refuse_a_run(run)
    elif not checkpoint.list_checkpoints(run):
        checkpoint.load_latest(run)  # says so, and leaves no lock in a folder that is no run
    device = pick_device(config.device, Ranks.from_environment())
    with explain_failures(run, device), distributed.joined(config) as ranks:
        ranks.check_same(f"{config.model_dump_json()} {domains.fingerprint}")
        run, *_ = ranks.gather(run)  # the clock may have named it
        state = TrainState(config, count_steps(config, domains), ranks)
        if resume is None and config.init_from is not None:
            load_networks(state.model, config, config.init_from)
            state.restart_averages()
        if config.teacher is not None:
            state.model.teacher = load_teacher(config, config.teacher)
        with run_folder.claimed(run) if ranks.is_first else nullcontext():
            loop = _Loop(config, run, state, domains, started)
            if resume is not None:
                loop.restore(checkpoint.load_latest_together(run, ranks))
            elif ranks.is_first:
                run_folder.start_over(run)
            return loop.run_all()


class _Loop:
    """The mutable parts of one call of `train`."""

    def __init__(
        self, config: TrainConfig, run: Path, state: TrainState, domains: Domains, started: float
    ) -> None:
        self.config = config
        self.run = run
        self.state = state
        self.ranks = state.ranks
        self.domains = domains
        self.started = started
        self.last_saved = time.monotonic()
        self.broken = BrokenImages(domains)
        self.validation = Validation(run)
        self.stop_signal = False
        self.environment = {
            "torch": str(torch.__version__),
            "threads": str(torch.get_num_threads()),
            "device": state.device.type,
            "precision": str(state.precision).removeprefix("torch."),
            "machine": platform.machine(),
            "compile": str(config.compile),
            "accumulate": str(config.accumulate),
            "teacher": teacher.version if (teacher := state.model.teacher) else "none",
        }

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Continue from a checkpoint, and say what differs from the machine that wrote it."""
        check_images(saved, self.domains)
        if self.ranks.is_first:
            checkpoint.set_aside_newer(self.run, saved.step)
        for name, value in self.environment.items():
            stored = saved.environment.get(name, value)  # files of former versions have fewer
            if stored != value:
                _log.warning(
                    "%s is %s now and was %s when the checkpoint was written: the run goes on, "
                    "but results equal to the bit are not promised.",
                    name,
                    value,
                    stored,
                )
        self.state.load_state_dict(saved.state, saved.step)
        self.validation.load_state_dict(saved.state.get("validation", []))
        num_ranks = len(all_pools(saved.state))
        if num_ranks != self.ranks.size:
            _log.info(
                "Processes that train: %d now, %d before. Global batch, order of samples and "
                "schedule stay; the image pools were dealt out anew, so results equal to the bit "
                "are not promised.",
                self.ranks.size,
                num_ranks,
            )
        self.broken.load_state_dict(saved.state["broken"])
        former = count_steps(saved.settings, self.domains)
        if former != self.state.num_steps:
            _log.info(new_schedule_text(self.state, former))
        _log.info("Resumed at step %d from %s.", saved.step, saved.path)

    def run_all(self) -> Outcome:
        """Train from the state's step on."""
        val = find_domains(self.config, "val")
        loader = make_loader(
            self.domains,
            self.config,
            num_steps=self.state.num_steps,
            first_step=self.state.step,
            rank=self.ranks.rank,
            world_size=self.ranks.size,
            pin=self.state.device.type == "cuda",
        )
        with reading(loader) as batches:  # from here on: before there are threads to be inherited
            return self._run(batches, val)

    def _run(self, batches: Iterator[Loaded], val: Domains | None) -> Outcome:
        if self.ranks.is_first:
            self.validation.prepare(self.config, self.domains, val)
        self.validation.every, *_ = self.ranks.gather(self.validation.every)
        if self._is_over and not self.validation.is_due(self.state):
            _log.info(
                "All %d steps are done; ask for more with --epochs or --steps.",
                self.state.num_steps,
            )
            return self._outcome("finished")
        shown = val if val and has_all_styles(val.sketches, self.config) else self.domains
        samples = Samples(self.config, shown)
        if self.ranks.is_first:
            run_folder.save_settings(self.run, self.config)
            self._tell_plan()
        with (
            RunLog(self.run, self.state.step) if self.ranks.is_first else nullcontext() as run_log,
            StepProgress(self.state.step, self.state.num_steps) as bar,
            self._stop_on_signals(),
        ):
            if self.state.step == 0:
                self._save()
            # The one that the call before was stopped in:
            must_validate = self.validation.is_due(self.state)
            if must_validate and self._validate(run_log, bar):
                self._save()
                must_validate = False
            reason = self._stop_reason(is_put_off=must_validate)
            if reason in ("interrupted", "finished"):
                return self._outcome(reason)
            for loaded in batches:
                values = self._one_step(loaded)
                bar.advance(values, self.config.batch_size, self.state.step)
                reason = self._finish_step(values, run_log, bar, samples)
                if reason is not None:
                    return self._outcome(reason)
        raise AssertionError("the loader ended before the last step")

    def _tell_plan(self) -> None:
        """Say what is trained on what, and what may go wrong with it."""
        device = self.state.device
        _log.info(
            "Training on %s, with %s photos and %s sketches: steps %s to %s.",
            device_text(device, self.state.precision),
            f"{len(self.domains.photos):,}",
            f"{len(self.domains.sketches):,}",
            f"{self.state.step + 1:,}",
            f"{self.state.num_steps:,}",
        )
        if idle := idle_text(device, self.ranks):
            _log.warning(idle)
        free = free_bytes(device)
        if free is None:
            return
        needed = estimate_step_bytes(share_of_rank(self.config, self.ranks.size))
        if needed > free:
            _log.warning(
                "A step needs about %.1f GiB, and %.1f are free: it may run out of memory. "
                "--accumulate %d would need less.",
                needed / 2**30,
                free / 2**30,
                2 * self.config.accumulate,
            )

    def _finish_step(
        self,
        values: dict[str, float],
        run_log: RunLog | None,
        bar: StepProgress,
        samples: Samples,
    ) -> Reason | None:
        """Validate, log and save what is due after a step; say why to stop, if so."""
        step = self.state.step
        must_validate = self.validation.is_due(self.state)
        has_validated = (
            must_validate and self._stop_reason() != "time is up" and self._validate(run_log, bar)
        )
        reason = self._stop_reason(is_put_off=must_validate and not has_validated)
        if run_log and (step % self.config.log_every == 0 or self._is_over):
            run_log.write(step, values | bar.speed(self.config.batch_size))
        if step % self.config.sample_every == 0 or step in EARLY_SAMPLES or self._is_over:
            self._save_samples(samples)
        is_late = time.monotonic() - self.last_saved >= CHECKPOINT_SECONDS
        is_late = any(self.ranks.collect([True] if is_late else []))
        must_save = step % self.config.checkpoint_every == 0 or is_late
        if must_save or has_validated or reason is not None:
            self._save()
        return reason

    def _one_step(self, loaded: Loaded) -> dict[str, float]:
        try:
            batch = self._batch_of(loaded)
        except DataError:
            self._save()
            raise
        learning_rate = self.state.learning_rate
        try:
            values = self.state.train_step(batch)
        except NonFiniteLossError as error:
            path = self._save()
            raise NonFiniteLossError(
                f"{error}; the state before it is in {path}. Start a new run from it with "
                f"--init-from {self.run} and a lower --learning-rate or --precision float32."
            ) from error
        return values | {"learning_rate": learning_rate}

    def _batch_of(self, loaded: Loaded) -> Batch:
        """Note broken images and unpack.

        All ranks hear of each other's broken images, so that they count, and end, alike.
        """
        has_news = loaded.broken or loaded.notes or loaded.error
        news = self.ranks.collect([replace(loaded, batch=None)] if has_news else [])
        for note in (note for told in news for note in told.notes):
            _log.warning(note)
        self.broken.add([item for told in news for item in told.broken])
        for told in news:
            if told.error is not None:
                raise DataError(told.error)
        assert loaded.batch is not None  # noqa: S101  # there is an error otherwise
        return loaded.batch

    def _validate(self, run_log: RunLog | None, bar: StepProgress) -> bool:
        """Validate on the first rank, which has the log; say on every rank whether it was done."""
        is_done = run_log is not None and self._measure(run_log, bar)
        return any(self.ranks.collect([is_done] if is_done else []))

    def _measure(self, run_log: RunLog, bar: StepProgress) -> bool:
        """Validate, and keep the best weights; a signal to stop puts it off."""
        with bar.aside("validating"):
            measured = self.validation.measure(self.state, lambda: self.stop_signal)
            if measured is None:
                return False
            if self.validation.is_best:
                checkpoint.save_best(self.run, **self._content(self.state.state_dict()))
            self.validation.publish()
            run_log.write_validation(measured.step, measured.values())
        return True

    def _save_samples(self, samples: Samples) -> None:
        if self.ranks.is_first:
            samples.save(self.run, self.state)
            write_loss_plot(self.run)

    def _save(self) -> Path:
        """Write a checkpoint from the first rank, with the pools of all; every rank must call."""
        self.last_saved = time.monotonic()
        state = self.state.state_dict()
        pools = self.ranks.gather_on_first(state["pools"])
        if not self.ranks.is_first:
            return checkpoint.path_at(self.run, self.state.step)
        if len(pools) > 1:
            state["pools_of_others"] = pools[1:]
        return checkpoint.save(self.run, **self._content(state))

    def _content(self, state: dict[str, Any]) -> checkpoint.Content:
        state["broken"] = self.broken.state_dict()
        state["validation"] = self.validation.state_dict()
        return {
            "step": self.state.step,
            "settings": self.config,
            "environment": self.environment,
            "data_fingerprint": self.domains.fingerprint,
            "state": state,
        }

    @property
    def _is_over(self) -> bool:
        return self.state.step >= self.state.num_steps

    def _stop_reason(self, *, is_put_off: bool = False) -> Reason | None:
        """Say why to stop here, if so; only a signal puts the last step's validation off."""
        if self._is_over:
            return "interrupted" if is_put_off else "finished"
        own: list[Reason] = []
        limit = self.config.max_minutes
        if self.stop_signal:
            own = ["interrupted"]
        elif limit is not None and time.monotonic() - self.started >= limit * 60:
            own = ["time is up"]
        return next(iter(self.ranks.collect(own)), None)  # one rank stops, so all do

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

    def _outcome(self, reason: Reason) -> Outcome:
        return Outcome(
            self.run,
            self.state.step,
            self.state.num_steps,
            reason,
            list(self.broken),
            self.validation.summary(),
        )
