"""What is installed: names, files, version bounds, and what an absent extra answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

import click
import pytest
from PIL import Image

import facesketch
from facesketch.cli import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIRED = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
OF_DEVELOPERS = {"docs", "dev", "fuzz"}  # installed as constraints.txt says and in no other way
OF_USERS = {
    requirement
    for extra in EXTRAS.keys() - OF_DEVELOPERS
    for requirement in EXTRAS[extra]
    if not requirement.startswith("torch>")  # one CPU build alone can be had
}
SHIPPED = [
    "evaluation/report.html",
    "py.typed",
    "samples/drawing_1.png",
    "samples/drawing_2.png",
    "samples/photo_1.jpg",
    "server/static/favicon.svg",
    "server/static/studio.js",
    "server/templates/docs.html",
    "server/templates/studio.html",
    "weights/domain.onnx",
    "weights/face_detector.onnx",
    "weights/MODEL_CARD.md",
    "weights/generators/photo2sketch-line.onnx",
    "weights/generators/sketch2photo.onnx",
]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def facesketch_without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as if a module were not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; from facesketch.cli import main; main()"
    return python("-c", code, *arguments)


def pinned(name: str) -> dict[str, str]:
    """Read a constraints file: versions by normalised name."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(package): version for package, version in pins}


def normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def bounds(requirement: str) -> tuple[str, str, str]:
    """Take `name>=lowest,<upper` apart; extras of a package have its version."""
    match = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+),<([\d.]+)", requirement)
    assert match, f"{requirement} needs a lower and an upper bound"
    return normalised(match[1]), match[2], match[3]


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def test_the_module_runs_as_the_command_and_says_its_version() -> None:
    result = python("-m", "facesketch", "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"facesketch, version {facesketch.__version__}"


def test_the_installed_package_has_one_command_and_the_same_version() -> None:
    try:
        installed = metadata.distribution("facesketch")
    except metadata.PackageNotFoundError:
        pytest.skip("facesketch is on the path but not installed")
    assert installed.version == facesketch.__version__
    commands = [e for e in installed.entry_points if e.group == "console_scripts"]
    assert [(e.name, e.value) for e in commands] == [("facesketch", "facesketch.cli:main")]


def test_no_help_shows_its_own_marks() -> None:
    helps = list(all_help(cli, click.Context(cli)))
    assert len(helps) > len(COMMANDS)
    assert [text for text in helps if "\\b" in text or "\b" in text] == []


def all_help(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the help of a command and of all below it."""
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child
            yield from all_help(child, click.Context(child, context))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_package_ships(name: str) -> None:
    assert resources.files("facesketch").joinpath(name).is_file()


def test_the_wheel_holds_every_file_of_the_package_and_the_licence(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = f"facesketch-{facesketch.__version__}.dist-info"
    assert files <= packed
    assert {name.split("/")[0] for name in packed} == {"facesketch", info}
    assert f"{info}/licenses/LICENSE" in packed


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("torch", "train", ["train", "--photos", "{folder}", "--sketches", "{folder}"]),
        ("flask", "serve", ["serve", "--port", "0"]),
        (
            "torchmetrics",
            "evaluate",
            ["evaluate", "--photos", "{folder}", "--sketches", "{folder}"],
        ),
        ("torch", "train", ["export", "{folder}", "-o", "{folder}/out"]),
        ("torch", "train", ["import", "x.pth", "--direction", "photo2sketch", "-o", "{folder}"]),
        ("cv2", "data", ["data", "draw", "{folder}", "{folder}/out"]),
        ("kagglehub", "data", ["data", "download", "{folder}/out"]),
        ("fsspec", "data", ["data", "pack", "{folder}", "{folder}-packed"]),
        ("openvino", "fast", ["convert", "{folder}/photo.png", "--device", "openvino"]),
        ("openvino", "fast", ["serve", "--port", "0", "--device", "openvino"]),
    ],
)
def test_a_command_whose_extra_is_missing_says_what_to_install(
    tmp_path: Path, module: str, extra: str, command: list[str]
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    result = facesketch_without(module, *(part.format(folder=tmp_path) for part in command))
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"pip install 'facesketch[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("requirement", [*REQUIRED, *(r for e in EXTRAS.values() for r in e)])
def test_the_tested_version_lies_within_the_bounds(requirement: str) -> None:
    package, lowest, upper = bounds(requirement)
    assert numbers(lowest) <= numbers(pinned("constraints.txt")[package]) < numbers(upper)


@pytest.mark.parametrize("requirement", sorted({*REQUIRED, *OF_USERS}))
def test_the_lowest_version_allowed_is_tested(requirement: str) -> None:
    package, lowest, _ = bounds(requirement)
    of_ray = requirement in EXTRAS["ray"]  # has an environment of its own: lowest and newest in one
    pins = pinned("constraints.txt" if of_ray else "constraints-lowest.txt")
    tested = numbers(pins[package])
    assert tested[: len(numbers(lowest))] == numbers(lowest)
    assert not any(tested[len(numbers(lowest)) :])


def test_the_bare_package_needs_no_torch() -> None:
    assert "torch" not in {bounds(requirement)[0] for requirement in REQUIRED}


def test_converting_reports_nothing_to_anybody(tmp_path: Path) -> None:
    """ONNX Runtime keeps an identifier and a queue of events where its telemetry is on."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "PYTEST_CURRENT_TEST"}
    }
    code = "from facesketch.domain import DomainClassifier; DomainClassifier()"
    subprocess.run(
        [sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True
    )
    assert list(tmp_path.rglob("*")) == []
