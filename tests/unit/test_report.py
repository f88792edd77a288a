"""The paper and the generated tables are those that the measurements give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

pytest.importorskip("typst", reason="needs the dev extra")
pytest.importorskip("torch", reason="needs the train extra")

import make_report
import sheets
import tables
import training_log
from record import RESULTS, ROOT, Record, load_records

pytestmark = [pytest.mark.train, pytest.mark.dev]

RECORDS = load_records()
KNOWN = {
    "command": "python measure.py",
    "commit": "0123456789ab",
    "date": "2026-11-23T22:00:00Z",
    "machine": "a computer, 2 cores",
    "result": {"rows": [{"engine": "onnx", "ms": 37.5}, {"engine": "torch", "ms": 1571}]},
}

CASE = {"threads": 1, "size": 256, "batch": 1, "ms": {"resnet9, PyTorch": 600.0, "ours": 30.0}}


def test_tables_in_readme_and_docs_are_those_of_the_measurements() -> None:
    made = tables.build_tables(RECORDS)
    files = list(tables.marked_files())
    assert ROOT / "README.md" in files
    stale = [
        str(path.relative_to(ROOT))
        for path in files
        if tables.rewrite(text := path.read_text(encoding="utf-8"), made, path.name) != text
    ]
    assert not stale, "run `make report`"


def test_the_paper_is_what_its_sources_build_to_the_byte() -> None:
    assert make_report.build(RECORDS) == make_report.PDF.read_bytes(), "run `make report`"
    assert make_report.PDF.stat().st_size < 1_500_000


def test_the_figure_in_the_readme_shows_the_network_as_it_is() -> None:
    figure = make_report.build(RECORDS, "architecture.typ", "svg")
    assert figure == make_report.FIGURE.read_bytes(), "run `make report`"


def test_the_paper_shows_pictures_of_the_shipped_generators() -> None:
    made_of = json.loads(sheets.MADE_OF.read_text(encoding="utf-8"))
    assert made_of == sheets.fingerprint(), "run `make report`"


def test_a_paper_with_every_measurement_builds(tmp_path: Path) -> None:
    run = tmp_path / "stage"
    (run / "logs").mkdir(parents=True)
    (run / "settings.toml").write_text("image_size = 64\nbatch_size = 2\n", encoding="utf-8")
    losses = dict.fromkeys(training_log.CURVES, 0.5) | {"images_per_second": 4.0}
    lines = [json.dumps({"step": step} | losses) for step in (10, 20, 30)]
    (run / "logs" / "losses.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-00000030.pt").touch()
    stages = [training_log.read(run, first_image=0)]
    training = {"stages": stages, "rows": [{"run": "stage", "minutes": stages[0]["minutes"]}]}
    more = {
        "ablation": RECORDS["evaluation"],
        "latency": Record.model_validate(KNOWN | {"result": {"cases": [CASE]}}),
        "training": Record.model_validate(KNOWN | {"result": training}),
    }
    assert stages[0]["last_image"] == 60
    assert make_report.build(RECORDS | more).startswith(b"%PDF")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_measurement_says_how_it_was_made(path: Path) -> None:
    record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    assert record.result


@pytest.mark.parametrize("missing", ["command", "commit", "date", "machine", "result"])
def test_a_measurement_without_its_origin_is_refused(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Record.model_validate({name: value for name, value in KNOWN.items() if name != missing})


def test_rows_of_a_benchmark_become_a_table_with_its_source() -> None:
    made = tables.build_tables({"speed": Record.model_validate(KNOWN)} | RECORDS)["speed"]
    assert made.markdown() == (
        "| engine | ms |\n| --- | ---: |\n| onnx | 37.5 |\n| torch | 1,571 |\n\n"
        "`python measure.py`, commit 0123456789ab, 2026-11-23, a computer, 2 cores.\n"
    )


def test_groups_are_those_of_the_evaluation() -> None:
    found = json.loads(RECORDS["evaluation"].model_dump_json())
    value = {"value": 0.5, "n": 12, "interval": [0.25, 0.75], "method": "wilson"}
    ours = next(c for c in found["result"]["columns"] if c["kind"] == "weights")
    ours["skin_tones"] = {"light": {"rank1": value}, "dark": {}}
    made = tables.groups({"evaluation": Record.model_validate(found)})
    assert made.columns == ("skin tone", "photos", "Right person ↑")
    assert made.rows == (("light", "12", "50.0% (25.0% to 75.0%)"), ("dark", "0", tables.NOTHING))


def test_latency_is_told_beside_the_reference() -> None:
    record = Record.model_validate(KNOWN | {"result": {"cases": [CASE]}})
    made = tables.latency({"latency": record})
    assert made.rows == (("1", "256", "1", "600.0", "30.0 (20.0x)"),)


def test_a_table_that_was_not_measured_says_so() -> None:
    text = tables.rewrite("<!-- table: latency -->\nold\n<!-- end -->", {}, "README.md")
    assert text == f"<!-- table: latency -->\n{tables.NOT_MEASURED}<!-- end -->"


def test_a_marker_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="speed"):
        tables.rewrite("<!-- table: speed -->\n<!-- end -->", {}, "README.md")


def test_a_record_has_the_command_that_was_run_and_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import record  # noqa: PLC0415

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "MEASURED", ("LICENSE",))
    measure = [sys.executable, "-c", 'print(\'{"ms": 3, "names": []}\')']
    monkeypatch.setattr(sys, "argv", ["record.py", "one", "--only", "ms", "--", *measure])
    record.main()
    kept = load_records(tmp_path)["one"]
    assert kept.result == {"ms": 3}
    assert "print" in kept.command
    head = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%H", "--", "LICENSE"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert head.stdout.startswith(kept.commit)
