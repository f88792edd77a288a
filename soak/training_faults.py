"""Limits on files, read-only folders, lost workers, vanished pictures, a jumping clock: no hang.

    python -m soak.training_faults --seed 0 --count 10

One run of a tiny CycleGAN meets each of them `count` times, at random moments, and is resumed
afterwards. It has to end with a sentence each time (but for the clock, which it must not heed), to
keep its newest whole checkpoint, and to end with the weights of an undisturbed run.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from facesketch import checkpoint
from soak import campaign
from soak.campaign import Report
from soak.trainer import (
    CHECKPOINT,
    STEP,
    Trainer,
    last_line,
    new_run,
    resumed,
    write_data,
)
from soak.training_kills import finish_and_compare
from train_helpers import children, newest_step

STEPS_A_FAULT = 5
"""Steps that are planned for each fault: more than a run gets on before it."""

_CAPABILITY_VERSION = 0x20080522  # from linux/capability.h


def disturb_training(seed: int, count: int) -> Report:
    """Let one run meet every fault `count` times."""
    rng = random.Random(seed)
    faults = [fault for fault in FAULTS for _ in range(count)]
    rng.shuffle(faults)
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data, run = begin_runs(folder, len(faults))
        for fault in faults:
            before = newest_step(run)
            tried, happened, wrong = fault(run, data, rng)
            report.add(tried, happened, wrong or whole_one_lost(run, before))
        wrong = finish_and_compare(run, folder / "whole")
        report.add("the same run, at the end", "the same weights, to the bit", wrong)
    return report


def begin_runs(folder: Path, num_faults: int) -> tuple[Path, Path]:
    """Let one run come to its end undisturbed, as `whole`, and begin another like it.

    Returns:
        The pictures, and the other run, which has a checkpoint and was killed.
    """
    data, run = write_data(folder / "data"), folder / "run"
    num_steps = STEPS_A_FAULT * num_faults + 10
    Trainer(new_run(data, folder / "whole", num_steps), folder / "whole.log").wait()
    first = Trainer(new_run(data, run, num_steps), run.with_suffix(".log"))
    first.reaches(CHECKPOINT, 3)
    first.kill()
    first.wait()
    return data, run


Fault: TypeAlias = Callable[[Path, Path, random.Random], tuple[str, str, str | None]]
"""Takes the run, its pictures and what is random; returns what was tried, what happened, and what
should not have."""


def _limited_files(run: Path, _: Path, rng: random.Random) -> tuple[str, str, str | None]:
    """Let writing fail half-way; `soak.full_disk` has disks that are really full."""
    trainer = Trainer(resumed(run), run.with_suffix(".log"))
    trainer.reaches(STEP, rng.randint(1, 4))
    size = rng.randrange(1, 2_000_000)
    resource.prlimit(trainer.pid, resource.RLIMIT_FSIZE, (size, size))
    code = trainer.wait()
    return "a limit on the size of files at a random step", *told_in_a_sentence(
        run, code, "cannot be written (", "is whole"
    )


def _read_only(run: Path, _: Path, rng: random.Random) -> tuple[str, str, str | None]:
    folder = rng.choice([run, checkpoint.checkpoint_folder(run), run / "logs"])
    folder.chmod(0o555)
    try:
        code = Trainer(resumed(run), run.with_suffix(".log"), _be_an_ordinary_user).wait()
    finally:
        folder.chmod(0o755)
    return "a folder of the run read-only", *told_in_a_sentence(
        run, code, "written", "ermission denied"
    )


def _lost_worker(run: Path, _: Path, rng: random.Random) -> tuple[str, str, str | None]:
    trainer = Trainer([*resumed(run), "--num-workers", "1"], run.with_suffix(".log"))
    trainer.reaches(STEP, rng.randint(1, 4))
    for worker in children(trainer.pid):
        os.kill(worker, signal.SIGKILL)
    code = trainer.wait()
    named = "a process that reads images was killed"
    return "a worker killed at a random step", *told_in_a_sentence(run, code, named, "--resume")


def _vanished_data(run: Path, data: Path, rng: random.Random) -> tuple[str, str, str | None]:
    domain = data / "train" / rng.choice(["photos", "sketches"])
    trainer = Trainer(resumed(run), run.with_suffix(".log"))
    is_running = rng.random() < 0.7 and trainer.reaches(STEP, rng.randint(1, 3))
    away = domain.rename(domain.with_name("away"))
    code = trainer.wait()
    away.rename(domain)
    tried = "pictures gone " + ("at a random step" if is_running else "at the start")
    return tried, *told_in_a_sentence(run, code, str(domain))


def _jumping_clock(run: Path, _: Path, rng: random.Random) -> tuple[str, str, str | None]:
    years = rng.uniform(-20, 20)

    def jump() -> None:
        honest, reads = time.time, iter(range(10**9))
        turn = rng.randrange(100)
        time.time = lambda: honest() + (years * 31_557_600 if next(reads) > turn else 0)

    trainer = Trainer(resumed(run), run.with_suffix(".log"), jump)
    trainer.reaches(CHECKPOINT, 2)
    trainer.kill()
    code = trainer.wait()
    wrong = None if code == -signal.SIGKILL else f"exit code {code}: {_last(run)}"
    return "the clock jumps by up to 20 years", "went on", wrong


FAULTS: tuple[Fault, ...] = (
    _limited_files,
    _read_only,
    _lost_worker,
    _vanished_data,
    _jumping_clock,
)


def _be_an_ordinary_user() -> None:
    """Let permissions count for root, too: give all capabilities away."""
    if os.geteuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise OSError(ctypes.get_errno(), "capset")


def told_in_a_sentence(run: Path, code: int, *named: str) -> tuple[str, str | None]:
    """Say how a run ended that had to end with a sentence."""
    last = _last(run)
    if code == -signal.SIGALRM:
        return "hung", "it did not end"
    is_told = code in (1, 2) and last.startswith("facesketch: ") and "unexpected" not in last
    if not is_told or not all(text in last for text in named):
        return "ended without the sentence", f"exit code {code}: {last}"
    return "ended with a sentence", None


def whole_one_lost(run: Path, before: int) -> str | None:
    """Say whether the newest checkpoint was lost or damaged."""
    step = checkpoint.load_latest(run).step
    if step < max(before, newest_step(run)):
        return f"the newest whole checkpoint is of step {step}, and was of {before}"
    return None


def _last(run: Path) -> str:
    return last_line(run.with_suffix(".log"))


if __name__ == "__main__":
    campaign.run(disturb_training, __doc__, count=10, of_what="trials of each fault")
