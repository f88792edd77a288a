"""What `facesketch data pack` writes, and that it goes on where it stopped."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fsspec")

from fsspec import register_implementation

from facesketch.data.pack import PackReport, pack_set
from facesketch.data.pack_index import Table
from facesketch.errors import DataError, UsageError
from pack_helpers import Full, Unlisted, files_in, pack_small
from train_helpers import into_styles, write_pictures

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "set", 9, 7)


@pytest.fixture(scope="module")
def packed(root: Path) -> Path:
    pack_small(root, root.parent / "packed")
    return root.parent / "packed"


def members(pack: Path, folder: str) -> dict[str, bytes]:
    found = {}
    for path in sorted((pack / folder).glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                assert member.name not in found
                found[member.name] = content.read()
    return found


def pictures(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fill_up(root: Path, address: Path, room: int) -> None:
    """Pack to a disk that has room for so many files."""
    register_implementation("full", Full, clobber=True)
    Full.room = room
    with pytest.raises(DataError, match="No space left on device") as caught:
        pack_small(root, f"full://{address}")
    assert "run the same command again: it goes on" in str(caught.value)


def test_shards_hold_every_picture_once_as_it_was(root: Path, packed: Path) -> None:
    for folder in ("train/photos", "train/sketches", "val/photos", "val/sketches"):
        assert members(packed, folder) == pictures(root / folder)
    assert len(list((packed / "train/photos").glob("*.tar"))) > 2


def test_names_of_any_kind_are_kept(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set"), "line", "hatch")
    odd = ["deep/er/" + "long" * 40 + ".png", "日本 語.png", "a.b.c.png", "new\nline.png"]
    odd += [os.fsdecode(b"\xff\xfe.png")] if sys.platform == "linux" else []
    for name in odd:
        path = root / "train/photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    pack_small(root, tmp_path / "packed")
    for folder in ("train/photos", "train/sketches"):
        assert members(tmp_path / "packed", folder) == pictures(root / folder)


def test_the_same_pictures_make_the_same_shards(root: Path, packed: Path, tmp_path: Path) -> None:
    pack_small(root, tmp_path / "again")
    assert files_in(tmp_path / "again") == files_in(packed)


@pytest.mark.parametrize("num_kept", [0, 1, 3])
@pytest.mark.parametrize("has_half", [False, True])
def test_an_interrupted_pack_goes_on(
    root: Path, packed: Path, tmp_path: Path, num_kept: int, has_half: bool
) -> None:
    fill_up(root, tmp_path / "out", 1 + 2 * num_kept + has_half)  # a mark; shards with their notes
    assert pack_small(root, tmp_path / "out").num_kept == num_kept
    assert files_in(tmp_path / "out") == files_in(packed)
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name for name in names if not name.endswith(".tar")} == {"pack.json", "table.npz"}


def test_a_pack_that_lacks_its_index_alone_writes_no_shard_again(
    root: Path, packed: Path, tmp_path: Path
) -> None:
    num_shards = len(files_in(packed))
    fill_up(root, tmp_path / "out", 1 + 2 * num_shards + 4)  # with the tables of four folders
    assert pack_small(root, tmp_path / "out").num_kept == num_shards


def test_shards_and_notes_that_are_not_whole_are_written_again(
    root: Path, packed: Path, tmp_path: Path
) -> None:
    fill_up(root, tmp_path / "out", 7)
    photos = tmp_path / "out/train/photos"
    (photos / "000000.tar").write_bytes(b"half")
    note = photos / "000001.done"
    note.write_bytes(note.read_bytes()[:-50])
    assert pack_small(root, tmp_path / "out").num_kept == 1
    assert files_in(tmp_path / "out") == files_in(packed)


def test_pictures_that_changed_in_between_are_packed_as_they_are_now(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", 9, 7)
    fill_up(root, tmp_path / "out", 7)
    for path in (root / "train/photos").iterdir():
        os.utime(path, ns=(1, 1))
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert pack_small(root, tmp_path / "out").num_kept == 0
    assert members(tmp_path / "out", "train/photos") == pictures(root / "train/photos")


def test_a_finished_pack_gets_back_what_it_lost(root: Path, packed: Path, tmp_path: Path) -> None:
    before = pack_small(root, tmp_path / "out")
    (tmp_path / "out/train/photos/000001.tar").unlink()
    (tmp_path / "out/val/sketches/table.npz").unlink()
    after = pack_small(root, tmp_path / "out")
    assert after.num_kept == before.num_shards - 2
    assert files_in(tmp_path / "out") == files_in(packed)
    assert pack_small(root, tmp_path / "out").num_kept == before.num_shards


def test_a_repair_leaves_alone_what_a_training_reads(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack_small(root, out)
    kept = [path for path in out.rglob("*") if path.is_file()]
    lost = out / "train/photos/000001.tar"
    kept.remove(lost)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept}
    lost.unlink()
    pack_small(root, out)
    assert lost.is_file()
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept} == before


def test_a_repair_that_is_interrupted_goes_on(root: Path, packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = pack_small(root, out)
    num_photos = len(list((out / "train/photos").glob("*.tar")))
    (out / "train/photos/table.npz").write_bytes(b"half")
    fill_up(root, out, 4)  # two shards with their notes
    assert pack_small(root, out).num_kept == before.num_shards - num_photos + 2
    assert files_in(out) == files_in(packed)


def test_another_table_of_the_same_pictures_marks_the_pack_unfinished(
    root: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    pack_small(root, out)
    monkeypatch.setattr(Table, "to_bytes", np_savez_compressed)  # as another numpy might
    fill_up(root, out, 2)  # the mark, and one table
    assert (out / "pack.unfinished").is_file()
    pack_small(root, out)
    assert members(out, "train/photos") == pictures(root / "train/photos")


def np_savez_compressed(table: Table) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vars(table))
    return buffer.getvalue()


def test_a_split_that_training_leaves_out_is_left_out(root: Path, tmp_path: Path) -> None:
    some = Path(shutil.copytree(root, tmp_path / "some"))
    for path in (some / "val/sketches").iterdir():
        path.unlink()
    (some / "test/photos").mkdir(parents=True)
    report = pack_small(some, tmp_path / "out")
    assert set(report.num_images) == {"train/photos", "train/sketches"}


def test_shards_left_by_an_abandoned_attempt_are_deleted(root: Path, tmp_path: Path) -> None:
    fill_up(root, tmp_path / "out", 9)
    report = pack_set(root, str(tmp_path / "out"))
    assert report.num_shards == len(files_in(tmp_path / "out")) == 4


def test_what_is_something_else_is_left_alone(root: Path, packed: Path, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other")
    with pytest.raises(DataError, match="a pack of other pictures"):
        pack_small(other, packed)
    with pytest.raises(DataError, match="holds other files"):
        pack_small(root, other)
    with pytest.raises(UsageError, match="lies in ROOT"):
        pack_small(root, root / "packed")
    assert files_in(packed)
    assert not files_in(other)


def test_what_cannot_be_packed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train.photos is not a folder"):
        pack_small(tmp_path, tmp_path.parent / "out")
    root = write_pictures(tmp_path / "set")
    (root / "train/photos/gone.png").symlink_to(root / "nowhere")
    with pytest.raises(DataError, match=r"gone.png cannot be read .*repair or delete it"):
        pack_small(root, tmp_path / "out")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("nonsense://bucket/set", "nonsense://bucket/set is no address"),
        ("needs-more://bucket/set", r"needs a package that is not installed \(Install more\)"),
        ("unlisted://bucket/set", r"gives no list of its files \(Access denied\)"),
    ],
)
def test_addresses_that_cannot_be_used_say_why(root: Path, address: str, text: str) -> None:
    register_implementation("needs-more", "no_such_package.Files", errtxt="Install more")
    register_implementation("unlisted", Unlisted, clobber=True)
    with pytest.raises(DataError, match=text):
        pack_set(root, address)


def test_a_pack_may_lie_anywhere(root: Path) -> None:
    report = pack_set(root, "memory://somewhere/set")
    assert isinstance(report, PackReport)
    assert pack_set(root, "memory://somewhere/set/").num_kept == report.num_shards == 4
