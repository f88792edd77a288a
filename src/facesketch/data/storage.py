"""Files at any address that fsspec knows: read with patience, checked, written. Needs no torch."""

from __future__ import annotations

import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from facesketch.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

DELAYS_S = (1, 2, 4, 8, 16, 32)
"""Waits between attempts to read: a minute in all."""

REPAIR = "`facesketch data pack` of the same pictures to the same address writes it again."

MAX_DAMAGED = 2
"""Attempts that bring wrong bytes before it is no accident on the way."""

_DAMAGED = "wrong checksum"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Some bytes of a file.

    Attributes:
        file: Name of the file.
        start: First byte; None for the whole file.
        stop: Byte after the last one; None for the whole file.
        checksum: CRC-32 of them; None for not known.
    """

    file: str
    start: int | None = None
    stop: int | None = None
    checksum: int | None = None


class Storage:
    """The files below one address.

    It holds no connection: fsspec keeps those, for each process its own, so that workers may be
    forked from a process that has read already.

    Attributes:
        address: A folder of this machine, or s3://BUCKET/FOLDER and the like.
    """

    def __init__(self, address: str, *, command: str, extra: str) -> None:
        """Look whether fsspec knows the address.

        Args:
            address: See above.
            command: Who needs it.
            extra: The extra that brings fsspec for that command.

        Raises:
            MissingExtraError: If fsspec is not installed.
            DataError: If there is no such protocol, or what fsspec needs for it is not installed.
        """
        self.address = address.rstrip("/")
        try:
            self._open()
        except ImportError as error:
            if (error.name or "").startswith("fsspec"):
                raise MissingExtraError(command, extra) from error
            raise DataError(
                f"{address} needs a package that is not installed ({error}); install it with pip."
            ) from error
        except ValueError as error:
            raise DataError(f"{address} is no address that can be read ({error}).") from error

    def label(self, file: str) -> str:
        """Name a file for people."""
        return f"{self.address}/{file}"

    def read(self, file: str, checksum: int | None = None) -> bytes | None:
        """Read a small file; None if it is not there.

        Raises:
            DataError: If it cannot be read, or has another CRC-32.
        """
        return self._read([Part(file, checksum=checksum)], _log.warning)[0]

    def read_parts(self, parts: Sequence[Part], warn: Callable[[str], object]) -> list[bytes]:
        """Read parts of files, all at the same time where the protocol can.

        Args:
            parts: What to read.
            warn: Takes a sentence for each attempt that failed.

        Raises:
            DataError: If a file is missing, is damaged, or cannot be read after several attempts;
                it names the file.
        """
        contents = self._read(parts, warn)
        for part, content in zip(parts, contents, strict=True):
            if content is None:
                raise self.missing(part.file)
        return [content for content in contents if content is not None]

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of each file.

        Raises:
            DataError: If they cannot be listed; some protocols never can.
        """
        fs, root = self._open()
        fs.invalidate_cache()
        try:
            found = fs.find(root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise DataError(
                f"{self.address} gives no list of its files ({_clause(error)}); once it does, run "
                "the same command again, or give another address."
            ) from error
        prefix = f"{root.rstrip('/')}/"
        return {
            name.removeprefix(prefix): entry["size"]
            for name, entry in found.items()
            if entry.get("size") is not None
        }

    @contextmanager
    def write(self, file: str) -> Iterator[IO[bytes]]:
        """Open a file to write; whoever is interrupted may leave part of it.

        Raises:
            DataError: If it cannot be written.
        """
        try:
            fs, root = self._open()
            path = f"{root}/{file}"
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with fs.open(path, "wb") as stream:
                yield stream
        except (OSError, NotImplementedError) as error:
            raise DataError(
                f"{self.label(file)} cannot be written ({_clause(error)}); make room, or make it "
                "writable, then run the same command again: it goes on."
            ) from error

    def remove(self, file: str) -> None:
        """Delete a file, which may be gone already."""
        fs, root = self._open()
        try:
            fs.rm_file(f"{root}/{file}")
        except FileNotFoundError:
            return
        except (OSError, NotImplementedError) as error:
            _log.warning("%s is not needed and cannot be deleted: %s", self.label(file), error)

    def missing(self, file: str) -> DataError:
        """Make the error for a file that is not there."""
        return DataError(f"{self.label(file)} is missing; {REPAIR}")

    def _open(self) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs  # noqa: PLC0415

        fs, root = url_to_fs(self.address)
        return fs, root.rstrip("/")

    def _read(self, parts: Sequence[Part], warn: Callable[[str], object]) -> list[bytes | None]:
        """Read parts of files; None stands for those whose file is not there."""
        found: list[bytes | None] = [None] * len(parts)
        left = list(range(len(parts)))
        num_damaged: Counter[int] = Counter()
        for attempt, delay in enumerate((*DELAYS_S, 0), start=1):
            faults = {}
            contents = self._cat([parts[number] for number in left])
            for number, content in zip(left, contents, strict=True):
                fault = _fault(content, parts[number].checksum)
                if fault is not None:
                    faults[number] = fault
                elif isinstance(content, bytes):
                    found[number] = content
            if not faults:
                return found
            left = list(faults)
            num_damaged.update(number for number in left if faults[number] == _DAMAGED)
            for number, count in num_damaged.most_common(1):
                if count == MAX_DAMAGED:
                    raise DataError(
                        f"{self.label(parts[number].file)} is damaged ({_DAMAGED}); copy it there "
                        f"again, or delete it: {REPAIR}"
                    )
            label, fault = self.label(parts[left[0]].file), faults[left[0]]
            if attempt > len(DELAYS_S):
                raise DataError(
                    f"{label} cannot be read ({fault}), after {attempt} attempts; once it can be, "
                    "give the same command again, or --resume."
                )
            warn(f"{label} could not be read ({fault}): trying again after {delay} s.")
            time.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    def _cat(self, parts: Sequence[Part]) -> list[bytes | Exception]:
        """Read parts once; an exception stands for what cannot be read."""
        try:
            fs, root = self._open()
            paths = [f"{root}/{part.file}" for part in parts]
            starts, stops = [p.start for p in parts], [p.stop for p in parts]
            return list(fs.cat_ranges(paths, starts, stops, on_error="return"))
        except Exception as error:  # noqa: BLE001  # protocols have exceptions of their own
            return [error] * len(parts)


def _fault(content: bytes | Exception, checksum: int | None) -> str | None:
    """Say in a clause what is wrong with what was read; a file that is not there is an answer."""
    if isinstance(content, FileNotFoundError):
        return None
    if isinstance(content, Exception):
        return _clause(content)
    if checksum is not None and zlib.crc32(content) != checksum:
        return _DAMAGED
    return None


def _clause(error: Exception) -> str:
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return text or type(error).__name__
