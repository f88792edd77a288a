"""What all campaigns share: options, the report, and how it is told."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

MAX_TOLD = 20
"""Broken promises that are printed; the JSON has all."""


@dataclass
class Report:
    """What was tried and what happened.

    Attributes:
        outcomes: By what was tried, how often which end was seen.
        broken: By what was tried, sentences on what should not have happened.
        measured: Whatever else there is to tell, for the JSON.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    def add(self, tried: str, happened: str, wrong: str | None = None) -> None:
        """Count one trial.

        Args:
            tried: What was done, the same words for all trials of a kind.
            happened: How it ended, in few words.
            wrong: What should not have happened; None where all was as promised.
        """
        self.outcomes.setdefault(tried, Counter())[happened] += 1
        if wrong is not None:
            self.broken.setdefault(tried, []).append(wrong)

    def merge(self, name: str, other: Report) -> None:
        """Take in what another campaign reported; its rows keep their own words."""
        for tried, ends in other.outcomes.items():
            self.outcomes.setdefault(tried, Counter()).update(ends)
        for tried, texts in other.broken.items():
            self.broken.setdefault(tried, []).extend(texts)
        if other.measured:
            self.measured[name] = other.measured

    def merge_warm_up(self, other: Report) -> None:
        """Take in the broken promises alone of what came before the counting."""
        self.broken |= {f"warm-up: {tried}": texts for tried, texts in other.broken.items()}

    @property
    def is_good(self) -> bool:
        """Whether something was tried and no promise was broken."""
        return bool(self.outcomes) and not self.broken

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each thing that was tried."""
        return [
            {
                "what was tried": tried,
                "times": ends.total(),
                "what happened": "; ".join(
                    end if count == ends.total() else f"{end}: {count:,}"
                    for end, count in ends.most_common()
                ),
                "promises broken": len(self.broken.get(tried, [])),
            }
            for tried, ends in self.outcomes.items()
        ]

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps({"rows": self.rows(), "broken": self.broken} | self.measured, indent=1)

    def write(self, out: Path | None) -> None:
        """Write it to a file, if there is one."""
        if out is not None:
            out.write_text(self.to_json() + "\n", encoding="utf-8")

    def tell(self) -> None:
        """Print a table, and what went wrong below it."""
        for row in self.rows():
            print("{what was tried:44} {times:6,}  {what happened}".format_map(row))
        wrong = [f"{tried}: {text}" for tried, texts in self.broken.items() for text in texts]
        for text in wrong[:MAX_TOLD]:
            print(f"BROKEN  {text}")
        if not self.outcomes:
            print("BROKEN  nothing was tried")


Campaign: TypeAlias = Callable[[int, int], Report]
"""Takes the seed and how often to try."""


def run(campaign: Campaign, description: str | None, *, count: int, of_what: str) -> None:
    """Run one campaign from the command line; exit with 1 if a promise was broken.

    Args:
        campaign: What to run.
        description: Text of the help page.
        count: Default of `--count`.
        of_what: What is counted.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random [0]")
    parser.add_argument("--count", type=int, default=count, help=f"{of_what} [{count}]")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report as JSON, too")
    args = parser.parse_args()
    report = campaign(args.seed, args.count)
    report.tell()
    finish(report, args.out)


def finish(report: Report, out: Path | None) -> None:
    """Write a report if asked to, and exit with 1 if a promise was broken."""
    report.write(out)
    sys.exit(0 if report.is_good else 1)
