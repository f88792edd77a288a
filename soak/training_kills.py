"""Training is killed at random moments, and has to end with the weights of a run that was not.

    python -m soak.training_kills --seed 0 --count 100

One run of a tiny CycleGAN is killed (SIGKILL) by turns while it starts, in a step, in the writing
of a checkpoint, in a sample grid and in a validation, and resumed each time. At the end its newest
checkpoint has to equal that of an undisturbed run to the bit: networks, averages, optimizers,
pools.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from pathlib import Path

from soak import campaign
from soak.campaign import Report
from soak.trainer import (
    CHECKPOINT,
    SAMPLES,
    START,
    STEP,
    VALIDATION,
    Trainer,
    last_line,
    new_run,
    resumed,
    write_data,
)
from train_helpers import assert_same_end, logged, newest_step

BETWEEN = "what comes between"
MOMENTS = {START: 1, STEP: 6, CHECKPOINT: 2, SAMPLES: 1, VALIDATION: 1}
"""What a run is killed in, and how often it may have come through that before."""

STEPS_A_KILL = 3
"""Steps that are planned for each kill: more than a run gets on before the next one."""

TYPICAL_S = {START: 1.0, STEP: 0.1, CHECKPOINT: 0.1, SAMPLES: 0.05, VALIDATION: 1.0}
"""How long each may take, until it was measured."""

MOST_S = 5.0
"""Longest wait before a kill, however slow the machine is: a run must not get on too far."""


def kill_training(seed: int, count: int) -> Report:
    """Kill one run `count` times and compare its end with that of an undisturbed one."""
    rng = random.Random(seed)
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_data(folder / "data")
        num_steps = STEPS_A_KILL * count + 10
        whole = Trainer(new_run(data, folder / "whole", num_steps), folder / "whole.log")
        if code := whole.wait():
            report.add("training left alone", f"exit code {code}", last_line(folder / "whole.log"))
            return report
        plan = new_run(data, folder / "run", num_steps)
        killed = _kill_all(plan, folder / "run", _moments(rng, count), rng, report)
        wrong = finish_and_compare(folder / "run", folder / "whole")
    for moment in killed:
        report.add(f"training killed in {moment}", "went on to the same weights, to the bit", wrong)
    return report


def _moments(rng: random.Random, count: int) -> list[str]:
    moments = [list(MOMENTS)[number % len(MOMENTS)] for number in range(count)]
    rng.shuffle(moments)
    return moments


def _kill_all(
    plan: list[str], run: Path, moments: list[str], rng: random.Random, report: Report
) -> list[str]:
    """Start or resume the run once for each moment and kill it there; return where it was."""
    killed, typical = [], dict(TYPICAL_S)
    for moment in moments:
        words = resumed(run) if newest_step(run) >= 0 else plan
        trainer = Trainer(words, run.with_suffix(".log"))
        is_there = moment == START or trainer.reaches(moment, rng.randint(1, MOMENTS[moment]))
        if is_there:
            time.sleep(rng.uniform(0, min(typical[moment], MOST_S)))
            trainer.kill()
        code = trainer.wait()
        if code != -signal.SIGKILL:
            happened = "it ended before" if code == 0 else f"exit code {code}"
            wrong = last_line(run.with_suffix(".log")) if code else None
            report.add("training that was to be killed", happened, wrong)
            continue
        between = BETWEEN if trainer.seconds else START
        killed.append(trainer.doing[-1] if trainer.doing else between)
        typical |= {phase: seconds[-1] for phase, seconds in trainer.seconds.items()}
    return killed


def finish_and_compare(run: Path, whole: Path) -> str | None:
    """Let the run come to its end; say what is not as in the undisturbed one."""
    log = run.with_suffix(".log")
    if code := Trainer(resumed(run), log).wait():
        return f"exit code {code} at the end: {last_line(log)}"
    if ".pt is broken" in log.read_text(encoding="utf-8"):
        return "a checkpoint was broken"
    if left := [str(path) for path in run.rglob("*.partial")]:
        return f"{left} were left"
    if [line["step"] for line in logged(run)] != [line["step"] for line in logged(whole)]:
        return "the log has other steps"
    try:
        assert_same_end(run, whole)
    except AssertionError as error:
        return f"other weights: {error}"
    return None


if __name__ == "__main__":
    campaign.run(kill_training, __doc__, count=100, of_what="kills")
