"""Terminal output: one console on stderr, progress bars, log lines that do not tear them."""

from __future__ import annotations

import logging
import sys

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

CONSOLE = Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """Replace what a terminal would obey or cannot show: file names may hold any byte."""
    return "".join(character if character.isprintable() else "?" for character in text)


def progress_bar() -> Progress:
    """A progress bar with count, share, time spent and time left; silent when not a terminal.

    While it is shown, log records go through the same console, and what is printed on the terminal
    stands above it. Use it as a context manager.
    """
    _route_logging()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        disable=not CONSOLE.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # results that go to a file stay results
    )


def _route_logging() -> None:
    """Send log records through the console, once, where the command line set up logging."""
    root = logging.getLogger()
    if not root.handlers or any(isinstance(handler, RichHandler) for handler in root.handlers):
        return
    if not CONSOLE.is_terminal:
        return
    root.handlers = [
        RichHandler(console=CONSOLE, show_time=False, show_path=False, rich_tracebacks=False)
    ]
