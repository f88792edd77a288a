from __future__ import annotations

import errno
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

pytest.importorskip("torch")

from facesketch.data.files import ImageFolder
from facesketch.errors import DataError

pytestmark = pytest.mark.train


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def listed(folder: ImageFolder) -> list[str]:
    return [folder.path(i).relative_to(folder.root).as_posix() for i in range(len(folder))]


def test_every_picture_below_a_folder_is_listed_once(tmp_path: Path) -> None:
    names = [
        "a.png",
        "b.JPG",
        "f.jfif",
        "g.jpe",
        "sub/c.webp",
        "sub/deep/er/d.tiff",
        "sub.png/e.jpeg",
    ]
    folder = ImageFolder(fill(tmp_path, *names))
    assert len(folder) == len(names)
    assert sorted(listed(folder)) == sorted(names)


def test_other_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "notes.txt", "Thumbs.db", "png", ".b.png", ".cache/c.png", "d.png.part")
    assert listed(ImageFolder(tmp_path)) == ["a.png"]


@pytest.mark.parametrize(
    "name", ["日本 語.png", "naïve-ÄÖ.png", "emoji 😀.png", "new\nline.png", " spaces .png"]
)
def test_names_in_any_script_are_found_again(tmp_path: Path, name: str) -> None:
    try:
        fill(tmp_path, name, "a.png")
    except OSError:
        pytest.skip("this file system does not take such a name")
    folder = ImageFolder(tmp_path)
    assert {folder.path(i).read_text("utf-8") for i in range(2)} == {name, "a.png"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_found_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    assert ImageFolder(fill(tmp_path, name)).path(0).read_bytes() == b"\xff\xfe.png"


def test_the_order_depends_on_the_names_alone(tmp_path: Path) -> None:
    names = [f"{number % 7}/{number}.png" for number in range(40)]
    first = ImageFolder(fill(tmp_path / "one", *names))
    second = ImageFolder(fill(tmp_path / "else where", *reversed(names)))
    assert listed(first) == listed(second)
    assert first.fingerprint == second.fingerprint


def test_the_fingerprint_tells_other_names_but_not_other_contents(tmp_path: Path) -> None:
    folder = fill(tmp_path, "a.png", "b.png")
    before = ImageFolder(folder).fingerprint
    (folder / "a.png").write_bytes(b"something else")
    (folder / "notes.txt").touch()
    assert ImageFolder(folder).fingerprint == before
    fill(folder, "c.png")
    with_more = ImageFolder(folder).fingerprint
    (folder / "c.png").rename(folder / "d.png")
    assert len({before, with_more, ImageFolder(folder).fingerprint}) == 3


def link(at: Path, target: Path, *, folder: bool = False) -> None:
    try:
        at.symlink_to(target, target_is_directory=folder)
    except OSError:
        pytest.skip("links are not allowed here")


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "a.png", "b.png")
    root = fill(tmp_path / "root", "c.png")
    link(root / "linked", tmp_path / "elsewhere", folder=True)
    link(root / "one.png", tmp_path / "elsewhere" / "a.png")
    assert sorted(listed(ImageFolder(root))) == ["c.png", "linked/a.png", "linked/b.png", "one.png"]


def test_a_link_back_up_does_not_go_round_in_circles(tmp_path: Path) -> None:
    fill(tmp_path, "sub/a.png")
    link(tmp_path / "sub" / "up", tmp_path, folder=True)
    assert listed(ImageFolder(tmp_path)) == ["sub/a.png"]


def test_a_broken_link_is_listed_so_that_reading_it_names_it(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    link(tmp_path / "gone.png", tmp_path / "nowhere.png")
    assert sorted(listed(ImageFolder(tmp_path))) == ["a.png", "gone.png"]


def test_a_missing_folder_a_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "file.png", "empty/notes.txt")
    for name, text in (
        ("missing", "is not a folder"),
        ("file.png", "is not a folder"),
        ("empty", "holds no images"),
    ):
        with pytest.raises(DataError, match=text) as caught:
            ImageFolder(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def refuse(folder: Path, error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder not be listed: root, who may run the tests, is refused nothing."""
    scandir = os.scandir

    def scan(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == folder:
            raise error(errno.EIO, "refused", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)


def test_a_folder_below_that_may_not_be_read_is_left_out_and_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "a.png", "locked/b.png", "open/c.png")
    refuse(tmp_path / "locked", PermissionError, monkeypatch)
    for _ in range(2):
        assert sorted(listed(ImageFolder(tmp_path))) == ["a.png", "open/c.png"]
    (message,) = caplog.messages
    assert str(tmp_path / "locked") in message


@pytest.mark.parametrize(("name", "error"), [("", PermissionError), ("sub", OSError)])
def test_a_locked_root_and_a_failing_disk_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[OSError]
) -> None:
    fill(tmp_path, "a.png", "sub/b.png")
    refuse(tmp_path / name, error, monkeypatch)
    with pytest.raises(DataError, match="cannot be listed"):
        ImageFolder(tmp_path)


def test_folders_of_disks_and_archives_are_left_out(tmp_path: Path) -> None:
    of_systems = ["lost+found", "@eaDir", "sub/@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX"]
    fill(tmp_path, "a.png", "sub/b.png", *(f"{name}/thumb.jpg" for name in of_systems))
    assert sorted(listed(ImageFolder(tmp_path))) == ["a.png", "sub/b.png"]


def test_pictures_of_kinds_that_are_not_read_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "a.png", "b.PSD", "sub/c.psd", "d.svg", "notes.txt")
    for _ in range(2):
        ImageFolder(tmp_path)
    (message,) = caplog.messages
    assert message == f"Left out of {tmp_path}, as they cannot be read: 2 .psd, 1 .svg."


def test_a_folder_of_such_pictures_alone_says_which_they_are(tmp_path: Path) -> None:
    fill(tmp_path, "a.psd", "notes.txt")
    with pytest.raises(DataError, match=r"holds no images that can be read, but 1 \.psd; check"):
        ImageFolder(tmp_path)


def test_a_file_that_is_deleted_later_keeps_the_others_in_place(tmp_path: Path) -> None:
    folder = ImageFolder(fill(tmp_path, *(f"{n}.png" for n in range(9))))
    before = listed(folder)
    shutil.rmtree(tmp_path)
    assert listed(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="handles of shared memory differ")
def test_what_a_worker_gets_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:

    def size(num_files: int) -> int:
        root = fill(tmp_path / str(num_files), *(f"{n}.png" for n in range(num_files)))
        return len(bytes(ForkingPickler.dumps(ImageFolder(root), pickle.HIGHEST_PROTOCOL)))

    assert abs(size(500) - size(5)) < 100


def test_a_link_to_itself_is_no_folder(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert len(ImageFolder(tmp_path)) == 2
