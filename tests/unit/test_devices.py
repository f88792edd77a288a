"""What computes, what lies idle, and how much memory is free."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facesketch import devices  # noqa: E402
from facesketch.distributed import ALONE, Ranks  # noqa: E402

pytestmark = pytest.mark.train

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def test_the_text_names_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert devices.device_text(CPU, torch.bfloat16) == "the CPU, 2 threads, bfloat16"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    assert devices.device_text(GPU, torch.float32) == "cuda:0 (a GPU), float32"


@pytest.mark.parametrize(
    ("device", "ranks", "num_gpus", "build", "text"),
    [
        (GPU, ALONE, 1, "13.0", None),
        (GPU, ALONE, 2, "13.0", "torchrun --nproc-per-node 2"),
        (GPU, Ranks(0, 2), 2, "13.0", None),
        (CPU, ALONE, 1, "13.0", "leaves idle"),
        (CPU, ALONE, 0, None, "built without CUDA"),
        (CPU, ALONE, 0, "13.0", None),
    ],
)
def test_what_lies_idle_is_told(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    ranks: Ranks,
    num_gpus: int,
    build: str | None,
    text: str | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/bin/{name}")
    told = devices.idle_text(device, ranks)
    assert told is None if text is None else text in str(told)


@pytest.mark.parametrize(
    ("most", "used", "free"), [("max", "5", 3 << 20), ("2097152", "1048576", 1 << 20)]
)
def test_the_memory_of_a_container_is_that_of_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: str, used: str, free: int
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    3072 kB\n")
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(devices, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices.free_bytes(CPU) == free
    monkeypatch.setattr(devices, "_CGROUP", tmp_path / "none")
    assert devices.free_bytes(CPU) == 3 << 20


def test_where_nobody_says_how_much_is_free_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "_MEMINFO", tmp_path / "gone")
    assert devices.free_bytes(CPU) is None
    assert devices.free_bytes(torch.device("mps")) is None
