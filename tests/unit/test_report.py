"""The paper and the generated tables are those that the measurements give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("typst", reason="needs the dev extra")
pytest.importorskip("torch", reason="needs the train extra")

import make_report
import sheets
import tables
import training_log
from facesketch import checkpoint
from facesketch.config import TrainConfig
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


def figure(value: float) -> dict[str, Any]:
    """A measured figure, an eighth up and down."""
    return {"value": value, "n": 12, "interval": [0.875 * value, 1.125 * value], "method": "wilson"}


def with_weights(**columns: dict[str, Any]) -> Record:
    """The evaluation with made-up sets of weights before its own columns."""
    found = json.loads(RECORDS["evaluation"].model_dump_json())
    others = [c for c in found["result"]["columns"] if c["name"] not in columns]
    made = [{"name": name, "kind": "weights"} | column for name, column in columns.items()]
    found["result"]["columns"] = made + others
    return Record.model_validate(found)


def write_run(run: Path) -> Path:
    """Write what is read of a finished run of 3,000 steps."""
    config = TrainConfig(image_size=64, batch_size=2)
    environment = {"device": "cpu", "threads": "2"}
    known = {"settings": config, "environment": environment, "data_fingerprint": "", "state": {}}
    checkpoint.save(run, step=3000, **known)
    (run / "settings.toml").write_text("image_size = 64\nbatch_size = 2\n", encoding="utf-8")
    losses = dict.fromkeys(training_log.CURVES, 0.5) | {"images_per_second": 4.0}
    lines = [json.dumps({"step": step} | losses) for step in (1000, 2000, 3000)]
    (run / "logs").mkdir()
    (run / "logs" / "losses.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return run


MADE_UP = {
    "photo2sketch": {"kid_mobilenetv2": figure(0.4), "rank1": figure(0.5)},
    "sketch2photo": {"kid_mobilenetv2": figure(0.2)},
}
WITH_REFERENCE = with_weights(
    reference={
        "weights": "runs/reference",
        "about": dict.fromkeys(("photo2sketch", "sketch2photo"), "resnet9, 256 px, step 7"),
        "values": MADE_UP,
    }
)
LATE = {"photo2sketch": "style line, compact, 128 px, step 1,554, learned from data"}
ABLATION = with_weights(all={"about": LATE, "values": MADE_UP}, **{"no noise": {"values": MADE_UP}})


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


@pytest.mark.parametrize("name", make_report.FIGURES)
def test_the_figures_of_the_documentation_are_what_their_sources_build(name: str) -> None:
    built = make_report.build(RECORDS, f"{name}.typ", make_report.FIGURES[name])
    assert built == make_report.figure_path(name).read_bytes(), "run `make report`"


def test_the_paper_shows_pictures_of_the_shipped_generators() -> None:
    made_of = json.loads(sheets.MADE_OF.read_text(encoding="utf-8"))
    assert made_of == sheets.fingerprint(), "run `make report`"


def test_a_paper_with_every_measurement_builds(tmp_path: Path) -> None:
    stages = [training_log.read(write_run(tmp_path / "stage"), first_image=0)]
    rows = [{name: stages[0][name] for name in training_log.ROW}]
    assert stages[0]["last_image"] == 6000
    training = Record.model_validate(KNOWN | {"result": {"stages": stages, "rows": rows}})
    more = {
        "evaluation": WITH_REFERENCE,
        "ablation": ABLATION,
        "designs": ABLATION,
        "latency": Record.model_validate(KNOWN | {"result": {"cases": [CASE]}}),
        "training": training,
    }
    assert make_report.build(RECORDS | more).startswith(b"%PDF")
    told = make_report.numbers(RECORDS | more)
    assert told["minutes"] == "25 minutes on 2 CPU cores"
    assert told["kid_sketch"] == make_report.numbers(RECORDS)["kid_sketch"]
    assert told["kid_sketch_reference"] == "0.400"
    assert told["about_reference"] == "resnet9, 256 px, step 7"


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


def test_groups_are_those_of_the_shipped_weights() -> None:
    tones = {"light": {"rank1": figure(0.5)}, "dark": {}}
    ours = {"weights": "shipped", "values": {}, "skin_tones": tones}
    others = {"values": {}, "skin_tones": {"tan": {}}}
    made = tables.groups({"evaluation": with_weights(reference=others, shipped=ours)})
    assert made.columns == ("skin tone", "photos", "Right person ↑")
    assert made.rows == (("light", "12", "50.0% (43.8% to 56.2%)"), ("dark", "0", tables.NOTHING))


def test_a_reference_has_a_column_that_says_what_it_is() -> None:
    made = tables.quality({"evaluation": WITH_REFERENCE})
    assert made.columns[2] == "reference"
    assert made.rows[0][2] == "0.400 (0.350 to 0.450)"
    assert made.source.endswith(" reference: resnet9, 256 px, step 7.")
    others = [name for name in made.columns[2:] if name != "reference"]
    assert set(others) <= set(tables.quality(RECORDS).columns)


def test_ablations_are_a_row_a_set_and_a_column_a_figure_that_was_measured() -> None:
    made = tables.build_tables({"ablation": ABLATION})["ablation"]
    assert [row[:2] for row in made.rows[:2]] == [("all", "1,554"), ("no noise", tables.NOTHING)]
    assert made.rows[0][2:5] == (
        "0.400 (0.350 to 0.450)",
        "0.200 (0.175 to 0.225)",
        "50.0% (43.8% to 56.2%)",
    )
    assert {len(row) for row in made.rows} == {len(made.columns)}


def test_latency_is_told_beside_the_reference() -> None:
    more = CASE | {"threads": 2, "ms": {"resnet9, PyTorch": 90.0, "on a GPU": 4.5}}
    alone = CASE | {"size": 512, "ms": {"ours": 99.0}}
    record = Record.model_validate(KNOWN | {"result": {"cases": [CASE, more, alone]}})
    made = tables.latency({"latency": record})
    assert made.columns[3:] == ("resnet9, PyTorch, ms", "ours, ms", "on a GPU, ms")
    assert made.rows == (
        ("1", "256", "1", "600.0", "30.0 (20.0x)", tables.NOTHING),
        ("2", "256", "1", "90.0", tables.NOTHING, "4.5 (20.0x)"),
        ("1", "512", "1", tables.NOTHING, "99.0", tables.NOTHING),
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("latency", tables.NOT_MEASURED), ("ablation", tables.ABSENT["ablation"])],
)
def test_a_table_that_was_not_measured_says_so(name: str, said: str) -> None:
    text = tables.rewrite(f"<!-- table: {name} -->\nold\n<!-- end -->", {}, "README.md")
    assert text == f"<!-- table: {name} -->\n{said}<!-- end -->"


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
