from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facesketch

SOURCE = Path(facesketch.__file__).parent

ORDER = [
    "errors",
    "writing",
    "settings",
    "addresses",
    "weights_info",
    "config",
    "console",
    "allocator",
    "parallel",
    "cpu",
    "protobuf",
    "weights_folder",
    "weights_check",
    "onnx_runtime",
    "decoding",
    "unread",
    "images",
    "sessions",
    "half",
    "listing",
    "upscale",
    "domain",
    "geometry",
    "faces",
    "alignment",
    "data",
    "models",
    "losses",
    "features",
    "contrast",
    "teacher",
    "memory_layout",
    "image_pool",
    "diff_augment",
    "disturbances",
    "distributed",
    "devices",
    "cyclegan",
    "train_state",
    "memory",
    "checkpoint",
    "run_folder",
    "failures",
    "run_log",
    "loss_plot",
    "samples",
    "export",
    "init_weights",
    "reference_import",
    "translator",
    "evaluation",
    "validation",
    "training",
    "quantize",
    "tiles",
    "framing",
    "convert",
    "server",
    "cli",
    "__main__",
]
"""Modules and packages; each may import from those before it. A new one goes in here."""

WITHOUT_TRAINING = {
    "translator",
    "tiles",
    "framing",
    "convert",
    "server",
    "upscale",
    "domain",
    "geometry",
    "faces",
    "alignment",
    "decoding",
    "unread",
    "images",
    "listing",
    "onnx_runtime",
    "protobuf",
    "weights_folder",
    "weights_check",
    "sessions",
    "weights_info",
    "allocator",
    "writing",
}
"""What inference is made of; it may import nothing of training."""


def imports(path: Path) -> Iterator[str]:
    """Yield the modules and packages of facesketch that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "facesketch":
            yield from (alias.name for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facesketch."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (parts[1] for parts in names if parts[0] == "facesketch" and parts[1:])


def modules() -> dict[str, list[Path]]:
    """Return the source files of every module or package directly in facesketch."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).append(path)
    return found


def test_imports_point_one_way() -> None:
    found = modules()
    assert set(found) == set(ORDER), "ORDER in this file must name every module"
    wrong = [
        f"{path.relative_to(SOURCE)} imports {target}"
        for name, paths in found.items()
        for path in paths
        for target in imports(path)
        if target != name and ORDER.index(target) > ORDER.index(name)
    ]
    assert not wrong


def test_inference_imports_nothing_of_training() -> None:
    allowed = WITHOUT_TRAINING | {"errors", "console", "parallel", "cpu"}
    for name in WITHOUT_TRAINING:
        for path in modules()[name]:
            assert set(imports(path)) <= allowed, name


def loaded_after(code: str, names: list[str]) -> set[str]:
    """Run code in a new process and return which of the modules it has loaded."""
    script = (
        f"{code}\nimport sys\nprint(*(n for n in {names} if n in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import facesketch; facesketch.Translator\n"
        "facesketch.translate_faces\n"
        "import facesketch.convert.as_is, facesketch.convert.by_faces\n"
        "import facesketch.config, facesketch.domain, facesketch.faces, facesketch.images\n"
        "facesketch.domain.DomainClassifier(), facesketch.faces.FaceDetector()\n"
        "import facesketch.cli.convert, facesketch.cli.train, facesketch.cli.weights\n"
        "import facesketch.cli.evaluate",
        "import facesketch.data.check, facesketch.listing\n"
        "import facesketch.cli.data, facesketch.cli.data_check, facesketch.data.pack\n"
        "import facesketch.data.align",
    ],
    ids=["inference", "data"],
)
def test_torch_is_not_imported_for(code: str) -> None:
    assert loaded_after(code, ["torch"]) == set()


def test_the_help_page_imports_nothing_heavy() -> None:
    code = (
        "from facesketch.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0"
    )
    heavy = ["numpy", "PIL", "onnxruntime", "torch", "pydantic", "rich"]
    assert loaded_after(code, heavy) == set()


def test_the_package_offers_what_its_all_says() -> None:
    assert facesketch.__all__ == sorted(facesketch.__all__)
    for name in facesketch.__all__:
        assert getattr(facesketch, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = facesketch.no_such_name
