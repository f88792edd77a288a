from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facesketch.writing import remove_leftovers, write_whole

NO_PROCESS = 999_999_999


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_under_its_name_when_it_is_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with write_whole(path, durable=durable) as partial:
        partial.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("former")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), write_whole(tmp_path / "folder") as partial:  # noqa: PT011
        partial.write_text("cannot take a folder's name")
    (tmp_path / "folder").rmdir()
    with pytest.raises(UnicodeEncodeError), write_whole(path) as partial:
        partial.write_text("half\udcff", encoding="utf-8")
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="an open file is not deleted elsewhere")
def test_what_another_process_is_writing_is_no_leftover(tmp_path: Path) -> None:
    number_of = {"ended": NO_PROCESS, "itself, of earlier": os.getpid(), "another": os.getppid()}
    for name, pid in number_of.items():
        (tmp_path / f".{name}.{pid}.partial").write_text("half of it")
    (tmp_path / ".a folder.sync.partial").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["a folder", "another"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere somebody asks for those that ended")
def test_a_process_that_ended_and_that_nobody_has_asked_for_is_not_writing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.kill(process.pid, 0)  # its number is still taken
        (tmp_path / f".photo.png.{process.pid}.partial").write_text("half of it")
        remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())
