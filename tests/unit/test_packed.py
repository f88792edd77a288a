"""Reading a pack: the same as its folder, what is damaged or missing, what fails at times."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from facesketch.data.broken import BrokenImages
from facesketch.data.dataset import Broken, Domains, Loaded, find_domains, make_loader
from facesketch.data.files import ImageFolder, ImageList
from facesketch.data.packed import PackedImages
from facesketch.data.pens import make_pens
from facesketch.data.storage import DELAYS_S
from facesketch.errors import DataError
from pack_helpers import (
    Flaky,
    damage,
    every_third,
    pack_small,
    set_fault,
    unreachable,
)
from train_helpers import differences, into_styles, tiny_config, write_pictures

# Python 3.12 and later warn of any fork beside threads; the workers only read files.
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

STYLED = {"styles": "line,hatch,line", "lambda_paired": 1.0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return into_styles(write_pictures(tmp_path / "set", 9, 7), "line", "hatch")


@pytest.fixture
def packed(root: Path, tmp_path: Path) -> Path:
    pack_small(root, tmp_path / "packed")
    return tmp_path / "packed"


def domains(place: Path | str, split: Any = "train") -> Domains:
    found = find_domains(tiny_config(data=place), split)
    assert found is not None
    return found


def steps(place: Path | str, **settings: Any) -> list[Loaded]:
    config = tiny_config(data=place, batch_size=4, **settings)
    return list(make_loader(domains(place), config, num_steps=6, rank=1, world_size=2))


def bytes_of(images: ImageList) -> list[bytes]:
    sources = images.fetch(range(len(images)))
    return [s.read_bytes() if isinstance(s, Path) else s.read() for s in sources]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_pack_has_the_pictures_of_its_folder_in_the_same_order(
    root: Path, packed: Path, split: str
) -> None:
    here, there = domains(root, split), domains(packed, split)
    assert here.fingerprint == there.fingerprint
    for one, other in ((here.photos, there.photos), (here.sketches, there.sketches)):
        assert isinstance(one, ImageFolder)
        assert isinstance(other, PackedImages)
        assert [one.name(i) for i in range(len(one))] == [other.name(i) for i in range(len(other))]
        assert bytes_of(one) == bytes_of(other)


@pytest.mark.parametrize("settings", [{}, STYLED], ids=["plain", "styles and pairs"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_those_of_the_folder_whoever_reads_them(
    root: Path, packed: Path, far_away: type[Flaky], settings: dict[str, Any], num_workers: int
) -> None:
    expected = steps(root, **settings)
    found = steps(f"flaky://{packed}", **settings, num_workers=num_workers)
    assert len(found) == 6
    for one, other in zip(expected, found, strict=True):
        assert one.batch is not None
        assert other.batch is not None
        assert not list(differences(vars(one.batch), vars(other.batch)))


def test_pairs_and_styles_that_are_missing_are_named(
    root: Path, packed: Path, tmp_path: Path
) -> None:
    for place in (root, packed):
        found = domains(place)
        with pytest.raises(DataError, match=f"{place}/train/sketches/oil holds no images"):
            make_pens(found.photos, found.sketches, tiny_config(data=place, styles="oil,line"))
    for path in (root / "train/photos").iterdir():
        path.rename(path.with_stem(f"portrait{path.stem}"))
    pack_small(root, tmp_path / "apart")
    for place in (root, tmp_path / "apart"):
        found = domains(place)
        with pytest.raises(DataError, match="lambda_paired needs pairs"):
            make_pens(found.photos, found.sketches, tiny_config(data=place, lambda_paired=1.0))


def test_a_pack_without_a_validation_split_has_none(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set")
    for path in (root / "val/photos").iterdir():
        path.unlink()
    (root / "val/photos").rmdir()
    pack_small(root, tmp_path / "packed")
    assert find_domains(tiny_config(data=tmp_path / "packed"), "val") is None


def test_only_the_pictures_of_a_step_are_read_for_it(packed: Path, far_away: type[Flaky]) -> None:
    images = domains(f"flaky://{packed}").photos
    Flaky.num_reads = Flaky.num_bytes = 0
    contents = [source.read() for source in images.fetch([3, 0, 3]) if not isinstance(source, Path)]
    assert Flaky.num_reads == 3
    assert Flaky.num_bytes == sum(map(len, contents))


def test_a_source_that_fails_at_times_is_asked_again(
    root: Path, packed: Path, far_away: type[Flaky]
) -> None:
    images = domains(f"flaky://{packed}").photos
    set_fault(every_third)
    warnings: list[str] = []
    found = [source.read() for source in images.fetch(range(9), warnings.append)]  # type: ignore[union-attr]
    assert found == bytes_of(domains(root).photos)
    assert len(warnings) >= 1
    assert "could not be read (" in warnings[0]
    assert f"flaky://{packed}/train/photos/0000" in warnings[0]


def test_what_the_index_is_read_from_may_fail_at_times_as_well(
    packed: Path, far_away: type[Flaky], caplog: pytest.LogCaptureFixture
) -> None:
    set_fault(every_third)
    with caplog.at_level(logging.WARNING, logger="facesketch"):
        assert len(domains(f"flaky://{packed}").photos) == 9
    assert "trying again" in caplog.text


def test_a_source_that_always_fails_is_named_after_some_attempts(
    packed: Path, far_away: type[Flaky]
) -> None:
    images = domains(f"flaky://{packed}").photos
    set_fault(unreachable)
    warnings: list[str] = []
    with pytest.raises(DataError, match=r"000000.tar cannot be read \(the network is gone\)"):
        images.fetch([0], warnings.append)
    assert len(warnings) == len(DELAYS_S)


def test_a_worker_hands_on_what_it_met(packed: Path, far_away: type[Flaky]) -> None:
    config = tiny_config(data=f"flaky://{packed}", num_workers=2)
    loader = make_loader(domains(config.data or ""), config, num_steps=3)
    set_fault(every_third)
    found = list(loader)
    assert all(loaded.batch is not None for loaded in found)
    assert any("trying again" in note for loaded in found for note in loaded.notes)


def test_a_damaged_shard_is_named(packed: Path, far_away: type[Flaky]) -> None:
    images = domains(packed).photos
    damage(packed / "train/photos/000001.tar")
    with pytest.raises(DataError) as caught:
        bytes_of(images)
    assert f"{packed}/train/photos/000001.tar is damaged (wrong checksum)" in str(caught.value)
    assert "`facesketch data pack`" in str(caught.value)


def test_a_missing_shard_is_named_before_training_and_during(packed: Path) -> None:
    images = domains(packed).photos
    (packed / "train/photos/000001.tar").unlink()
    for read in (lambda: domains(packed), lambda: bytes_of(images)):
        with pytest.raises(DataError, match=r"train/photos/000001.tar is missing; `facesketch"):
            read()


def test_a_shard_of_another_size_is_named(packed: Path) -> None:
    shard = packed / "train/sketches/000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(DataError, match=r"sketches/000000.tar has [\d,]+ bytes instead of"):
        domains(packed)


def break_index(packed: Path) -> None:
    (packed / "pack.json").write_text("{}", encoding="utf-8")


def lose_table(packed: Path) -> None:
    (packed / "train/photos/table.npz").unlink()


def damage_table(packed: Path) -> None:
    damage(packed / "train/photos/table.npz")


def stop_halfway(packed: Path) -> None:
    (packed / "pack.json").unlink()
    (packed / "pack.unfinished").touch()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (break_index, r"pack.json is broken, or of another version"),
        (lose_table, r"train/photos/table.npz is missing"),
        (damage_table, r"train/photos/table.npz is damaged"),
        (stop_halfway, r"was not packed to the end; run the same `facesketch data pack` again"),
    ],
)
def test_a_pack_that_is_not_whole_says_so(
    packed: Path, far_away: type[Flaky], change: Any, text: str
) -> None:
    change(packed)
    for place in (packed, f"flaky://{packed}"):
        with pytest.raises(DataError, match=text):
            domains(place)


def test_an_address_without_a_pack_says_so(root: Path, far_away: type[Flaky]) -> None:
    with pytest.raises(DataError, match=r"flaky://.*/set holds no pack.json"):
        domains(f"flaky://{root}")


def test_broken_pictures_are_skipped_named_and_forgotten_once_repaired(
    root: Path, packed: Path, tmp_path: Path
) -> None:
    (path,) = (root / "train/photos").glob("4.png")
    healthy = path.read_bytes()
    path.write_bytes(healthy[:100])
    pack_small(root, tmp_path / "broken")
    found = steps(tmp_path / "broken")
    (broken,) = {item for loaded in found for item in loaded.broken}
    assert broken.path.startswith(f"{tmp_path}/broken/train/photos/0000")
    assert broken.path.endswith(".tar/4.png")
    assert broken.path in broken.reason
    assert read_again(tmp_path / "broken", broken) == [broken]
    (known_at_home,) = read_again(root, broken)
    assert known_at_home.path == str(path)
    assert read_again(packed, broken) == []  # packed before it was broken
    old = replace(broken, index=-1)
    assert read_again(packed, old) == [old]


def read_again(place: Path, known: Broken) -> list[Broken]:
    """What is left of an image that was broken, in a run that is resumed with these."""
    images = BrokenImages(domains(place))
    images.load_state_dict([vars(known)])
    return list(images)
