"""Keep what was measured, with the command, the commit and the machine it came from.

    python docs/report/record.py NAME --result FILE -- COMMAND ...     run, then keep FILE
    python docs/report/record.py NAME -- COMMAND ...                   the same with its output
    python docs/report/record.py NAME --result FILE --commit COMMIT    keep what was run before

writes docs/results/NAME.json, from which `make report` makes tables, plots and the paper. FILE is a
JSON object; the last form needs its keys `command`, `created` and `machine`, which are those of
`facesketch evaluate`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
MEASURED = ("src", "benchmarks", "soak", "recipes", ":!*.md")
"""What a measurement may depend on, as git names it; it has to be committed before."""

Sentence = Annotated[str, StringConstraints(min_length=3, strip_whitespace=True)]


class Record(BaseModel):
    """One measurement, as docs/results/NAME.json has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Sentence
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12,40}$")]
    date: AwareDatetime
    machine: Sentence
    result: dict[str, Any]


def load_records(folder: Path = RESULTS) -> dict[str, Record]:
    """Read all measurements, by name."""
    return {
        path.stem: Record.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def main() -> None:
    """Run the command, where there is one, and write the record."""
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    ours, command = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of the record, for instance evaluation")
    parser.add_argument("--result", type=Path, help="JSON file; default: what COMMAND prints")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="keep these parts of the result")
    parser.add_argument("--commit", help="at which FILE was measured")
    args = parser.parse_args(ours)
    # The last commit that changed what is measured: it stays when this record is rebased.
    commit = _git("log", "-1", "--format=%H", args.commit or "HEAD", "--", *MEASURED)[:12]
    if not command:
        if args.result is None or args.commit is None:
            parser.error("without a command, say which --result at which --commit.")
        result = json.loads(args.result.read_text(encoding="utf-8"))
        known = {"command": result["command"], "date": result["created"]}
        _write(args.name, known | {"machine": result["machine"]}, commit, _pick(result, args.only))
        return
    if changes := _git("status", "--porcelain", "--", *MEASURED):
        sys.exit(f"commit first, so that the record can say what was measured:\n{changes}")
    if args.commit:
        parser.error("--commit is for what was run before; a command is run at HEAD.")
    known = {
        "command": shlex.join(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    printed = subprocess.run(
        command, check=True, stdout=None if args.result else subprocess.PIPE, text=True
    ).stdout
    text = args.result.read_text(encoding="utf-8") if args.result else printed
    _write(args.name, known, commit, _pick(json.loads(text), args.only))


def describe_machine() -> str:
    """Name the processor, the cores there are, the system, and what else was going on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), cpu)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""  # not on Windows
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{load}"


def _pick(result: dict[str, Any], only: list[str] | None) -> dict[str, Any]:
    return result if only is None else {key: result[key] for key in only}


def _write(name: str, known: dict[str, str], commit: str, result: dict[str, Any]) -> None:
    record = Record.model_validate(known | {"commit": commit, "result": result})
    path = RESULTS / f"{name}.json"
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"{path}; `make report` brings it into tables and paper")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
