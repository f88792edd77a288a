"""Fetches the Person Face Sketches set from Kaggle: pinned, resumed after a break, verified."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesketch.data.inspection import list_files
from facesketch.errors import DownloadError, MissingExtraError

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

TIMEOUTS_S = (15.0, 60.0)
"""Longest wait for a connection, and for the next bytes of an answer."""

WORK_FOLDER = ".facesketch-download"
"""Where a download lives inside OUT until it is whole."""


@dataclass(frozen=True)
class KaggleSet:
    """A data set on Kaggle in the layout `SPLIT/{photos,sketches}/NAME`.

    Attributes:
        name: OWNER/NAME.
        version: The version that is fetched, whatever comes later.
        num_pairs: Photos, and as many sketches, by split.
    """

    name: str
    version: int
    num_pairs: Mapping[str, int]

    @property
    def handle(self) -> str:
        """Name and version as kagglehub wants them."""
        return f"{self.name}/versions/{self.version}"

    @property
    def page(self) -> str:
        """Where people find the set."""
        return f"https://www.kaggle.com/datasets/{self.name}"


PERSON_FACE_SKETCHES = KaggleSet(
    "almightyj/person-face-sketches", 1, {"train": 20_655, "val": 1_000, "test": 679}
)


def download_set(kaggle_set: KaggleSet = PERSON_FACE_SKETCHES, out: Path | None = None) -> Path:
    """Fetch a set, or find that it is there already; a broken download goes on where it stopped.

    Args:
        kaggle_set: What to fetch.
        out: Folder to put the splits into, as links where kagglehub's cache has them already;
            without it they stay in that cache.

    Returns:
        The folder that holds the splits, every file counted.

    Raises:
        MissingExtraError: If kagglehub is not installed.
        DownloadError: If the set cannot be fetched, with the steps to get it by hand.
    """
    if out is not None and not missing_files(kaggle_set, out):
        return out
    try:
        from kagglehub.config import get_cache_folder  # noqa: PLC0415  # an extra, and slow
    except ImportError as error:
        raise MissingExtraError("facesketch data download", "data") from error
    cache = Path(get_cache_folder())
    if out is None:
        return _fetch_whole(kaggle_set, cache)
    for split in kaggle_set.num_pairs:
        if (out / split).exists():
            raise DownloadError(
                f"{out / split} exists but {out} is not the whole set; name another folder, or "
                "move what is there away."
            )
    work = out / WORK_FOLDER
    # Inside OUT the finished files only need renaming, and the cache's disk is left alone.
    _place(kaggle_set, _fetch_whole(kaggle_set, cache if _marked(kaggle_set, cache) else work), out)
    shutil.rmtree(work, ignore_errors=True)
    return out


def missing_files(kaggle_set: KaggleSet, root: Path) -> list[str]:
    """Compare the number of images below a folder with what the set should have.

    Returns:
        One clause for each folder that is missing or has another number of images.
    """
    told = []
    for split, wanted in kaggle_set.num_pairs.items():
        for domain in ("photos", "sketches"):
            folder = root / split / domain
            if not folder.is_dir():
                told.append(f"{split}/{domain} is missing")
            elif (found := len(list_files(folder)[0])) != wanted:
                told.append(f"{split}/{domain} has {found:,} images instead of {wanted:,}")
    return told


def _fetch_whole(kaggle_set: KaggleSet, cache: Path) -> Path:
    """Fetch a set into a cache and count its files; one that lost files is fetched anew."""
    was_there = _marked(kaggle_set, cache)
    root = _find_root(_fetch(kaggle_set, cache, force=False))
    missing = missing_files(kaggle_set, root)
    if missing and was_there:
        logger.warning("%s is not complete (%s): fetching it again.", root, "; ".join(missing))
        root = _find_root(_fetch(kaggle_set, cache, force=True))
        missing = missing_files(kaggle_set, root)
    if missing:
        raise _failure(
            kaggle_set, f"What came from Kaggle, in {root}, is not whole: {'; '.join(missing)}"
        )
    return root


def _find_root(folder: Path) -> Path:
    """Find the folder that holds the splits: the given one, or one right inside it."""
    if (folder / "train").is_dir():
        return folder
    return next((nested.parent for nested in sorted(folder.glob("*/train"))), folder)


def _place(kaggle_set: KaggleSet, root: Path, out: Path) -> None:
    """Move the splits to OUT, or link them where they lie in a cache that is not ours."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for split in kaggle_set.num_pairs:
            if root.is_relative_to(out):
                (root / split).rename(out / split)
            else:
                (out / split).symlink_to((root / split).resolve(), target_is_directory=True)
    except OSError as error:
        raise DownloadError(
            f"The set is whole in {root} but cannot be put into {out} ({error}); use it there."
        ) from error


def _fetch(kaggle_set: KaggleSet, cache: Path, *, force: bool) -> Path:
    """Let kagglehub fetch a set into a cache.

    Raises:
        DownloadError: Whatever goes wrong.
    """
    import requests  # noqa: PLC0415
    from kagglehub import exceptions  # noqa: PLC0415

    archive = _beside(kaggle_set, cache, "archive")
    try:
        return _fetch_patiently(kaggle_set, cache, archive, force=force)
    except requests.RequestException as error:
        raise _failure(kaggle_set, _explain(error)) from error
    except OSError as error:
        raise _failure(
            kaggle_set,
            f"{cache} cannot be written ({error}); make room there, or name a folder on another "
            "disk (OUT, or KAGGLEHUB_CACHE in the environment), and run the command again",
        ) from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        archive.unlink(missing_ok=True)
        raise _failure(
            kaggle_set, f"The archive is damaged ({_innermost(error)}); run the command again"
        ) from error
    except exceptions.DataCorruptionError as error:  # kagglehub has deleted the archive
        raise _failure(
            kaggle_set,
            "The archive came with another checksum than Kaggle gives; run the command again",
        ) from error
    except (
        ValueError,
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.KaggleEnvironmentError,
    ) as error:
        if str(error) == "Unsupported archive type.":
            archive.unlink(missing_ok=True)
        raise _failure(kaggle_set, f"kagglehub gave up: {_innermost(error)}") from error


def _fetch_patiently(kaggle_set: KaggleSet, cache: Path, archive: Path, *, force: bool) -> Path:
    """Go on after a broken connection as long as each attempt brings some bytes."""
    import kagglehub  # noqa: PLC0415
    import requests  # noqa: PLC0415

    while True:
        before = _size(archive)
        try:
            with _cache_at(cache), _messages_on_stderr(), _careful_requests(archive):
                return Path(kagglehub.dataset_download(kaggle_set.handle, force_download=force))
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            if _size(archive) <= before:
                raise
            logger.warning("The connection broke (%s): going on from there.", _innermost(error))


@contextlib.contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    """Have kagglehub keep its files in a folder."""
    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before


@contextlib.contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """Keep stdout for results: kagglehub logs to it."""
    handlers = [
        (handler, handler.stream)
        for handler in logging.getLogger("kagglehub").handlers
        if type(handler) is logging.StreamHandler  # no file, no handler of somebody else's
    ]
    for handler, _ in handlers:
        handler.stream = sys.stderr
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for handler, stream in handlers:
            handler.stream = stream


@contextlib.contextmanager
def _careful_requests(archive: Path) -> Iterator[None]:
    """Give each request a time limit, and refuse an archive that the disk has no room for.

    kagglehub offers neither: it sends its requests without a timeout, and looks at no disk.
    """
    import requests  # noqa: PLC0415

    send = requests.Session.send

    def careful_send(
        session: requests.Session, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUTS_S
        response = send(session, request, **kwargs)
        if response.status_code == 200:
            try:
                _check_room(archive, int(response.headers.get("Content-Length", 0)))
            except DownloadError:
                response.close()
                raise
        return response

    requests.Session.send = careful_send  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


def _check_room(archive: Path, num_bytes: int) -> None:
    """Make sure that an archive and what is in it fit on the disk; JPEGs do not get smaller."""
    folder = next(parent for parent in archive.parents if parent.exists())
    needed = 2 * num_bytes - _size(archive)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{folder} has {free / 1e9:,.1f} GB free, but the archive and its contents need "
            f"{needed / 1e9:,.1f} GB while it is unpacked; make room there, or name a folder on "
            "another disk (OUT, or KAGGLEHUB_CACHE in the environment)."
        )


def _beside(kaggle_set: KaggleSet, cache: Path, ending: str) -> Path:
    """Name a file of kagglehub's: the archive, or the mark of a finished download."""
    return cache / "datasets" / kaggle_set.name / f"{kaggle_set.version}.{ending}"


def _marked(kaggle_set: KaggleSet, cache: Path) -> bool:
    """Say whether kagglehub takes the set in a cache for finished."""
    return _beside(kaggle_set, cache, "complete").exists()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _explain(error: requests.RequestException) -> str:
    """Say in a clause what a failed request means and what to do."""
    status = None if error.response is None else error.response.status_code
    if status is None:
        return (
            f"Kaggle cannot be reached ({_innermost(error)}); check the network and run the "
            "command again, it goes on where it stopped"
        )
    if status in (401, 403):
        return (
            f"Kaggle refuses the download (HTTP {status}); if there are credentials in ~/.kaggle "
            "or in KAGGLE_* variables, renew or remove them"
        )
    if status == 404:
        return "Kaggle does not have this set in this version any more (HTTP 404)"
    return f"Kaggle answers with HTTP {status}; wait a while and run the command again"


def _innermost(error: BaseException) -> str:
    """Dig the plain reason out of the exceptions that requests and urllib3 wrap around it."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in error.args if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split("): ", 1)[-1].rstrip(".")


def _failure(kaggle_set: KaggleSet, sentence: str) -> DownloadError:
    """Make an error with the steps to get the set by hand."""
    return DownloadError(
        f"{sentence}.\n"
        "By hand:\n"
        f"  1. open {kaggle_set.page} in a browser and download the archive;\n"
        "  2. unzip it into a folder ROOT, so that ROOT/train/photos, ROOT/train/sketches, "
        "ROOT/val/... exist;\n"
        "  3. run  facesketch data check ROOT"
    )
