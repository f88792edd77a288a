"""Training from a pack equals training from its folder, and survives what happens to a pack."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch import checkpoint  # noqa: E402
from facesketch.errors import DataError  # noqa: E402
from facesketch.training import train  # noqa: E402
from pack_helpers import (  # noqa: E402
    Flaky,
    damage,
    every_third,
    pack_small,
    set_fault,
    unreachable,
)
from train_helpers import (  # noqa: E402
    assert_same_end,
    differences,
    options,
    resume,
    run_cli,
    tiny_config,
)

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def packed(data: Path, tmp_path: Path) -> Path:
    pack_small(data, tmp_path / "packed")
    return tmp_path / "packed"


def test_a_run_from_a_flaky_pack_equals_one_from_the_folder(
    packed: Path,
    six_steps: Path,
    tmp_path: Path,
    far_away: type[Flaky],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = tmp_path / "run"
    config = tiny_config(
        data=f"flaky://{packed}", out=run, steps=6, lambda_identity=5.0, num_workers=2
    )
    set_fault(every_third)
    with caplog.at_level(logging.WARNING, logger="facesketch"):
        assert train(config).reason == "finished"
    assert_same_end(run, six_steps)
    assert "could not be read (the network is gone): trying again" in caplog.text


def test_a_run_begun_on_the_folder_goes_on_from_its_pack(
    data: Path, packed: Path, six_steps: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = tiny_config(data=data, out=run, steps=6, lambda_identity=5.0, max_minutes=1e-9)
    assert train(config).step == 1
    assert resume(run, data=packed, max_minutes=1e-9).step == 2
    assert resume(run, num_workers=2).step == 6
    assert_same_end(run, six_steps)
    assert checkpoint.load_latest(run).settings.data == str(packed)


def test_a_damaged_shard_stops_a_run_which_goes_on_once_it_is_whole(
    data: Path, packed: Path, six_steps: Path, tmp_path: Path, far_away: type[Flaky]
) -> None:
    run = tmp_path / "run"
    shards = list(packed.glob("train/*/*.tar"))
    config = tiny_config(
        data=packed, out=run, steps=6, lambda_identity=5.0, max_minutes=1e-9, num_workers=2
    )
    train(config)
    for shard in shards:
        damage(shard)
    before = checkpoint.load_latest(run)
    with pytest.raises(DataError, match=r"\.tar is damaged"):
        resume(run)
    assert not list(differences(checkpoint.load_latest(run).state, before.state))
    for shard in shards:
        shard.unlink()
    pack_small(data, packed)
    assert resume(run).step == 6
    assert_same_end(run, six_steps)


def test_a_source_that_is_gone_ends_the_run_with_its_name(
    packed: Path, tmp_path: Path, far_away: type[Flaky]
) -> None:
    set_fault(lambda number, content: content if number < 30 else unreachable(number, content))
    config = tiny_config(data=f"flaky://{packed}", out=tmp_path / "run", steps=50)
    with pytest.raises(DataError, match=rf"flaky://{packed}/.*tar cannot be read .*7 attempts"):
        train(config)
    assert 0 < checkpoint.load_latest(tmp_path / "run").step < 10


def test_the_commands_pack_and_train(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = str(tmp_path / "packed")
    code, out, err = run_cli(capsys, "data", "pack", str(data), packed)
    assert code == 0
    assert "train/photos: 5 images\n" in out
    assert f"Complete, 4 shards (0 of them there already), 0.1 MB: {packed}\n" in out
    assert f"facesketch train --data {packed}" in err
    code, out, err = run_cli(capsys, "train", "--dry-run", *options(data=packed))
    assert code == 0
    assert f"5 photos in {packed}/train/photos" in out
    (tmp_path / "packed/pack.json").unlink()
    (tmp_path / "packed/pack.unfinished").touch()
    code, out, err = run_cli(capsys, "train", *options(data=packed, out=tmp_path / "run"))
    assert (code, out) == (1, "")
    assert "was not packed to the end" in err
    assert err.count("\n") == 1
