"""Fixtures that several test files share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from weights_helpers import COLOURS, write_generator, write_styles

if TYPE_CHECKING:
    from pack_helpers import Flaky


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators that change colours only: luma of photos, a tint for sketches."""
    folder = tmp_path_factory.mktemp("weights")
    write_generator(folder, "photo2sketch")
    write_generator(folder, "sketch2photo")
    return folder


@pytest.fixture(scope="session")
def styles_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators of three styles: each draws one colour of photos; a tint for sketches."""
    return write_styles(tmp_path_factory.mktemp("styles"))


@pytest.fixture(scope="session")
def coloured_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators whose sketches keep the colours of the photo; a tint for sketches."""
    folder = tmp_path_factory.mktemp("coloured")
    write_generator(folder, "photo2sketch", weight=COLOURS)
    write_generator(folder, "sketch2photo")
    return folder


@pytest.fixture(scope="session")
def strict_weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators that fail for sides that are no multiples of 4."""
    folder = tmp_path_factory.mktemp("strict-weights")
    write_generator(folder, "photo2sketch", size_multiple=4)
    write_generator(folder, "sketch2photo", size_multiple=4)
    return folder


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    """The file system `flaky://`: reads fail as a test wants, and are tried again at once."""
    from pack_helpers import register_flaky  # noqa: PLC0415  # inference tests have no fsspec

    return register_flaky(monkeypatch)


@pytest.fixture
def small_leftovers(tmp_path: Path) -> Iterator[None]:
    """Checkpoints have 50 MB and pytest keeps what tests write."""
    yield
    for folder in tmp_path.rglob("checkpoints"):
        shutil.rmtree(folder)
