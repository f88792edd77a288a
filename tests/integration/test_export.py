"""A training run becomes ONNX files, a foreign checkpoint too, or nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageChops

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx  # noqa: E402

from facesketch import Translator, export  # noqa: E402
from facesketch.checkpoint import load_latest  # noqa: E402
from facesketch.cli import main  # noqa: E402
from facesketch.config import build_config  # noqa: E402
from facesketch.cyclegan import CycleGAN  # noqa: E402
from facesketch.errors import DataError, ExportError, WeightsError  # noqa: E402
from facesketch.images import open_image, resize_cover  # noqa: E402
from facesketch.init_weights import load_networks  # noqa: E402
from facesketch.models import ResNetGenerator, generator  # noqa: E402
from facesketch.reference_import import import_generator, read_generator  # noqa: E402
from facesketch.training import train  # noqa: E402
from facesketch.weights_info import WeightsInfo  # noqa: E402
from pack_helpers import pack_small  # noqa: E402
from train_helpers import run_cli  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread", "translated_once")]


def info(**changes: object) -> WeightsInfo:
    values = {
        "direction": "photo2sketch",
        "architecture": "compact",
        "image_size": 64,
        "input_channels": 3,
        "output_channels": 1,
        "size_multiple": 16,
        "training_data": "noise",
        "step": 0,
        "licence": "Apache-2.0",
    }
    return WeightsInfo.model_validate(values | changes)


def noise(channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (2, channels, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    for domain in ("photos", "sketches"):
        (root / "data" / "train" / domain).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "data" / "train" / domain / f"{index}.png")
    settings = {
        "data": root / "data",
        "image_size": 32,
        "batch_size": 1,
        "steps": 2,
        "num_workers": 0,
        "precision": "float32",
        "disc_filters": 4,
        "out": root / "run",
        "licence": "CC0-1.0",
        "training_data": "three squares of noise",
    }
    return train(build_config("compact", settings)).run


@pytest.fixture(scope="module")
def weights(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights")
    export.export_run(run, out)
    return out


def test_export_writes_both_directions_and_says_how_close_they_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", str(run), "-o", str(tmp_path)])
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert printed.count("differs from PyTorch by at most") == 2
    translator = Translator(tmp_path)
    assert translator.to_sketch(Image.new("RGB", (50, 70))).size == (50, 70)
    assert translator.to_photo(Image.new("L", (70, 50))).mode == "RGB"


def test_an_int8_file_of_former_weights_goes(run: Path, weights: Path, tmp_path: Path) -> None:
    former = tmp_path / "sketch2photo.int8.onnx"
    former.write_bytes(b"of former weights")
    export.export_run(run, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in weights.iterdir()
    )


def test_generators_of_another_run_are_not_mixed_with_those_of_this_one(
    run: Path, weights: Path, tmp_path: Path
) -> None:
    for path in weights.iterdir():
        shutil.copy(path, tmp_path)
    other = tmp_path / "photo2sketch-chalk.onnx"
    other.write_bytes(b"of another run")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(ExportError, match=r"of another run \(photo2sketch-chalk\.onnx\); give an"):
        export.export_run(run, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    other.unlink()
    export.export_run(run, tmp_path)


def test_the_check_takes_the_pictures_of_an_address(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_small(run.parent / "data", tmp_path / "packed")
    address = (tmp_path / "packed").as_uri()
    code, _, err = run_cli(capsys, "export", str(run), "-o", str(tmp_path), "--data", address)
    assert (code, err) == (0, "")


def test_export_may_say_what_the_run_did_not(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--licence", "CC-BY-4.0", "--training-data", "noise of ours")
    assert run_cli(capsys, "export", str(run), "-o", str(tmp_path), *words)[0] == 0
    about = Translator(tmp_path).info("sketch2photo")
    assert (about.licence, about.training_data) == ("CC-BY-4.0", "noise of ours")


def test_the_check_passes_over_broken_pictures(run: Path, tmp_path: Path) -> None:
    config = load_latest(run).settings
    data = Path(shutil.copytree(str(config.data), tmp_path / "data"))
    (data / "train" / "photos" / "1.png").write_bytes(b"broken")
    config = config.model_copy(update={"data": str(data)})
    batches = export.parity_batches(config)
    assert [len(batches[way]) for way in ("photo2sketch", "sketch2photo")] == [2, 3]
    for path in (data / "train" / "photos").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"no image in .*photos can be read"):
        export.parity_batches(config)


def test_exported_files_carry_their_metadata(weights: Path) -> None:
    model = onnx.load(str(weights / "sketch2photo.onnx"))
    (stored,) = (p.value for p in model.metadata_props if p.key == "facesketch")
    values = json.loads(stored)
    assert values["direction"] == "sketch2photo"
    assert (values["input_channels"], values["output_channels"]) == (1, 3)
    assert (values["image_size"], values["step"]) == (32, 2)
    assert values["training_data"] == "three squares of noise"
    assert values["licence"] == "CC0-1.0"
    assert values["normalisation"] == "x / 127.5 - 1"


def test_export_takes_the_averaged_generators(run: Path, weights: Path) -> None:
    network = generator("compact", 3, 1)
    network.load_state_dict(load_latest(run).generator_state("photo2sketch"))
    largest, mean = export.parity(network, weights / "photo2sketch.onnx", [noise()])
    assert mean < largest < 1e-4


@pytest.mark.parametrize(
    ("limit", "said"),
    [("MAX_DIFFERENCE", "differs from PyTorch by"), ("MAX_ROUNDING", "differs on average from")],
)
def test_a_difference_to_pytorch_deletes_the_file(
    limit: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, limit, 0.0)
    with pytest.raises(ExportError, match=said):
        export.export_generator(generator("compact", 3, 1), info(), tmp_path, noise(), half=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("difference", [0.5, float("nan")])
def test_an_export_that_fails_leaves_all_as_it_was(
    run: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    difference: float,
) -> None:
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    (tmp_path / "photo2sketch.int8.onnx").write_bytes(b"of these weights")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    found = iter([0.0, difference])  # sketch2photo is the second
    monkeypatch.setattr(export, "parity", lambda *_: (next(found), 0.0))
    with pytest.raises(ExportError, match=r"sketch2photo\.onnx differs .* nothing was written"):
        export.export_run(run, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("upsample", ["resize", "transpose"])
def test_resnets_export_too(tmp_path: Path, upsample: Literal["resize", "transpose"]) -> None:
    network = ResNetGenerator(3, 1, 6, upsample, filters=8)
    written = export.export_generator(
        network, info(architecture="resnet6", size_multiple=4), tmp_path, noise()
    )
    assert written.max_difference < export.MAX_DIFFERENCE


def test_half_files_are_smaller_and_draw_the_same(run: Path, weights: Path, tmp_path: Path) -> None:
    written = export.export_run(run, tmp_path, half=True)
    for exported in written:
        whole = (weights / exported.path.name).stat().st_size
        assert exported.path.stat().st_size < 0.6 * whole
        assert exported.max_difference < 0.03  # of 2: four 8-bit levels
    # One of those that the export was checked on: how much another may differ is not promised.
    photo = resize_cover(open_image(run.parent / "data" / "train" / "photos" / "0.png"), 32)
    a, b = (np.asarray(Translator(w).to_sketch(photo), np.int16) for w in (weights, tmp_path))
    assert np.abs(a - b).max() <= 4
    config = build_config("compact", {"image_size": 32, "disc_filters": 4})
    from_whole, from_half = CycleGAN(config), CycleGAN(config)
    load_networks(from_whole, config, weights)
    load_networks(from_half, config, tmp_path)
    x = torch.from_numpy(noise())
    with torch.inference_mode():
        expected = from_whole.gen_photo2sketch(x)
        torch.testing.assert_close(from_half.gen_photo2sketch(x), expected, atol=3e-2, rtol=0)


def test_training_can_start_from_exported_files(run: Path, weights: Path) -> None:
    config = build_config("compact", {"image_size": 32, "disc_filters": 4})
    from_run, from_onnx = CycleGAN(config), CycleGAN(config)
    load_networks(from_run, config, run)
    load_networks(from_onnx, config, weights)
    photo = torch.from_numpy(noise())
    with torch.inference_mode():
        expected = from_run.gen_photo2sketch(photo)
        torch.testing.assert_close(from_onnx.gen_photo2sketch(photo), expected, atol=1e-4, rtol=0)


def test_cleaned_paper_is_exported_and_said_when_training_starts_without_it(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_latest(run).settings.model_dump(exclude_none=True)
    settings |= {"clean_paper": 0.3, "out": tmp_path / "run"}
    clean = train(build_config("compact", settings)).run
    export.export_run(clean, tmp_path / "weights")
    translator = Translator(tmp_path / "weights")
    thresholds = [translator.info(way).clean_paper for way in ("photo2sketch", "sketch2photo")]
    assert thresholds == [0.3, 0]
    drawn = translator.run("photo2sketch", noise())
    assert (drawn == 1).any()
    for source in (clean, tmp_path / "weights"):
        for threshold in (0.3, 0):
            caplog.clear()
            config = build_config("compact", settings | {"clean_paper": threshold})
            model = CycleGAN(config)
            load_networks(model, config, source)
            with torch.inference_mode():
                again = model.gen_photo2sketch(torch.from_numpy(noise())).numpy()
            is_same = threshold == 0.3
            assert np.allclose(again, drawn, atol=1e-3) == is_same
            assert ("set it to the same" in caplog.text) != is_same


def test_a_generator_of_a_style_is_named_after_it_and_training_can_start_from_it(
    weights: Path, tmp_path: Path
) -> None:
    network = generator("compact", 3, 1)
    styled = info(style="edge", styles=("edge", "hatch"))
    written = export.export_generator(network, styled, tmp_path, noise())
    assert written.path == tmp_path / "photo2sketch-edge.onnx"
    assert Translator(tmp_path, style="edge").info("photo2sketch") == styled
    shutil.copy(weights / "sketch2photo.onnx", tmp_path)
    config = build_config("compact", {"image_size": 32, "disc_filters": 4})
    model = CycleGAN(config)
    load_networks(model, config, tmp_path)
    photo = torch.from_numpy(noise())
    with torch.inference_mode():
        expected = network(photo)
        torch.testing.assert_close(model.gen_photo2sketch(photo), expected, atol=1e-4, rtol=0)


def test_training_can_start_from_the_shipped_weights() -> None:
    threshold = Translator().info("photo2sketch").clean_paper
    config = build_config("compact", {"clean_paper": threshold})
    model = CycleGAN(config)
    load_networks(model, config, Path("shipped"))
    photo = noise()
    with torch.inference_mode():
        drawn = model.gen_photo2sketch(torch.from_numpy(photo)).numpy()
    shipped = Translator().run("photo2sketch", photo)
    np.testing.assert_allclose(drawn, shipped, atol=3 * 5e-3)  # a fade is three times as steep


def test_every_style_becomes_a_file_and_training_goes_on_from_them(
    run: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for folder in ("photos", "sketches/line", "sketches/hatch"):
        (data / "train" / folder).mkdir(parents=True)
        source = run.parent / "data" / "train" / folder.split("/")[0] / "0.png"
        shutil.copy(source, data / "train" / folder / "0.png")
    settings = load_latest(run).settings.model_dump(exclude_none=True)
    settings |= {"data": data, "styles": "line,hatch", "out": tmp_path / "run"}
    styled = train(build_config("compact", settings | {"learning_rate": 0.003})).run
    written = export.export_run(styled, tmp_path / "weights")
    names = ["photo2sketch-line.onnx", "photo2sketch-hatch.onnx", "sketch2photo.onnx"]
    assert [exported.path.name for exported in written] == names
    photo = Image.effect_noise((64, 64), 90).convert("RGB")
    drawn = [Translator(tmp_path / "weights", style=s).to_sketch(photo) for s in ("line", "hatch")]
    assert ImageChops.difference(*drawn).getbbox()

    config = build_config("compact", settings | {"styles": "hatch,line,new"})
    from_run, from_onnx = CycleGAN(config), CycleGAN(config)
    load_networks(from_run, config, styled)
    load_networks(from_onnx, config, tmp_path / "weights")
    x = torch.from_numpy(noise()).double()
    first, new = torch.tensor([0, 0]), torch.tensor([2, 2])
    with torch.inference_mode():
        trained = load_styled(styled).double()
        expected, line = trained(x, torch.tensor([1, 1])), trained(x)
        for model in (from_run, from_onnx):
            drawing = model.gen_photo2sketch.double()
            torch.testing.assert_close(drawing(x, first), expected, atol=1e-3, rtol=0)
            torch.testing.assert_close(drawing(x, new), line, atol=1e-3, rtol=0)


def load_styled(run: Path) -> torch.nn.Module:
    return export.trained_generator(load_latest(run), "photo2sketch")


def test_weights_of_another_architecture_cannot_start_a_training(run: Path) -> None:
    config = build_config("paper", {"image_size": 32})
    with pytest.raises(WeightsError, match="do not fit generator=resnet9"):
        load_networks(CycleGAN(config), config, run)


def reference_state(num_blocks: int, dropout: bool) -> dict[str, torch.Tensor]:
    """Name the weights as pytorch-CycleGAN-and-pix2pix's ResnetGenerator does (filters=8)."""
    sizes = [("1", 8, 3, 7), ("4", 16, 8, 3), ("7", 32, 16, 3)]
    second = "6" if dropout else "5"
    sizes += [
        (f"{10 + block}.conv_block.{layer}", 32, 32, 3)
        for block in range(num_blocks)
        for layer in ("1", second)
    ]
    after = 10 + num_blocks
    rng = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for name, out, into, kernel in sizes:
        state[f"model.{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=rng) * 0.1
        state[f"model.{name}.bias"] = torch.randn(out, generator=rng) * 0.1
    for name, into, out in ((f"{after}", 32, 16), (f"{after + 3}", 16, 8)):
        state[f"model.{name}.weight"] = torch.randn(into, out, 3, 3, generator=rng) * 0.1
        state[f"model.{name}.bias"] = torch.randn(out, generator=rng) * 0.1
    state[f"model.{after + 7}.weight"] = torch.randn(3, 8, 7, 7, generator=rng) * 0.1
    state[f"model.{after + 7}.bias"] = torch.randn(3, generator=rng) * 0.1
    return state


def reference_forward(state: dict[str, torch.Tensor], x: torch.Tensor, blocks: int) -> torch.Tensor:
    """Compute the reference's generator with functional calls only."""
    f = torch.nn.functional
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = iter([(state[f"{n}.weight"], state[f"{n}.bias"]) for n in names])
    x = f.relu(f.instance_norm(f.conv2d(f.pad(x, [3] * 4, mode="reflect"), *next(layers))))
    for _ in range(2):
        x = f.relu(f.instance_norm(f.conv2d(x, *next(layers), stride=2, padding=1)))
    for _ in range(blocks):
        y = f.relu(f.instance_norm(f.conv2d(f.pad(x, [1] * 4, mode="reflect"), *next(layers))))
        x = x + f.instance_norm(f.conv2d(f.pad(y, [1] * 4, mode="reflect"), *next(layers)))
    for _ in range(2):
        y = f.conv_transpose2d(x, *next(layers), stride=2, padding=1, output_padding=1)
        x = f.relu(f.instance_norm(y))
    return torch.tanh(f.conv2d(f.pad(x, [3] * 4, mode="reflect"), *next(layers)))


@pytest.mark.parametrize("dropout", [False, True])
def test_a_reference_generator_is_read_as_it_was(tmp_path: Path, dropout: bool) -> None:
    state = reference_state(9, dropout)
    torch.save(state, tmp_path / "latest_net_G_A.pth")
    network = read_generator(tmp_path / "latest_net_G_A.pth").eval()
    batch = torch.from_numpy(noise())
    with torch.inference_mode():
        torch.testing.assert_close(network(batch), reference_forward(state, batch, 9))


def test_an_imported_generator_is_not_mixed_with_others(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G_A.pth"
    torch.save(reference_state(6, dropout=False), path)
    out = tmp_path / "weights"
    out.mkdir()
    shutil.copy(weights / "photo2sketch.onnx", out / "photo2sketch-line.onnx")
    with pytest.raises(ExportError, match=r"of another run \(photo2sketch-line\.onnx\)"):
        import_generator(path, "photo2sketch", out)
    assert [each.name for each in out.iterdir()] == ["photo2sketch-line.onnx"]
    import_generator(path, "sketch2photo", out)


def test_a_reference_generator_converts_the_same(tmp_path: Path) -> None:
    state = reference_state(6, dropout=False)
    torch.save(state, tmp_path / "latest_net_G_A.pth")
    exported = import_generator(tmp_path / "latest_net_G_A.pth", "photo2sketch", tmp_path / "w")
    assert exported.max_difference < export.MAX_DIFFERENCE
    batch = noise()
    with torch.inference_mode():
        expected = reference_forward(state, torch.from_numpy(batch), 6).numpy()
    actual = Translator(tmp_path / "w").run("photo2sketch", batch)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


class Boom:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("boom"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a checkpoint", "not a file of plain weights"),
        ({"model.1.weight": torch.zeros(8, 3, 7, 7)}, "0 residual blocks"),
        ({"conv.weight": torch.zeros(8, 3, 7, 7)}, "not a ResNet generator"),
        ([1, 2], "no state dict"),
        (Boom(), "not a file of plain weights"),
    ],
)
def test_foreign_files_are_refused_in_a_sentence(
    tmp_path: Path, content: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        read_generator(path)
    assert not Path("boom").exists()
