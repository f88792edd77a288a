"""`facesketch data download` against a local stand-in for Kaggle's HTTP endpoints."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import random
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facesketch.cli import main
from facesketch.data import download
from facesketch.data.download import KaggleSet, download_set
from facesketch.errors import DownloadError, MissingExtraError

pytestmark = pytest.mark.data

SMALL_SET = KaggleSet("someone/some-faces", 3, {"train": 4, "val": 1, "test": 1})
MIB = 2**20
API = "http://localhost/api/v1/datasets.DatasetApiService/DownloadDataset"
STORAGE = "http://localhost/storage/archive.zip"


def make_archive(prefix: str = "", leave_out: str = "") -> bytes:
    """Nearly 5 MB, for kagglehub writes in pieces of 1 MiB."""
    noise = random.Random(0)  # noqa: S311  # nothing secret
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for split, number in SMALL_SET.num_pairs.items():
            for domain in ("photos", "sketches"):
                for index in range(number):
                    name = f"{split}/{domain}/{index}.jpg"
                    if name != leave_out:
                        archive.writestr(prefix + name, noise.randbytes(400_000))
    return buffer.getvalue()


class Kaggle(ThreadingHTTPServer):
    """Plays api.kaggle.com and the storage it redirects to; reached as an HTTP proxy."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), KaggleHandler)
        self.archive = make_archive()
        self.claimed_size: int | None = None
        self.checksum_of: bytes | None = None
        self.status = 200
        self.break_after: dict[int, int] = {}  # start of the answer -> bytes until it breaks
        self.stall = False
        self.released = threading.Event()
        self.asked: list[str] = []
        self.sent: list[dict[str, object]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # kagglehub hangs up when it resumes
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class KaggleHandler(BaseHTTPRequestHandler):
    server: Kaggle

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(f"POST {self.path}")
        self.server.sent.append(json.loads(body))
        if self.server.status != 200:
            answer = json.dumps({"code": self.server.status, "message": "no"}).encode()
            self.send_response(self.server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return
        self.send_response(302)
        self.send_header("Location", STORAGE)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(f"GET {self.path} {wanted}".strip())
        archive = self.server.archive
        digest = hashlib.md5(self.server.checksum_of or archive).digest()  # noqa: S324  # GCS's
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", wanted)) else 0
        body = archive[start:]
        self.send_response(206 if start else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(self.server.claimed_size or len(body)))
        self.send_header("x-goog-hash", f"crc32c=AAAAAA==, md5={base64.b64encode(digest).decode()}")
        self.end_headers()
        length = self.server.break_after.pop(start, None)
        self.wfile.write(body[:length])
        if length is not None:
            self.wfile.flush()
            if self.server.stall:
                self.server.released.wait(30)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kaggle]:
    """Run the stand-in and send kagglehub to it, with an empty home and cache."""
    pytest.importorskip("kagglehub")
    server = Kaggle()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    isolate(monkeypatch, tmp_path, proxy=server.url)
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
    gc.collect()  # kagglehub leaves responses open; their warnings belong to this test


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, proxy: str) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home/.kaggle"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")  # plain http, to the proxy below
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)


def archive_in(cache: Path) -> Path:
    return cache / "datasets/someone/some-faces/3.archive"


def test_the_set_lands_in_the_cache_with_the_pinned_version(kaggle: Kaggle, tmp_path: Path) -> None:
    root = download_set(SMALL_SET)
    assert root.is_relative_to(tmp_path / "cache")
    assert len(list(root.glob("train/photos/*.jpg"))) == 4
    assert kaggle.asked == [f"POST {API}", f"GET {STORAGE}"]
    assert kaggle.sent[0]["datasetVersionNumber"] == 3
    assert not archive_in(tmp_path / "cache").exists()


def test_a_set_that_is_there_is_not_fetched_again(kaggle: Kaggle, tmp_path: Path) -> None:
    assert download_set(SMALL_SET) == download_set(SMALL_SET)
    assert len(kaggle.asked) == 2
    download_set(SMALL_SET, tmp_path / "out")
    download_set(SMALL_SET, tmp_path / "out")
    assert len(kaggle.asked) == 2
    assert (tmp_path / "out/train").is_symlink()


def test_out_holds_the_splits_and_nothing_else(kaggle: Kaggle, tmp_path: Path) -> None:
    out = tmp_path / "a/b"
    assert download_set(SMALL_SET, out) == out
    assert sorted(path.name for path in out.iterdir()) == ["test", "train", "val"]
    assert not (out / "train").is_symlink()
    assert not (tmp_path / "cache").exists()


def test_a_layout_nested_one_level_is_found(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.archive = make_archive(prefix="faces/")
    assert download_set(SMALL_SET).name == "faces"


def test_a_broken_transfer_goes_on_where_it_stopped(kaggle: Kaggle) -> None:
    kaggle.break_after = {0: 2 * MIB + 5, 2 * MIB: MIB + 5}
    root = download_set(SMALL_SET)
    assert not download.missing_files(SMALL_SET, root)
    ranges = [asked.split()[-1] for asked in kaggle.asked if "bytes=" in asked]
    assert ranges == [f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]


def test_a_transfer_that_stalls_is_taken_up_again(
    kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUTS_S", (5.0, 2.0))
    kaggle.break_after, kaggle.stall = {0: 2 * MIB + 5}, True
    assert not download.missing_files(SMALL_SET, download_set(SMALL_SET))
    assert any(asked.endswith(f"bytes={2 * MIB}-") for asked in kaggle.asked)


@pytest.mark.parametrize("into_out", [False, True])
def test_a_second_run_takes_up_what_the_first_one_got(
    kaggle: Kaggle, tmp_path: Path, into_out: bool
) -> None:
    out = tmp_path / "out" if into_out else None
    kaggle.break_after = {0: 2 * MIB + 5, 2 * MIB: 0}
    with pytest.raises(DownloadError, match="goes on where it stopped"):
        download_set(SMALL_SET, out)
    cache = tmp_path / "out" / download.WORK_FOLDER if into_out else tmp_path / "cache"
    assert archive_in(cache).stat().st_size == 2 * MIB
    assert not download.missing_files(SMALL_SET, download_set(SMALL_SET, out))
    assert kaggle.asked[-1].endswith(f"bytes={2 * MIB}-")


def test_a_wrong_checksum_is_refused_and_the_archive_dropped(
    kaggle: Kaggle, tmp_path: Path
) -> None:
    kaggle.checksum_of = b"something else"
    with pytest.raises(DownloadError, match="checksum"):
        download_set(SMALL_SET)
    assert not archive_in(tmp_path / "cache").exists()
    kaggle.checksum_of = None
    download_set(SMALL_SET)


@pytest.mark.parametrize("damage", ["a web page", "a changed byte"])
def test_an_unusable_archive_is_dropped_so_that_the_next_run_works(
    kaggle: Kaggle, tmp_path: Path, damage: str
) -> None:
    whole = kaggle.archive
    kaggle.archive = whole[:99] + b"?" + whole[100:]
    if damage == "a web page":
        kaggle.archive = b"<html>log in first</html>"
    with pytest.raises(DownloadError, match="By hand"):
        download_set(SMALL_SET)
    assert not archive_in(tmp_path / "cache").exists()
    kaggle.archive = whole
    download_set(SMALL_SET)


def test_a_set_with_too_few_files_is_refused(kaggle: Kaggle) -> None:
    kaggle.archive = make_archive(leave_out="train/photos/2.jpg")
    with pytest.raises(DownloadError, match="train/photos has 3 images instead of 4"):
        download_set(SMALL_SET)


def test_a_cached_set_that_lost_files_is_fetched_anew(kaggle: Kaggle) -> None:
    root = download_set(SMALL_SET)
    (root / "val/photos/0.jpg").unlink()
    assert download_set(SMALL_SET) == root
    assert (root / "val/photos/0.jpg").exists()


def test_files_of_the_user_are_left_alone(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "out/train").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"out/train exists"):
        download_set(SMALL_SET, tmp_path / "out")
    assert kaggle.asked == []


def test_an_archive_too_large_for_the_disk_is_refused_before_it_is_fetched(
    kaggle: Kaggle, tmp_path: Path
) -> None:
    kaggle.claimed_size = 10**15
    kaggle.break_after = {0: 0}
    with pytest.raises(DownloadError, match=r"need 2,000,000\.0 GB .* KAGGLEHUB_CACHE"):
        download_set(SMALL_SET)
    assert not archive_in(tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "credentials"), (404, "does not have this set"), (429, "wait"), (503, "HTTP 503")],
)
def test_a_refusal_says_what_to_do(kaggle: Kaggle, status: int, told: str) -> None:
    kaggle.status = status
    with pytest.raises(DownloadError, match=told) as caught:
        download_set(SMALL_SET)
    assert "https://www.kaggle.com/datasets/someone/some-faces" in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DownloadError, match="cache cannot be written"):
        download_set(SMALL_SET)


def test_without_a_network_the_command_tells_the_steps_by_hand(
    kaggle: Kaggle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), KaggleHandler)
    closed.server_close()
    isolate(monkeypatch, tmp_path, proxy=f"http://127.0.0.1:{closed.server_address[1]}")
    with pytest.raises(SystemExit) as stop:
        main(["data", "download", str(tmp_path / "out")])
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Kaggle cannot be reached" in err
    assert "Connection refused" in err
    assert "facesketch data check ROOT" in err
    assert "https://www.kaggle.com/datasets/almightyj/person-face-sketches" in err


def test_the_command_prints_where_the_set_is_and_only_that(
    kaggle: Kaggle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(download, "PERSON_FACE_SKETCHES", SMALL_SET)
    with pytest.raises(SystemExit) as stop:
        main(["data", "download", str(tmp_path / "out")])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert out == f"Complete, train 4, val 1, test 1 pairs: {tmp_path / 'out'}\n"
    assert "room for twice the archive" in err
    assert "100%" in err


def test_without_kagglehub_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kagglehub", "kagglehub.config"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"facesketch\[data\]"):
        download_set(SMALL_SET)
