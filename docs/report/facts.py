"""What the paper says of networks, settings and data, read from the code that has them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facesketch.config import TrainConfig, build_config, fields
from facesketch.data.download import PERSON_FACE_SKETCHES
from facesketch.models import CompactGenerator, PatchDiscriminator, generator
from facesketch.models.layers import fold
from facesketch.settings import load_toml
from facesketch.train_state import learning_rate_factor
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS, file_name, int8_path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "generators"
SIDE = 256
"""Side of the pictures that shapes and MACs are told for."""

STRIP = 16
"""Height of the strip that shows how far a generator looks; a multiple of its `size_multiple`."""

TOLD = (
    "generator",
    "sketch_channels",
    "disc_filters",
    "image_size",
    "load_scale",
    "flip",
    "batch_size",
    "epochs",
    "learning_rate",
    "beta1",
    "beta2",
    "decay_start",
    "ema_decay",
    "pool_size",
    "lambda_cycle",
    "lambda_identity",
)
"""Settings that a paper has to tell."""

NOT_LEARNING = {"data", "training_data", "licence", "num_workers", "sample_every"} | {
    "checkpoint_every",
    "keep_checkpoints",
    "teacher",  # its weight says what it counts
}
"""Settings of a recipe that say nothing of how it learns."""

STAGES = {
    "stem": "stem",
    "down1": "down 1",
    "enc1": "block",
    "down2": "down 2",
    "enc2": "block",
    "down3": "down 3",
    "middle1": "block",
    "middle2": "block",
    "up3": "up 3",
    "dec2": "block",
    "up2": "up 2",
    "dec1": "block",
    "up1": "up 1",
    "dec0": "block",
    "up0": "up 0",
    "head": "head",
}
"""Children of the compact generator in their order, and what the figure calls them."""


@cache
def gather() -> dict[str, Any]:
    """Return all facts, ready for JSON."""
    return {
        "side": SIDE,
        "networks": networks(),
        "compact": compact_stages(),
        "patch": patch_layers(),
        "reach": {"compact": reach(CompactGenerator(3, 1), 320)},
        "settings": settings(),
        "stages": recipe_stages(),
        "person_face_sketches": dict(PERSON_FACE_SKETCHES.num_pairs),
        "weights": [
            {"file": path.name, "mb": path.stat().st_size / 1e6} for path in shipped_files()
        ],
        "styles": list(available_styles(SHIPPED_WEIGHTS)),
    }


def shipped_files() -> list[Path]:
    """The shipped generators, in the order of their styles."""
    names = [file_name("photo2sketch", style) for style in available_styles(SHIPPED_WEIGHTS)]
    found = [SHIPPED_WEIGHTS / name for name in (*names, file_name("sketch2photo"))]
    variants = [int8_path(path) for path in found]
    return found + [path for path in variants if path.exists()]


def networks() -> list[dict[str, Any]]:
    """Parameters and multiply-accumulates of every network at 256 px."""
    with torch.device("meta"):
        built: dict[str, nn.Module] = {
            "`compact` generator (3 → 1 channels)": generator("compact", 3, 1),
            "`resnet6` generator (3 → 3)": generator("resnet6", 3, 3),
            "`resnet9` generator (3 → 3)": generator("resnet9", 3, 3),
            "70x70 PatchGAN, 32 filters": PatchDiscriminator(3, 32),
            "70x70 PatchGAN, 64 filters": PatchDiscriminator(3, 64),
        }
    return [
        {"name": name, "parameters": _num_parameters(network), "macs": macs(network)}
        for name, network in built.items()
    ]


def macs(network: nn.Module) -> int:
    """Multiply-accumulates of all convolutions for one photo of 256 px."""
    return sum(_watch(network)[0].values())


def compact_stages() -> list[dict[str, Any]]:
    """Shape, MACs and parameters of each stage of the compact generator, photo to sketch."""
    with torch.device("meta"):
        network, in_styles = CompactGenerator(3, 1), CompactGenerator(3, 1, num_styles=2)
    by_layer, shapes = _watch(network)
    stages = []
    for name, label in STAGES.items():
        part = network.get_submodule(name)
        _, channels, height, width = shapes[name]
        stages.append(
            {
                "name": name,
                "label": label,
                "styled": any(
                    "style" in n for n, _ in in_styles.get_submodule(name).named_parameters()
                ),
                "shape": [channels, height, width],
                "macs": sum(
                    n for layer, n in by_layer.items() if f"{layer}.".startswith(f"{name}.")
                ),
                "parameters": _num_parameters(part),
            }
        )
    if [stage["name"] for stage in stages] != [name for name, _ in network.named_children()]:
        raise ValueError("the compact generator has other parts than the figure draws")
    return stages


def patch_layers() -> list[dict[str, Any]]:
    """Layer by layer, how many pixels of the picture one value of the discriminator sees."""
    layers, seen, jump = [], 1, 1
    for layer in PatchDiscriminator(3).modules():
        if isinstance(layer, nn.Conv2d):
            seen += (layer.kernel_size[0] - 1) * jump
            jump *= layer.stride[0]
            layers.append({"channels": layer.out_channels, "stride": layer.stride[0], "seen": seen})
    return layers


def reach(network: nn.Module, side: int) -> int:
    """Side of the square of input pixels that one output pixel depends on, found by gradients."""
    network = fold(network).double()
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1e-3)
    # a strip: a column depends on as many others in a picture of any height
    picture = torch.ones(1, 3, STRIP, side, dtype=torch.float64, requires_grad=True)
    network(picture)[0, 0, STRIP // 2, side // 2].backward()
    assert picture.grad is not None
    columns = (picture.grad[0, 0] != 0).any(dim=0).nonzero()
    found = int(columns.max() - columns.min()) + 1
    if found >= side:
        raise ValueError(f"{side} px are too few to see how far the network looks")
    return found


def settings() -> list[dict[str, str]]:
    """The settings that are told, with their values in the presets `compact` and `paper`."""
    presets = {name: build_config(name) for name in ("compact", "paper")}
    return [
        {
            "name": name,
            "help": (fields()[name].description or "").split(";")[0].rstrip("."),
            **{preset: _shown(getattr(config, name)) for preset, config in presets.items()},
        }
        for name in TOLD
    ]


def all_settings() -> list[dict[str, str]]:
    """Every setting with its default."""
    config = build_config("compact")
    return [
        {
            "name": name,
            "help": (field.description or "").rstrip("."),
            "value": _shown(getattr(config, name)),
        }
        for name, field in fields().items()
    ]


def recipe_stages() -> list[dict[str, Any]]:
    """The stages behind the shipped weights, as their files have them."""
    stages = []
    for name, config in recipe().items():
        assert config.steps is not None  # the files of the recipe have it
        stages.append(
            {
                "name": name,
                "size": config.image_size,
                "batch": config.batch_size,
                "steps": config.steps,
                "images": config.steps * config.batch_size,
                "decay_start": config.decay_start,
                "schedule": schedule(config.steps, config.decay_start, config.learning_rate),
            }
        )
    return stages


def recipe() -> dict[str, TrainConfig]:
    """All settings of each stage behind the shipped weights, by its name."""
    found = {}
    for path in sorted(RECIPE.glob("stage*.toml"), key=lambda path: int(path.stem[len("stage") :])):
        settings = load_toml(path)
        found[path.stem] = build_config(settings.pop("preset", "compact"), settings)
    return found


def recipe_settings() -> list[dict[str, str]]:
    """What the stages set that the preset does not have so."""
    preset = _without_idle_weights(build_config("compact"))
    stages = {stage: _without_idle_weights(config) for stage, config in recipe().items()}
    return [
        {"name": name, "preset": _shown(getattr(preset, name))}
        | {stage: _shown(getattr(config, name)) for stage, config in stages.items()}
        for name in fields()
        if name not in NOT_LEARNING
        and any(getattr(config, name) != getattr(preset, name) for config in stages.values())
    ]


def _without_idle_weights(config: TrainConfig) -> TrainConfig:
    """Return the settings with a weight of 0 where there is no teacher to imitate."""
    return config if config.teacher else config.model_copy(update={"lambda_teacher": 0.0})


def schedule(steps: int, decay_start: float, rate: float) -> list[list[float]]:
    """Learning rate over a run: points of step and rate."""
    shares = sorted({0.0, decay_start, 1.0} | {i / 20 for i in range(21)})
    return [
        [
            share * steps,
            rate * learning_rate_factor(min(round(share * steps), steps - 1), steps, decay_start),
        ]
        for share in shares
    ]


def _watch(network: nn.Module) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Return MACs of each convolution and the output shape of each part; nothing is computed."""
    by_layer: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Any:
        def note(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
            shapes[name] = tuple(result.shape)
            if isinstance(module, nn.ConvTranspose2d):
                by_layer[name] = given[0][0, 0].numel() * module.weight.numel()
            elif isinstance(module, nn.Conv2d):
                by_layer[name] = result[0, 0].numel() * module.weight.numel()

        return note

    hooks = [part.register_forward_hook(hook(name)) for name, part in network.named_modules()]
    with torch.no_grad():
        network.to("meta")(torch.zeros(1, 3, SIDE, SIDE, device="meta"))
    for handle in hooks:
        handle.remove()
    return by_layer, shapes


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _shown(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
    return str(value).replace(",", ", ")
