"""How good a run is while it trains: a few metrics on the validation split, and what they say.

`plan.py` says whether and how often, `measure.py` measures, `record.py` draws conclusions,
`plot.py` shows them; `Validation` is all of it for one run.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesketch.config import TrainConfig
from facesketch.data.dataset import Domains
from facesketch.train_state import TrainState
from facesketch.validation.plan import interval, why_not
from facesketch.validation.record import (
    PATIENCE,
    Measured,
    best_of,
    last_progress,
    num_without_progress,
    write_record,
)

if TYPE_CHECKING:
    from facesketch.validation.measure import Validator

PLOT_NAME = "validation.png"

_log = logging.getLogger(__name__)


class Validation:
    """The validations of one run, so far and to come.

    Attributes:
        run: The run's folder.
        history: What was measured so far.
        every: Steps from one validation to the next; 0 where there is none. Ranks that measure
            nothing are told by the first one, so that all know what is due.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.history: list[Measured] = []
        self._validator: Validator | None = None
        self.every = 0

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what was measured so far, as plain values."""
        return [asdict(each) for each in self.history]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Continue from what `state_dict` returned."""
        self.history = [Measured(**each) for each in state]

    def prepare(self, config: TrainConfig, train: Domains, val: Domains | None) -> None:
        """Read the images, or say why there will be no validation."""
        reason = why_not(config, val)
        if reason is not None or val is None:
            _log.info("No validation: %s", reason)
            return
        from facesketch.validation.measure import Validator  # noqa: PLC0415  # needs the extra

        self._validator = Validator(config, val)
        self.every = interval(config, train)

    def is_due(self, state: TrainState) -> bool:
        """Say whether this step is to be validated and has not been."""
        done = self.history[-1].step if self.history else 0
        if not self.every or done >= state.step:
            return False
        return state.step == state.num_steps or state.step % self.every == 0

    def measure(self, state: TrainState, is_unwanted: Callable[[], bool]) -> Measured | None:
        """Measure a run as it is, and remember it.

        Args:
            state: The run; nothing in it changes.
            is_unwanted: Measuring ends without a result once this is true.
        """
        assert self._validator is not None  # noqa: S101  # nothing is due without
        measured = self._validator.measure(state, is_unwanted)
        if measured is not None:
            self.history.append(measured)
        return measured

    @property
    def is_best(self) -> bool:
        """Whether the last validation is the best so far."""
        return best_of(self.history) is self.history[-1]

    def publish(self) -> None:
        """Write the record and the plot, say what was measured, and whether to go on."""
        from facesketch.validation.plot import write_plot  # noqa: PLC0415  # needs the extra

        write_record(self.run, self.history)
        write_plot(self.run / PLOT_NAME, self.history)
        newest, best = self.history[-1], best_of(self.history)
        rank = "best so far" if self.is_best else f"best was {best.kid:.4f} at step {best.step}"
        _log.info("Step %d: %s; %s.", newest.step, newest.text(), rank)
        idle = num_without_progress(self.history)
        if idle and idle % PATIENCE == 0:
            _log.warning(
                "No progress in %d validations: since step %d KID has not fallen by more than its "
                "error. To stop here: Ctrl-C, then  facesketch export %s --best -o weights",
                idle,
                last_progress(self.history).step,
                shlex.quote(str(self.run)),
            )

    def summary(self) -> list[str]:
        """Say at the end of training what was the best, in sentences; none without validation."""
        if not self.history:
            return []
        best, idle = best_of(self.history), num_without_progress(self.history)
        lines = []
        if idle >= PATIENCE:
            since = last_progress(self.history).step
            lines = [f"No progress: in the last {idle} validations, since step {since}"]
        return [*lines, f"Best KID:    {best.kid:.4f} at step {best.step}; {self.run / PLOT_NAME}"]
