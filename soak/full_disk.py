"""A training's disk fills up at random moments; it has to go on with the same weights later.

    python -m soak.full_disk --seed 0 --count 10

The disk is a tmpfs in a mount namespace of this campaign's own (`unshare` of util-linux), so it is
really full and nothing else notices. A tiny run trains on it; a file takes all but a random rest of
the room, less than a checkpoint. It has to end with a sentence, to keep its newest
whole checkpoint, and to end, when the file is gone, with the weights of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from facesketch import checkpoint
from soak import campaign
from soak.campaign import Report
from soak.trainer import STEP, Trainer, resumed
from soak.training_faults import begin_runs, told_in_a_sentence, whole_one_lost
from soak.training_kills import finish_and_compare
from train_helpers import newest_step

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
DISK_BYTES = 600_000_000
BLOCK = 1_000_000


def may_mount() -> bool:
    """Say whether this machine lets us have a disk of our own."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    tried = [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/tmp"]  # noqa: S108  # seen by nobody else
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def fill_disk(seed: int, count: int) -> Report:
    """Let one run meet a full disk `count` times."""
    report = Report()
    if not may_mount():
        report.add("disk really full", "not tried", "unshare is not allowed to mount here")
        return report
    with tempfile.TemporaryDirectory() as folder:
        code = f"from soak.full_disk import _within; _within({seed}, {count}, {folder!r})"
        done = subprocess.run(
            [*NAMESPACE, sys.executable, "-c", code], stdout=subprocess.PIPE, check=True
        )
    outcomes, report.broken = json.loads(done.stdout)
    report.outcomes = {tried: Counter(ends) for tried, ends in outcomes.items()}
    return report


def _within(seed: int, count: int, folder: str) -> None:
    """Do it in the namespace; write what happened to standard output."""
    size = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], check=True)
    disk, rng, report = Path(folder), random.Random(seed), Report()
    _, run = begin_runs(disk, count)
    [*_, newest] = checkpoint.list_checkpoints(run)
    largest_rest = newest.stat().st_size
    filler = disk / "filler"
    for _ in range(count):
        before = newest_step(run)
        trainer = Trainer(resumed(run), run.with_suffix(".log"))
        trainer.reaches(STEP, rng.randint(1, 3))
        _fill(filler, rest=rng.randrange(largest_rest))
        code = trainer.wait()
        filler.unlink()
        happened, wrong = told_in_a_sentence(run, code, "No space left on device")
        report.add("disk really full", happened, wrong or whole_one_lost(run, before))
    wrong = finish_and_compare(run, disk / "whole")
    report.add("the run on the full disk, at the end", "the same weights, to the bit", wrong)
    json.dump([report.outcomes, report.broken], sys.stdout)


def _fill(path: Path, *, rest: int) -> None:
    """Take all room of a disk but a rest, while others may be writing, too."""
    with path.open("wb", buffering=0) as file:
        while (free := _free_bytes(path)) > rest:
            try:
                file.write(bytes(min(BLOCK, free - rest)))
            except OSError:  # it is full: somebody was faster
                return


def _free_bytes(path: Path) -> int:
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


if __name__ == "__main__":
    campaign.run(fill_disk, __doc__, count=10, of_what="times")
