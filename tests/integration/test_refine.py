"""Generators are refined: strokes in their places, no frame, photos that follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from facesketch.checkpoint import load_latest  # noqa: E402
from facesketch.training import train  # noqa: E402
from recipes.generators import alone, refine  # noqa: E402
from train_helpers import tiny_config, write_pictures  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.data, pytest.mark.usefixtures("one_thread")]

SIZE = 48
STYLE = torch.zeros(1, dtype=torch.long)


class Framing(torch.nn.Module):
    """Draws whatever differs from zeros beyond the border."""

    def forward(self, photo: torch.Tensor, style: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return torch.nn.functional.avg_pool2d(photo[:, :1], 5, stride=1, padding=2)


class FromTheLeft(torch.nn.Module):
    """Draws an edge where a photo gets darker to the right."""

    def forward(self, photo: torch.Tensor, style: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        before = torch.nn.functional.pad(photo[..., :-1], (1, 0, 0, 0), mode="replicate")
        return 1 - (before - photo)[:, :1].clamp_min(0)


def test_a_drawing_goes_on_at_its_border_and_stays_as_it_is_inside() -> None:
    dark = torch.full((1, 3, SIZE, SIZE), -0.9)
    assert Framing()(dark, STYLE).max() > -0.5
    torch.testing.assert_close(refine._drawn_before(Framing(), dark, STYLE), dark[:, :1])
    photo, inside = torch.rand(1, 3, SIZE, SIZE), slice(20, -20)
    drawn = refine._drawn_before(Framing(), photo, STYLE)[..., inside, inside]
    torch.testing.assert_close(drawn, Framing()(photo, STYLE)[..., inside, inside])


def test_a_line_that_only_one_view_has_is_drawn_half() -> None:
    photo = torch.ones(1, 3, SIZE, SIZE)
    photo[..., 10:30] = -1  # an edge that goes dark, and one that goes light
    drawn = refine._drawn_before(FromTheLeft(), photo, STYLE)[0, 0, 24]
    assert (drawn < 1).nonzero().flatten().tolist() == [10, 29]
    assert drawn.min() == pytest.approx(0)  # -1 of one view, 1 of the other


def test_the_face_counts_most_and_all_places_count_1_in_the_mean() -> None:
    weight = refine.face_weight(SIZE)[0, 0]
    assert weight.mean().item() == pytest.approx(1)
    assert weight[SIZE // 2, SIZE // 2] > 7 * weight[0, 0] > 0
    torch.testing.assert_close(weight, weight.flip(1))


def test_a_faint_line_stays_in_the_head_and_is_paper_around_it() -> None:
    lines = torch.ones(1, 1, SIZE, SIZE)
    lines[..., ::8] = 0.6  # ink of 0.2 of black
    faint, wanted = refine._cleaned(lines, 0.1)
    middle = SIZE // 2
    for drawn in faint, wanted:
        assert drawn[0, 0, middle].min() < 0.8
        assert drawn[0, 0, 0].min() > 0.9


def test_both_generators_learn_and_a_run_is_not_overwritten(tmp_path: Path) -> None:
    data, out = write_pictures(tmp_path / "data"), tmp_path / "refined"
    config = tiny_config(data=data, out=tmp_path / "run", steps=1, image_size=SIZE, num_workers=1)
    train(config.model_copy(update={"clean_paper": 0.1}))
    run = str(tmp_path / "run")
    command = [sys.executable, refine.__file__, run, str(out), "--judges", run, "--data", str(data)]
    command += ["--drawing-steps", "3", "--photo-steps", "2"]
    # A worker that was left would keep it from ending.
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    before, after = load_latest(tmp_path / "run"), load_latest(out)
    for direction in ("photo2sketch", "sketch2photo"):
        old, new = before.generator_state(direction), after.generator_state(direction)
        assert not all(torch.equal(old[name], new[name]) for name in old)
    command[3], command[-1] = str(tmp_path / "drawings"), "0"
    subprocess.run(command, capture_output=True, check=True)
    kept = load_latest(tmp_path / "drawings").generator_state("sketch2photo")
    old = before.generator_state("sketch2photo")
    assert all(torch.equal(old[name], kept[name]) for name in old)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "holds a run already" in again.stderr


def test_drawings_alone_learn_to_leave_backgrounds_out(tmp_path: Path) -> None:
    data, out = write_pictures(tmp_path / "data"), tmp_path / "alone"
    config = tiny_config(data=data, out=tmp_path / "run", steps=1, image_size=SIZE)
    train(config.model_copy(update={"clean_paper": 0.1}))
    command = [sys.executable, alone.__file__, str(tmp_path / "run"), str(out)]
    command += ["--data", str(data), "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = load_latest(tmp_path / "run"), load_latest(out)
    assert after.settings.clean_paper == 0.1
    for direction, learns in ("photo2sketch", True), ("sketch2photo", False):
        old, new = before.generator_state(direction), after.generator_state(direction)
        assert all(torch.equal(old[name], new[name]) for name in old) != learns
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "holds a run already" in again.stderr


def test_drawings_on_gray_paper_are_not_refined(tmp_path: Path) -> None:
    data, run = write_pictures(tmp_path / "data"), str(tmp_path / "run")
    train(tiny_config(data=data, out=tmp_path / "run", steps=1, image_size=SIZE))
    refining = [refine.__file__, "--judges", run, "--drawing-steps", "1", "--photo-steps", "0"]
    for script, *options in refining, [alone.__file__, "--steps", "1"]:
        command = [sys.executable, script, run, str(tmp_path / "out"), "--data", str(data)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "leaves paper gray" in done.stderr
