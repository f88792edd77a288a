"""The documentation site builds without a warning, offline, and the front page links to files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="needs the extra docs")
pytest.importorskip("torch", reason="needs the extra train")

from documents import ROOT, parse
from train_helpers import one_thread_environment

pytestmark = [pytest.mark.train, pytest.mark.dev]

LOADED = re.compile(
    r"<(?:script|img|source|iframe)\b[^>]*?\bsrc=\"([^\"]+)|<link\b[^>]*?\bhref=\"([^\"]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `make docs` does: a broken link or anchor is an error."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", f"{out}/doctrees"]
    done = subprocess.run(
        [*build, str(ROOT / "docs"), str(out / "html")],
        env=one_thread_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = {a or b for a, b in LOADED.findall(page.read_text(encoding="utf-8"))}
        assert loaded
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("reference/cli", "facesketch data draw"),
        ("reference/train-settings", "--lambda-cycle"),
        ("reference/serve-settings", "FACESKETCH_MAX_PENDING"),
        ("reference/metrics", "kid_mobilenetv2"),
        ("reference/http", "POST /api/v1/batch"),
        ("reference/python", "cycle_consistency_loss"),
        ("explanation/losses", "<math"),
    ],
)
def test_the_page_has_what_the_code_says(site: Path, page: str, said: str) -> None:
    text = (site / f"{page}.html").read_text(encoding="utf-8")
    assert said in text
    assert "generated:" not in text


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_the_front_page_links_to_is_there(name: str) -> None:
    for token in parse(ROOT / name):
        for child in token.children or ():
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if target and not re.match(r"https?:|#", target):
                assert (ROOT / target.partition("#")[0]).exists(), target
