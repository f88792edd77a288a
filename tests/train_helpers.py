"""Tiny training runs: pictures made by formula, settings, comparison to the bit.

`python tests/train_helpers.py` writes tests/golden/loss_curve.json anew; do that only in a commit
that means to change what training computes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import facesketch
from facesketch.cli import main
from facesketch.config import TrainConfig

if TYPE_CHECKING:
    from facesketch.data.batch import Batch
    from facesketch.data.dataset import Loaded
    from facesketch.training import Outcome

GOLDEN = Path(__file__).parent / "golden" / "loss_curve.json"
GOLDEN_LOSSES = (
    "gan_sketch",
    "gan_photo",
    "cycle_photo",
    "cycle_sketch",
    "disc_photo",
    "disc_sketch",
)

TINY: dict[str, Any] = {
    "image_size": 32,
    "batch_size": 2,
    "disc_filters": 4,
    "pool_size": 3,
    "num_workers": 0,
    "precision": "float32",
    "device": "cpu",
    "log_every": 1,
    "sample_every": 1000,
    "checkpoint_every": 1000,
}
"""Settings of a run whose step takes some 50 ms on one core."""


EVERYTHING: dict[str, Any] = {
    "augment_sketches": True,
    "lambda_identity": 5.0,
    "lambda_paired": 2.0,
    "lambda_structure": 1.0,
    "lambda_features": 0.5,
    "styles": "line,hatch,line",
    "lambda_nce": 1.0,
    "lambda_r1": 0.5,
    "r1_every": 2,
    "cycle_noise": 0.05,
    "cycle_blur": 1.0,
    "diff_augment": "color,translation,cutout",
    "disc_learning_rate": 4e-4,
    "batch_size": 4,
    "pool_size": 6,
}
"""All that is off by default and can be on at once."""


def photo_array(number: int, size: int = 40) -> np.ndarray:
    """A coloured disc on a gradient, uint8 (size, size, 3), another for every number."""
    y, x = np.mgrid[:size, :size] / size
    waves = [0.5 + 0.5 * np.sin((3 + c) * x + (2 + number) * y + number + c) for c in range(3)]
    picture = np.stack(waves, axis=-1)
    picture[np.hypot(x - 0.5, y - 0.3 - 0.05 * number) < 0.25] = (0.8, 0.6, 0.1 * number % 1)
    return (picture * 255).astype(np.uint8)


def sketch_array(number: int, size: int = 40) -> np.ndarray:
    """A few dark rings on white, uint8 (size, size), another for every number."""
    y, x = np.mgrid[:size, :size] / size
    rings = np.abs(np.sin(12 * np.hypot(x - 0.4 - 0.03 * number, y - 0.5)))
    return np.where(rings < 0.25, 20, 250).astype(np.uint8)


def write_pictures(root: Path, num_photos: int = 5, num_sketches: int = 4) -> Path:
    """Write a data set of photos and sketches in the layout of --data; returns its root."""
    for split in ("train", "val"):
        for domain in ("photos", "sketches"):
            (root / split / domain).mkdir(parents=True)
    for number in range(num_photos):
        Image.fromarray(photo_array(number)).save(root / f"train/photos/{number}.png")
    for number in range(num_sketches):
        Image.fromarray(sketch_array(number)).save(root / f"train/sketches/{number}.png")
    for number in (7, 8):
        Image.fromarray(photo_array(number)).save(root / f"val/photos/{number}.png")
        Image.fromarray(sketch_array(number)).save(root / f"val/sketches/{number}.png")
    return root


def write_photos(folder: str, count: int, size: tuple[int, int] = (24, 20)) -> list[str]:
    """Write small pictures of noise, no two alike, in a new folder; returns their names."""
    Path(folder).mkdir()
    names = [f"{index:03}.png" for index in range(count)]
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(Path(folder, name))
    return names


def contents_of(folder: str) -> dict[str, bytes]:
    """Read all files of a folder, by name."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def into_styles(root: Path, *styles: str) -> Path:
    """Deal the sketches of a data set out to folders of styles; returns its root."""
    for folder in root.glob("*/sketches"):
        for number, path in enumerate(sorted(folder.iterdir())):
            style = folder / styles[number % len(styles)]
            style.mkdir(exist_ok=True)
            path.rename(style / path.name)
    return root


def tiny_config(**changes: Any) -> TrainConfig:
    """Return the settings of a tiny run."""
    return TrainConfig.model_validate(TINY | changes)


def loaded_steps(config: TrainConfig, num_steps: int = 6, first_step: int = 0) -> list[Loaded]:
    """Read what training would, from a step on."""
    from facesketch.data.dataset import find_domains, make_loader  # noqa: PLC0415

    domains = find_domains(config)
    assert domains is not None
    return list(make_loader(domains, config, num_steps=num_steps, first_step=first_step))


def batches(config: TrainConfig, num_steps: int = 6, first_step: int = 0) -> list[Batch]:
    """Read the images alone."""
    return [loaded.batch for loaded in loaded_steps(config, num_steps, first_step) if loaded.batch]


def contents(steps: list[Loaded]) -> list[dict[str, object]]:
    """Return what steps hold, to be compared."""
    return [vars(s.batch) | {"broken": [vars(b) for b in s.broken]} for s in steps]


def options(**settings: Any) -> list[str]:
    """Return the settings of a tiny run as command line options."""
    return as_options(TINY | settings)


def as_options(settings: dict[str, Any]) -> list[str]:
    """Write settings as command line options."""
    return [
        word
        for name, value in settings.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def styled_batch(seed: int) -> Batch:
    """Photos, sketches redrawn, in two styles, some of them pairs."""
    import torch  # noqa: PLC0415

    from facesketch.data.batch import Batch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(seed)
    photo = torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1
    sketch = photo[:, :1].flip(0).contiguous()
    return Batch.of(
        photo,
        sketch,
        shown=sketch * 0.5,
        style=torch.tensor([0, 1, 0, 1]),
        is_pair=torch.tensor([1.0, 0, 1, 0]).view(4, 1, 1, 1),
    )


def command(*words: str) -> list[str]:
    """Return the command line of a real `python -m facesketch` process."""
    return [sys.executable, "-m", "facesketch", *words]


def one_thread_environment() -> dict[str, str]:
    """Return environment variables that let a process import facesketch and use one core."""
    source = str(Path(facesketch.__file__).parents[1])
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": source}


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(pid: int) -> list[int]:
    """Return the processes that a process has started; asks /proc."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(number) for number in text.split()]


def logged(run: Path) -> list[dict[str, float]]:
    """Read a run's losses.jsonl."""
    text = (run / "logs" / "losses.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def differences(a: Any, b: Any, place: str = "state") -> Iterator[str]:
    """Yield the places where two nested states differ, tensors compared to the bit."""
    import torch  # noqa: PLC0415  # inference tests have none

    if type(a) is not type(b):
        yield f"{place}: {type(a).__name__} and {type(b).__name__}"
    elif isinstance(a, dict):
        if a.keys() != b.keys():
            yield f"{place}: keys {sorted(map(str, a.keys() ^ b.keys()))}"
        for key in a.keys() & b.keys():
            yield from differences(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, list | tuple):
        if len(a) != len(b):
            yield f"{place}: {len(a)} and {len(b)} items"
        for index, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from differences(x, y, f"{place}[{index}]")
    elif isinstance(a, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or not torch.equal(a, b):
            yield f"{place}: tensors differ"
    elif a != b:
        yield f"{place}: {a!r} and {b!r}"


def resume(run: Path, **changes: Any) -> Outcome:
    """Continue a run as `--resume` does."""
    from facesketch import checkpoint  # noqa: PLC0415
    from facesketch.training import train  # noqa: PLC0415

    settings = checkpoint.merge_settings(checkpoint.load_latest(run).settings, changes)
    return train(settings, resume=run)


def assert_same_end(run: Path, expected: Path) -> None:
    """Compare the newest checkpoints of two runs to the bit: every tensor and number in them."""
    from facesketch import checkpoint  # noqa: PLC0415

    a, b = checkpoint.load_latest(run), checkpoint.load_latest(expected)
    assert a.step == b.step
    assert {"model", "ema", "optimizers", "pools"} <= set(a.state)
    assert not list(differences(a.state, b.state))


def run_cli(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def newest_step(run: Path) -> int:
    """Return the step of a run's newest checkpoint, -1 where there is none."""
    from facesketch import checkpoint  # noqa: PLC0415

    paths = checkpoint.list_checkpoints(run)
    return int(paths[-1].stem.removeprefix("step-")) if paths else -1


def loss_curve(data: Path, run: Path) -> list[dict[str, float]]:
    """Train three tiny steps and return their losses."""
    from facesketch.training import train  # noqa: PLC0415

    train(tiny_config(data=data, out=run, steps=3, lambda_identity=0.0))
    return [{name: line[name] for name in GOLDEN_LOSSES} for line in logged(run)]


def write_golden() -> None:
    """Write the golden loss curve."""
    import torch  # noqa: PLC0415  # inference tests have none

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        curve = loss_curve(write_pictures(Path(folder) / "data"), Path(folder) / "run")
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden()
