"""The documents, and the commands and code that stand in them."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "report" not in path.parts),
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
COMMENT = re.compile(r"<!-- (not run|file): (.+?) -->", re.DOTALL)
SHELL, PYTHON = ("sh", "bash", "console"), ("python",)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        document: Where it stands.
        line: Its first line there, from 1.
        language: What is said after the fence.
        code: All of it.
        not_run: Why no test runs it, as the comment above it says.
        file: What file it is, as the comment above it says.
    """

    document: Path
    line: int
    language: str
    code: str
    not_run: str | None
    file: str | None

    @property
    def place(self) -> str:
        """File and line, as editors open it."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """Return the commands of a shell block, continued lines joined, comments dropped."""
        lines = self.code.replace("\\\n", " ").splitlines()
        commands = (re.sub(r"(^|\s+)# .*", "", line).strip() for line in lines)
        return [command for command in commands if command]


def parse(document: Path) -> list[Token]:
    """Read Markdown as GitHub does."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(document.read_text(encoding="utf-8"))


def blocks(document: Path, languages: tuple[str, ...] = SHELL + PYTHON) -> list[Block]:
    """Return the blocks of code in a document that are in these languages, or files."""
    found = []
    tokens = parse(document)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "fence":
            continue
        comment = COMMENT.match(before.content) if before else None
        said = {comment[1]: comment[2]} if comment else {}
        language, line = token.info.strip(), token.map[0] + 1 if token.map else 0
        if language in languages or "file" in said:
            told = said.get("not run"), said.get("file")
            found.append(Block(document, line, language, token.content, *told))
    return found


def inline_code(document: Path) -> Iterator[str]:
    """Yield what stands between backticks."""
    for token in parse(document):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def words(command: str) -> list[str]:
    """Split a command as a shell does, comments dropped."""
    return shlex.split(command, comments=True)
