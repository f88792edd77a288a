"""People are cut out of photos and put before other backgrounds, with what is wanted of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from recipes.generators import backgrounds, clutter  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.data]

SIDE = 256


def person() -> torch.Tensor:
    """Where a head and shoulders are in the FFHQ framing, (1, 1, S, S)."""
    place = (torch.arange(SIDE) + 0.5) / SIDE
    head = ((place - 0.5) / 0.27) ** 2 + ((place[:, None] - 0.5) / 0.4) ** 2 < 1
    shoulders = (place[:, None] > 0.88) & ((place - 0.5).abs() < 0.3)
    return (head | shoulders).float()[None, None]


def before(beyond: torch.Tensor) -> torch.Tensor:
    """Photo of that person, brown, before a background, (1, 3, S, S)."""
    brown = torch.tensor([0.2, -0.2, -0.5])[:, None, None]
    grain = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return torch.where(person() > 0, brown + 0.1 * grain, beyond + 0.002 * grain)


WALL = torch.full((1, 3, SIDE, SIDE), 0.6)
PAPER = torch.ones(1, 1, SIDE, SIDE)
STRIPES = torch.tensor([-0.6, 0.4, -0.6])[:, None, None].expand_as(WALL).clone()
STRIPES[..., torch.arange(SIDE) % 16 < 6] = -0.9


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let people be cut out as they are."""
    monkeypatch.setattr(
        backgrounds, "cut_out", lambda photos: person().repeat(len(photos), 1, 1, 1)
    )


def test_people_are_cut_out_before_a_wall() -> None:
    found = backgrounds.cut_out(before(WALL))
    assert found.shape == (1, 1, SIDE, SIDE)
    assert (found - person()).abs().mean() < 0.02


def test_a_wall_is_told_from_stripes() -> None:
    quiet, restless = backgrounds.unrest(torch.cat([before(WALL), before(STRIPES)]), person())
    assert quiet < backgrounds.WALL / 2
    assert restless > 3 * backgrounds.WALL
    assert backgrounds.unrest(STRIPES, torch.ones(1, 1, SIDE, SIDE)) == 0


def test_people_grow_and_shrink_by_pixels() -> None:
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    grown = backgrounds.widened(point, 2)
    assert grown.sum() == 25
    assert backgrounds.widened(grown, -1).sum() == 9
    assert torch.equal(backgrounds.widened(grown, -2), point)


def test_a_background_is_carried_on_from_the_side_that_is_free() -> None:
    photo = torch.rand(3, SIDE, SIDE)
    nobody = torch.zeros(1, SIDE, SIDE)
    width = round(backgrounds.STRIP * SIDE)
    for people, free in (nobody, photo), (nobody.clone(), photo.flip(2)):
        people[0, 10, 2] = free is not photo
        made = backgrounds.background(photo, people)
        assert made is not None
        assert made.shape == photo.shape
        strip = free[:, : SIDE // 2, :width]
        assert torch.equal(made[:, : SIDE // 2, :width], strip)
        assert torch.equal(made[:, : SIDE // 2, width : 2 * width], strip.flip(2))
        assert torch.equal(made[:, SIDE // 2 :, :width], strip.flip(1))
    assert backgrounds.background(photo, torch.ones(1, SIDE, SIDE)) is None


def test_people_before_a_wall_are_put_before_what_others_had_behind_them(known: None) -> None:
    scenes = backgrounds.Backgrounds(seed=0)
    busy = scenes.change(before(STRIPES), PAPER)
    assert torch.equal(busy.photo, before(STRIPES))
    for place, wanted, weight in (
        ((SIDE // 2, SIDE // 2), 1, 1),
        ((SIDE // 4, SIDE // 5), 1, 0),  # hair or not, which does not count
        ((5, 5), 0, backgrounds.BEYOND_OWN),
    ):
        assert busy.person[0, 0, *place] == wanted
        assert busy.weight[0, 0, *place] == weight
    left, moved = 0, 0
    for _ in range(20):
        scene = scenes.change(before(WALL), PAPER)
        assert scene.weight[0, 0, SIDE // 2, SIDE // 2] == 1
        face = scene.photo[..., 100:150, 100:156]
        assert torch.equal(face, before(WALL)[..., 100:150, 100:156])
        if torch.equal(scene.photo, before(WALL)):
            assert scene.person.min() == scene.weight.min() == scene.weight.max() == 1
            left += 1
            continue
        assert scene.photo[0, :, 5].std() > 0.1
        assert scene.person[0, 0, 5, 5] == 0
        assert scene.weight[0, 0, 5, 5] == backgrounds.BEYOND
        moved += 1
    assert left >= 3
    assert moved >= 6


def test_the_same_seed_chooses_the_same(known: None) -> None:
    photos = torch.cat([before(STRIPES), before(-WALL), *[before(WALL)] * 6])
    first, again, other = (
        backgrounds.Backgrounds(seed).change(photos, PAPER.repeat(8, 1, 1, 1)).photo
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whoever_was_not_cut_out_whole_stays_before_the_wall(known: None) -> None:
    scenes, hat = backgrounds.Backgrounds(seed=0), PAPER.clone()
    hat[..., :16, :] = -1
    scenes.change(before(STRIPES), PAPER)
    for _ in range(10):
        scene = scenes.change(before(WALL), hat)
        assert torch.equal(scene.photo, before(WALL))


def test_ink_behind_people_is_measured(
    tmp_path: Path,
    weights_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, beyond in ("a.png", WALL), ("b.png", STRIPES):
        pixels = ((before(beyond)[0] + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    monkeypatch.setattr(clutter, "COUNT", 1)
    monkeypatch.setattr("sys.argv", ["clutter.py", str(tmp_path), str(weights_dir)])
    clutter.main()
    *_, restless, everywhere = capsys.readouterr().out.split()
    wall, stripes = 0.2, (10 * 0.51 + 6 * 0.95) / 16  # black is 1; weights_dir draws luma
    assert float(restless) == pytest.approx(stripes, abs=0.02)
    assert float(everywhere) == pytest.approx((wall + stripes) / 2, abs=0.02)
