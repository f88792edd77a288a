"""Styles from the command line to the picture, through all ways of converting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from face_pictures import scene
from facesketch import Translator, translate_faces
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS
from server_helpers import SAMPLES
from train_helpers import run_cli

TONES = {"hatch": 200, "edge": 120, "line": 40}
COLOUR = (200, 120, 40)


@pytest.fixture(autouse=True)
def plain(work_here: None) -> None:
    Image.new("RGB", (80, 64), COLOUR).save("plain.png")


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facesketch", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def tone_of(name: str) -> object:
    with Image.open(name) as picture:
        return picture.getpixel((picture.width // 2, 5))


@pytest.mark.parametrize("align", [(), ("--align", "whole")], ids=["as it is", "by its faces"])
@pytest.mark.parametrize("style", [None, "edge", "line"])
def test_pictures_are_drawn_in_the_style(
    styles_dir: Path, style: str | None, align: tuple[str, ...]
) -> None:
    wanted = () if style is None else ("--style", style)
    done = convert("plain.png", "--to", "sketch", "--weights", styles_dir, *align, *wanted)
    assert done.returncode == 0, done.stderr
    assert tone_of("plain_sketch.png") == TONES[style or "hatch"]


@pytest.mark.parametrize("framing", ["portrait", "whole"])
def test_faces_and_their_tiles_are_drawn_in_the_style(styles_dir: Path, framing: str) -> None:
    picture = scene((900, 500), (30, 250, 160), (500, 100, 300))
    red, green, _ = picture.split()
    for style, plane in {"hatch": red, "edge": green}.items():
        framed = translate_faces(
            Translator(styles_dir, style=style), picture, "photo2sketch", framing, faces="all"
        )
        assert len(framed.faces) == 2
        if framing == "whole":
            drawn, expected = framed.pictures[0].getpixel((450, 20)), plane.getpixel((450, 20))
            assert drawn == pytest.approx(expected, abs=3)
    other = translate_faces(
        Translator(styles_dir, style="line"), picture, "photo2sketch", framing, faces="all"
    )
    assert other.pictures[0].tobytes() != framed.pictures[0].tobytes()


def test_of_photos_and_drawings_together_the_photos_get_the_style(styles_dir: Path) -> None:
    for name in ("photo_1.jpg", "drawing_1.png"):
        Path(name).write_bytes((SAMPLES / name).read_bytes())
    done = convert(
        "photo_1.jpg", "drawing_1.png", "--weights", styles_dir, "--style", "line", "--size", "64"
    )
    assert done.returncode == 0, done.stderr
    with Image.open("photo_1.jpg") as photo, Image.open("photo_1_sketch.png") as sketch:
        blue = photo.split()[2].resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert sketch.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) == pytest.approx(
            blue, abs=4
        )
    with Image.open("drawing_1_photo.png") as photo:
        assert photo.mode == "RGB"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("--style", "ink"), "no style 'ink' in {styles}; choose one of hatch, edge, line."),
        (("--style", "line", "--to", "photo"), "leave it away with --to photo"),
        (("--style", ""), "no style '' in {styles}; choose one of hatch, edge, line."),
    ],
    ids=["unknown", "of photos", "empty"],
)
def test_a_wrong_style_is_answered_in_a_sentence(
    styles_dir: Path,
    arguments: tuple[str, ...],
    answer: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("plain.png", "--weights", str(styles_dir), *arguments)
    code, _, err = run_cli(capsys, "convert", *words)
    assert code == 2
    assert answer.format(styles=styles_dir) in err
    assert not Path("plain_sketch.png").exists()


@pytest.mark.parametrize("command", ["convert", "evaluate"])
def test_the_help_lists_the_shipped_styles(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run_cli(capsys, command, "--help")
    listed = f"Shipped: {', '.join(available_styles(SHIPPED_WEIGHTS))}."
    assert listed in " ".join(out.split())
