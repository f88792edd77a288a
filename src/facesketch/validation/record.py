"""What the validations of a run found, and what follows: the best one, and whether it goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from facesketch.run_folder import LOGS_NAME
from facesketch.writing import write_whole

PATIENCE = 5
"""Validations without progress after which training says that it makes none."""


@dataclass(frozen=True)
class Measured:
    """One validation of the averaged generators; lower is better in all.

    Attributes:
        step: Optimizer steps done.
        kid_sketch: KID of generated sketches by MobileNetV2.
        kid_photo: KID of generated photos.
        error_sketch: Standard error of kid_sketch.
        error_photo: Standard error of kid_photo.
        cycle_photo: Mean absolute error of photos after the round trip, in steps of 255.
        cycle_sketch: The same of sketches.
    """

    step: int
    kid_sketch: float
    kid_photo: float
    error_sketch: float
    error_photo: float
    cycle_photo: float
    cycle_sketch: float

    @property
    def kid(self) -> float:
        """Mean of both KIDs, by which weights are chosen."""
        return (self.kid_sketch + self.kid_photo) / 2

    @property
    def error(self) -> float:
        """Standard error of `kid`."""
        return math.hypot(self.error_sketch, self.error_photo) / 2

    def values(self) -> dict[str, float]:
        """Return all figures by name."""
        figures = asdict(self) | {"kid": self.kid}
        return {name: value for name, value in figures.items() if name != "step"}

    def text(self) -> str:
        """Say it in a line."""
        return (
            f"KID {self.kid:.4f} (sketches {self.kid_sketch:.4f}, photos {self.kid_photo:.4f}), "
            f"cycle error {self.cycle_photo:.1f} in photos, {self.cycle_sketch:.1f} in sketches"
        )


History: TypeAlias = Sequence[Measured]
"""All validations of a run, by step."""


def best_of(history: History) -> Measured:
    """Return the validation with the lowest KID, of equal ones the first."""
    return min(history, key=lambda each: each.kid)


def last_progress(history: History) -> Measured:
    """Return the last validation that was better than the progress before by more than its error.

    Small steps add up: each is compared with the last progress, not with its neighbour.
    """
    progress = history[0]
    for each in history:
        if each.kid < progress.kid - each.error:
            progress = each
    return progress


def num_without_progress(history: History) -> int:
    """Count the validations since the last progress."""
    since = last_progress(history).step
    return sum(each.step > since for each in history)


def write_record(run: Path, history: History) -> None:
    """Write RUN/logs/validation.jsonl, a line each."""
    lines = (json.dumps(asdict(each)) + "\n" for each in history)
    with write_whole(run / LOGS_NAME / "validation.jsonl") as partial:
        partial.write_text("".join(lines), encoding="utf-8")
