from __future__ import annotations

import errno
import logging
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from facesketch import checkpoint  # noqa: E402
from facesketch.config import build_config  # noqa: E402
from facesketch.errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    OtherVersionError,
    OutOfMemoryError,
    TrainingError,
)
from train_helpers import differences, tiny_config  # noqa: E402

pytestmark = pytest.mark.train


def save(run: Path, step: int, **changes: Any) -> Path:
    return checkpoint.save(
        run,
        step=step,
        settings=tiny_config(**changes),
        environment={"torch": "2.13.0"},
        data_fingerprint="abc",
        state={"weights": torch.full((3, 2), float(step)), "broken": [], "none": None},
    )


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path, 7, epochs=9)
    loaded = checkpoint.load_latest(tmp_path)
    assert (loaded.path, loaded.step, loaded.data_fingerprint) == (path, 7, "abc")
    assert loaded.settings == tiny_config(epochs=9)
    assert loaded.environment == {"torch": "2.13.0"}
    expected = {"weights": torch.full((3, 2), 7.0), "broken": [], "none": None}
    assert not list(differences(loaded.state, expected))


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in (0, 5, 10, 15):
        save(tmp_path, step, keep_checkpoints=2)
    assert names(tmp_path) == ["step-00000010.pt", "step-00000015.pt"]


def test_checkpoints_are_ordered_by_step(tmp_path: Path) -> None:
    for step in (100, 9, 20):
        save(tmp_path, step)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == [
        "step-00000009.pt",
        "step-00000020.pt",
        "step-00000100.pt",
    ]
    assert checkpoint.load_latest(tmp_path).step == 100


def test_a_half_written_file_is_ignored(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "checkpoints" / ".step-00000010.pt.999999999.partial").write_bytes(b"half")
    assert checkpoint.load_latest(tmp_path).step == 5


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path, 5)
    for name in ("best.pt", "step-5.pt", "step-00000099.pt.bak"):
        (tmp_path / "checkpoints" / name).write_bytes(b"mine")
    save(tmp_path, 10, keep_checkpoints=2)
    save(tmp_path, 15, keep_checkpoints=2)
    assert set(names(tmp_path)) >= {"best.pt", "step-5.pt", "step-00000099.pt.bak"}
    assert checkpoint.load_latest(tmp_path).step == 15


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "zeroed", "one bit"])
def test_a_broken_newest_one_is_warned_of_and_the_one_before_taken(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 5)
    newest = save(tmp_path, 10)
    if damage == "truncated":
        truncate(newest)
    elif damage == "zeroed":
        newest.write_bytes(newest.read_bytes()[:-200] + bytes(200))
    elif damage == "one bit":
        content = bytearray(newest.read_bytes())
        content[content.index(struct.pack("<f", 10.0))] ^= 1
        newest.write_bytes(content)
    else:
        newest.write_bytes(b"" if damage == "empty" else b"not a checkpoint" * 99)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load_latest(tmp_path).step == 5
    assert str(newest) in caplog.text
    assert "broken" in caplog.text


def test_when_all_are_broken_that_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (5, 10):
        truncate(save(tmp_path, step))
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        checkpoint.load_latest(tmp_path)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, folder: str) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint") as caught:
        checkpoint.load_latest(tmp_path / folder)
    assert str(tmp_path / folder) in str(caught.value)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    content = torch.load(path, weights_only=True)
    content["state"]["weights"] = Evil(tmp_path / "pwned")
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="broken"):
        checkpoint.load(path)
    assert not (tmp_path / "pwned").exists()


def test_a_checkpoint_of_another_version_says_so(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"schema_version": 99}, path)
    with pytest.raises(CheckpointError, match=r"another version .*schema 99"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"schema_version": 99}, "schema 99"), ({"settings": '{"new": 1}'}, "does not take: new")],
)
def test_one_of_a_newer_version_is_not_passed_over(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    save(tmp_path, 5)
    path = save(tmp_path, 10)
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(OtherVersionError, match=told):
        checkpoint.load_latest(tmp_path)


@pytest.mark.parametrize("missing", ["schema_version", "step", "settings", "state"])
def test_a_checkpoint_that_lacks_something_is_broken(tmp_path: Path, missing: str) -> None:
    path = save(tmp_path, 5)
    content = torch.load(path, weights_only=True)
    del content[missing]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="broken"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("failure", "expected", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), TrainingError, "cannot be read (Input/output"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), OutOfMemoryError, "does not fit"),
    ],
)
def test_what_cannot_be_read_now_is_not_broken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    expected: type[Exception],
    told: str,
) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10)

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(expected, match=re.escape(told)):
        checkpoint.load_latest(tmp_path)
    assert names(tmp_path) == ["step-00000005.pt", "step-00000010.pt"]


def test_a_failed_write_leaves_the_checkpoints_before_it(tmp_path: Path) -> None:
    save(tmp_path, 5)
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        checkpoint.save(
            tmp_path,
            step=10,
            settings=tiny_config(),
            environment={},
            data_fingerprint="",
            state={"cannot be written": lambda: None},
        )
    assert checkpoint.load_latest(tmp_path).step == 5


def test_a_resumed_run_keeps_its_settings() -> None:
    stored = tiny_config(data=Path("a"), seed=3)
    assert checkpoint.merge_settings(stored, {}) == stored
    assert checkpoint.merge_settings(stored, {"seed": "3", "image_size": 32}) == stored


def test_safe_settings_change_in_a_resumed_run() -> None:
    stored = tiny_config(data=Path("a"), steps=10)
    changes = {"steps": 20, "log_every": 5, "num_workers": 1, "max_minutes": 3, "data": "b"}
    merged = checkpoint.merge_settings(stored, changes)
    assert merged == stored.model_copy(update=changes)


def test_epochs_replace_the_stored_steps_of_a_resumed_run() -> None:
    stored = tiny_config(data=Path("a"), steps=10)
    for layers in ({"epochs": 7},), ({"steps": 20}, {"epochs": 7}):
        merged = checkpoint.merge_settings(stored, *layers)
        assert (merged.steps, merged.epochs) == (None, 7)


def test_unsafe_changes_are_listed_all_at_once() -> None:
    stored = build_config("compact", {"data": "a"})
    with pytest.raises(CheckpointError) as caught:
        checkpoint.merge_settings(stored, {"seed": 5, "image_size": 128, "log_every": 1})
    text = str(caught.value)
    assert "seed is 0, not 5" in text
    assert "image_size is 256, not 128" in text
    assert "log_every" not in text
    assert "--init-from" in text


def test_a_bad_value_in_a_resumed_run_is_a_setting_error() -> None:
    with pytest.raises(ConfigError, match="epochs"):
        checkpoint.merge_settings(tiny_config(), {"epochs": 0})
