"""Fixtures that several test files share."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest

from weights_helpers import COLOURS, write_generator, write_styles

if TYPE_CHECKING:
    from pack_helpers import Flaky

# The same examples everywhere, however busy the machine is.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

MISSING = re.compile(r"could not import|needs |not installed")
"""In why a test is skipped: for want of a package."""

AnyReport = TypeVar("AnyReport", pytest.CollectReport, pytest.TestReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "fail where a test would be skipped for want of a package"
    parser.addoption("--nothing-missing", action="store_true", help=text)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return failed_where_missing((yield), collector.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return failed_where_missing((yield), item.config)


def failed_where_missing(report: AnyReport, config: pytest.Config) -> AnyReport:
    """Turn a skip into a failure where nothing may be missing."""
    if report.skipped and config.getoption("--nothing-missing"):
        *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("",)
        if MISSING.search(str(reason)):
            report.outcome, report.longrepr = "failed", f"--nothing-missing: {reason}"
    return report


@pytest.fixture(scope="session")
def translated_once() -> Iterator[None]:
    """Let torch translate each architecture to ONNX once: it takes seconds, other weights none.

    What torch gives of a second network that reads like the first is the first's graph with the
    weights of the second; export holds every file against PyTorch, so a wrong one would be found.
    """
    torch = pytest.importorskip("torch")
    onnx_ir = pytest.importorskip("onnx_ir")
    translate, programs = torch.onnx.export, dict[str, Any]()

    def export(network: Any, args: tuple[Any, ...], **settings: Any) -> Any:
        numbers = [item for item in vars(network).items() if isinstance(item[1], int | float)]
        key = f"{network} {numbers} {args[0].shape}"
        if key not in programs:
            programs[key] = translate(network, args, **settings)
        for name, weight in network.state_dict().items():
            tensor = onnx_ir.tensor(weight.detach().numpy(), name=name)
            programs[key].model.graph.initializers[name].const_value = tensor
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", export)
        yield


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
