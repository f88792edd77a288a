"""Styles and pairs: whose sketches are drawn, with which photos, and what counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from facesketch.data.check import check_root  # noqa: E402
from facesketch.data.dataset import (  # noqa: E402
    UnpairedImages,
    epoch_steps,
    find_domains,
)
from facesketch.data.pens import make_pens  # noqa: E402
from facesketch.data.sampler import Draw  # noqa: E402
from facesketch.errors import DataError  # noqa: E402
from train_helpers import (  # noqa: E402
    batches,
    contents,
    differences,
    into_styles,
    loaded_steps,
    photo_array,
    tiny_config,
    write_pictures,
)

pytestmark = pytest.mark.train


def test_pairs_are_cropped_and_mirrored_alike_and_every_second_sketch_has_its_own(
    tmp_path: Path,
) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / domain / "sub").mkdir(parents=True)
        for number in range(4):
            picture = Image.fromarray(photo_array(number, 40 if domain == "photos" else 80))
            suffix = "png" if domain == "photos" else "webp"
            picture.save(tmp_path / domain / "sub" / f"{number}.{suffix}", lossless=True)
    folders = {"photos": tmp_path / "photos", "sketches": tmp_path / "sketches"}
    config = tiny_config(
        **folders, sketch_channels=3, lambda_paired=1, load_scale=1.25, batch_size=4
    )
    steps = loaded_steps(config, num_steps=8)
    seen = [step.batch for step in steps]
    pairs = torch.cat([batch.is_pair for batch in seen]).flatten()
    assert pairs.tolist() == [1, 0] * 16
    apart = torch.cat([(b.photo - b.sketch).abs().mean(dim=(1, 2, 3)) for b in seen])
    assert apart[pairs == 1].max() < 0.05  # but for what resizing changes
    assert apart[pairs == 0].median() > 0.2
    assert not list(differences(contents(loaded_steps(config, 8, 5)), contents(steps[5:])))


def test_every_sketch_knows_the_photo_of_its_name(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "set", num_photos=7)
    config = tiny_config(data=data, lambda_paired=1)
    (data / "train/photos/0.png").rename(data / "train/photos/other.png")
    domains = find_domains(config)
    [pen] = make_pens(domains.photos, domains.sketches, config)
    assert pen.sketches.tolist() == [0, 1, 2, 3]
    for sketch, photo in zip(pen.sketches, pen.photos, strict=True):
        name = domains.sketches.path(sketch).stem
        assert domains.photos.path(photo).stem == name if photo >= 0 else name == "0"


def test_a_folder_of_sketches_for_each_style(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set", num_photos=5), "line", "hatch", "line2")
    config = tiny_config(data=root, styles="hatch,line,hatch", lambda_paired=1, batch_size=3)
    domains = find_domains(config)
    pens = make_pens(domains.photos, domains.sketches, config)
    assert [pen.style for pen in pens] == [0, 1, 0]
    for pen, name in zip(pens, ("hatch", "line", "hatch"), strict=True):
        for sketch, photo in zip(pen.sketches, pen.photos, strict=True):
            assert domains.sketches.path(sketch).parent.name == name
            assert domains.sketches.path(sketch).stem == domains.photos.path(photo).stem
    assert [batch.style.tolist() for batch in batches(config, num_steps=2)] == [[0, 1, 0]] * 2


def test_a_style_without_sketches_is_named(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set"), "line")
    with pytest.raises(DataError, match="hatch holds no images; --styles wants a folder"):
        batches(tiny_config(data=root, styles="line,hatch"))


def test_a_set_without_any_pair_is_refused_where_pairs_were_asked_for(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set")
    for path in (root / "train" / "sketches").iterdir():
        path.rename(path.with_stem(f"drawing{path.stem}"))
    with pytest.raises(DataError, match="lambda_paired needs pairs, and no image in"):
        batches(tiny_config(data=root, lambda_paired=1), num_steps=1)


def test_a_pair_of_other_shapes_is_named(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=1, num_sketches=1)
    Image.new("L", (40, 60)).save(root / "train" / "sketches" / "0.png")
    [step] = loaded_steps(tiny_config(data=root, lambda_paired=1), num_steps=1)
    assert step.error is not None
    assert str(root / "train" / "sketches" / "0.png") in step.error
    assert "have other shapes" in step.error


def test_a_pair_that_lost_one_to_damage_is_none(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", num_photos=2, num_sketches=2)
    (root / "train" / "sketches" / "0.png").write_bytes(b"no picture")
    seen = loaded_steps(tiny_config(data=root, lambda_paired=1, batch_size=1), num_steps=8)
    pairs = [bool(step.batch.is_pair) for step in seen[::2]]
    broken = [bool(step.broken) for step in seen[::2]]
    assert pairs == [not one for one in broken]
    assert any(broken)
    assert any(pairs)


def test_the_check_and_training_find_the_same_pairs(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set"), "some", "others")
    for styles in ("", "some,others"):
        config = tiny_config(data=root, lambda_paired=1, styles=styles)
        domains = find_domains(config)
        pens = make_pens(domains.photos, domains.sketches, config)
        assert sum((pen.photos >= 0).sum() for pen in pens) == check_root(root).pairs[0].num_pairs


@pytest.mark.parametrize("image_size", [64, 256, 512])
def test_training_crops_every_pair_that_the_check_lets_pass(
    tmp_path: Path, image_size: int
) -> None:
    root = write_pictures(tmp_path / "set", num_photos=1, num_sketches=1)
    train = root / "train"
    Image.new("RGB", (1000, 1250)).save(train / "photos" / "0.png")
    Image.new("L", (1000, 1257)).save(train / "sketches" / "0.png")
    assert not check_root(root).pairs[0].other_shapes
    [step] = loaded_steps(tiny_config(data=root, lambda_paired=1, image_size=image_size), 1)
    assert step.error is None
    assert step.batch.is_pair.any()


def test_a_broken_sketch_is_replaced_by_one_of_its_style(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set", num_sketches=8), "ink", "chalk")
    sketches = root / "train" / "sketches"
    ink, *more = sorted((sketches / "ink").iterdir())
    for path in more:
        shutil.copyfile(ink, path)
    ink.write_bytes(b"no picture")
    config = tiny_config(data=root, styles="chalk,ink", load_scale=1, flip=False)
    domains = find_domains(config)
    images = UnpairedImages(domains, config)
    broken, whole = (
        next(n for n in range(8) if domains.sketches.path(n) == path) for path in (ink, more[0])
    )
    wanted = images[[Draw(0, 0, whole, style=1)]].batch.sketch
    for number in range(8):
        step = images[[Draw(number, 0, broken, style=1)]]
        assert {b.path for b in step.broken} == {str(ink)}
        assert torch.equal(step.batch.sketch, wanted)


def test_sketches_of_other_styles_make_no_epoch_longer(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set", 5, 30), "ink", "chalk", "chalk")
    for styles, num_sketches in (("", 30), ("ink", 10), ("ink,chalk,ink", 30)):
        config = tiny_config(data=root, styles=styles, batch_size=2)
        assert epoch_steps(config, find_domains(config)) == num_sketches / 2


def test_pairs_of_other_styles_are_none(tmp_path: Path) -> None:
    root = into_styles(write_pictures(tmp_path / "set"), "ink", "chalk")
    for path in (root / "train" / "sketches" / "ink").iterdir():
        path.rename(path.with_stem(f"drawing{path.stem}"))
    with pytest.raises(DataError, match="lambda_paired needs pairs"):
        batches(tiny_config(data=root, styles="ink", lambda_paired=1), num_steps=1)
    batches(tiny_config(data=root, styles="ink,chalk", lambda_paired=1), num_steps=1)
