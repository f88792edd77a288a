"""File systems as they are far away: reads fail at times, disks are full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec import register_implementation
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from facesketch.data import storage
from facesketch.data.pack import PackReport, pack_set

SHARD_BYTES = 8_000
"""Two or three of the tiny pictures."""


class Flaky(AsyncFileSystem):
    """The disk as if behind a network: reads run at the same time, and fail as a test wants.

    Attributes:
        fault: Gets the number of the read and what it would return; may raise or return less.
        num_reads: Reads so far in this process.
        num_bytes: Bytes read so far in this process.
    """

    protocol = "flaky"
    fault: ClassVar[Callable[[int, bytes], bytes]]
    num_reads: ClassVar[int]
    num_bytes: ClassVar[int]

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        Flaky.num_reads += 1
        content = Flaky.fault(Flaky.num_reads, Path(path).read_bytes()[start:end])
        Flaky.num_bytes += len(content)
        return content

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        return LocalFileSystem().info(path)

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        return LocalFileSystem().ls(path, detail=detail)


class Full(LocalFileSystem):
    """A disk that has room for so many files."""

    protocol = "full"
    room: ClassVar[int]

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" in mode:
            Full.room -= 1
            if Full.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return super().open(path, mode, **options)


class Unlisted(LocalFileSystem):
    """A place that nobody may look at."""

    protocol = "unlisted"

    def find(self, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Access denied")


def whole(_number: int, content: bytes) -> bytes:
    return content


def register_flaky(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    """Make `flaky://` an address, without faults as yet and without waiting between attempts."""
    register_implementation("flaky", Flaky, clobber=True)
    for name, value in {"fault": staticmethod(whole), "num_reads": 0, "num_bytes": 0}.items():
        monkeypatch.setattr(Flaky, name, value, raising=False)
    monkeypatch.setattr(storage, "DELAYS_S", (0,) * 6)
    return Flaky


def set_fault(fault: Callable[[int, bytes], bytes]) -> None:
    """Let reads fail from now on."""
    Flaky.fault = staticmethod(fault)
    Flaky.num_reads = 0


def unreachable(_number: int, _content: bytes) -> bytes:
    raise ConnectionResetError("the network is gone")


def every_third(number: int, content: bytes) -> bytes:
    """Fail, or break off, in every third read."""
    if number % 6 == 3:
        raise ConnectionResetError("the network is gone")
    return content[:-1] if number % 6 == 0 else content


def pack_small(root: Path, address: Path | str) -> PackReport:
    """Pack a tiny data set into several shards a folder."""
    return pack_set(root, str(address), shard_bytes=SHARD_BYTES)


def files_in(folder: Path) -> dict[str, bytes]:
    """Read every shard of a pack."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.tar")
    }


def damage(path: Path) -> None:
    """Change every byte of a file, not its size."""
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
