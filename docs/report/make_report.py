"""Build the paper, and every table in README and docs, from what was measured.

    python docs/report/make_report.py      (make report)

The same inputs give the same bytes: fonts are those within typst, the date is that of the newest
measurement.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import typst

import facts
import sheets
from facesketch.evaluation.results import Column, Group, Results
from facesketch.translator import Translator
from facesketch.weights_info import DIRECTIONS
from record import ROOT, Record, load_records
from tables import (
    PUBLISHED,
    about,
    build_tables,
    count_images,
    figure,
    for_typst,
    marked_files,
    reference_of,
    rewrite,
    shipped,
)

HERE = Path(__file__).parent
PDF = HERE / "facesketch.pdf"
Format = Literal["pdf", "svg", "png"]
FIGURES: dict[str, Format] = {"architecture": "svg", "cycles": "png"}
"""Figures of README and docs: docs/images/NAME.FORMAT, drawn by NAME.typ."""


def main() -> None:
    """Write pictures, tables, figures and the PDF."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    sheets.make()
    records = load_records()
    tables = build_tables(records)
    for path in marked_files():
        text = path.read_text(encoding="utf-8")
        path.write_text(rewrite(text, tables, path.name), encoding="utf-8")
        print(path.relative_to(ROOT))
    for name, to in FIGURES.items():
        figure_path(name).write_bytes(build(records, f"{name}.typ", to))
        print(figure_path(name).relative_to(ROOT))
    PDF.write_bytes(build(records))
    print(f"{PDF.relative_to(ROOT)}, {PDF.stat().st_size / 1e6:.2f} MB")


def figure_path(name: str) -> Path:
    """Return where a figure of the documentation is kept."""
    return HERE.parent / "images" / f"{name}.{FIGURES[name]}"


def build(records: Mapping[str, Record], source: str = "paper.typ", to: Format = "pdf") -> bytes:
    """Compile the paper, or another of the sources beside it.

    Raises:
        typst.TypstError: If the text asks for what was not measured, or is no Typst.
    """
    newest = max(record.date for record in records.values())
    result = typst.compile(
        str(HERE / source),
        format=to,
        root=str(ROOT),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(gather(records), ensure_ascii=False)},
        timestamp=int(newest.timestamp()),
    )
    assert isinstance(result, bytes)  # one file, no output path
    return result


def gather(records: Mapping[str, Record]) -> dict[str, Any]:
    """Return all that the text may show: figures of the code, tables, measurements, numbers."""
    newest = max(record.date for record in records.values())
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return {
        "date": [newest.year, newest.month, newest.day],
        "facts": facts.gather() | {"fs2k_pairs": published["fs2k_pairs"]},
        "cited": [row["cite"] for row in published["rows"]],
        "tables": for_typst(build_tables(records)),
        "records": {n: record.model_dump(mode="json") for n, record in records.items()},
        "n": numbers(records),
    }


def numbers(records: Mapping[str, Record]) -> dict[str, str]:
    """Write the numbers that stand in running text."""
    results = Results.model_validate(records["evaluation"].result)
    ours, reference = shipped(results), reference_of(results)
    pencil = next(column for column in results.columns if column.kind == "baseline")
    real = next(column for column in results.columns if column.kind == "real")
    measured: dict[str, tuple[Column | None, Group, str]] = {
        "kid_sketch": (ours, "photo2sketch", "kid_mobilenetv2"),
        "kid_photo": (ours, "sketch2photo", "kid_mobilenetv2"),
        "kid_pencil": (pencil, "photo2sketch", "kid_mobilenetv2"),
        "kid_real": (real, "photo2sketch", "kid_mobilenetv2"),
        "rank1_sketch": (ours, "photo2sketch", "rank1"),
        "rank1_pencil": (pencil, "photo2sketch", "rank1"),
        "rank1_return": (ours, "cycle_photo", "rank1_degraded"),
        "cycle_photo": (ours, "cycle_photo", "cycle_error"),
        "cycle_photo_degraded": (ours, "cycle_photo", "cycle_error_degraded"),
        "cycle_sketch": (ours, "cycle_sketch", "cycle_error"),
        "cycle_sketch_degraded": (ours, "cycle_sketch", "cycle_error_degraded"),
        "colour_shift": (ours, "sketch2photo", "colour_shift"),
        "kid_sketch_reference": (reference, "photo2sketch", "kid_mobilenetv2"),
        "kid_photo_reference": (reference, "sketch2photo", "kid_mobilenetv2"),
        "rank1_reference": (reference, "photo2sketch", "rank1"),
    }
    networks = {
        each["name"].split("`")[1]: each for each in facts.networks() if "`" in each["name"]
    }
    small, large = networks["compact"], networks["resnet9"]
    counts = count_images(records["data"])
    info = Translator().info(DIRECTIONS[0])
    num_styles = len(facts.gather()["styles"])
    return {name: figure(*where) for name, where in measured.items()} | {
        "about_reference": about(reference) if reference else "",
        "test_photos": f"{results.photos.num_images:,}",
        "test_sketches": f"{results.sketches.num_images:,}",
        "subset": f"{results.subset_size:,}",
        "train_photos": f"{counts['train']['photo']:,}",
        "train_sketches": f"{counts['train']['sketch']:,}",
        "pairs": " / ".join(f"{n:,}" for n in facts.gather()["person_face_sketches"].values()),
        "all_pairs": f"{sum(facts.gather()['person_face_sketches'].values()):,}",
        "gmacs": f"{small['macs'] / 1e9:.1f}",
        "gmacs_reference": f"{large['macs'] / 1e9:.1f}",
        "times_macs": f"{large['macs'] / small['macs']:.0f}",
        "parameters": f"{small['parameters'] / 1e6:.2f}",
        "parameters_reference": f"{large['parameters'] / 1e6:.2f}",
        "times_parameters": f"{large['parameters'] / small['parameters']:.0f}",
        "reach": f"{facts.gather()['reach']['compact']}",
        "learned_from": info.training_data,
        "num_styles": f"{num_styles} style{'s' if num_styles != 1 else ''}",
        "minutes": _training_time(records),
        "last_step": f"{info.step:,}",
        "licence": info.licence,
        "megabytes": f"{sum(each['mb'] for each in facts.gather()['weights']):.1f}",
    }


def _training_time(records: Mapping[str, Record]) -> str:
    """Say how long the training behind the shipped weights took, if that was recorded."""
    if "training" not in records:
        return f"{len(facts.recipe())} stages"
    rows = records["training"].result["rows"]
    machines = {row.get("on") for row in rows}
    where = machines.pop() if len(machines) == 1 else None
    return f"{sum(row['minutes'] for row in rows):,} minutes" + (f" on {where}" if where else "")


if __name__ == "__main__":
    main()
