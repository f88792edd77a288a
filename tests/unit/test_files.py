from __future__ import annotations

import os
import pickle
import shutil
import sys
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
    names = ["a.png", "b.JPG", "sub/c.webp", "sub/deep/er/d.tiff", "sub.png/e.jpeg"]
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


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 0)() == 0,
    reason="root may read everything",
)
def test_a_folder_that_may_not_be_read_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "locked/b.png")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be listed"):
            ImageFolder(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o755)


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
