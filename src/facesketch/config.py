"""Training settings: one frozen, validated model, and the presets. Never imports torch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from facesketch.addresses import Address, absolute
from facesketch.errors import ConfigError
from facesketch.settings import explain, setting
from facesketch.weights_info import STYLE_NAME

GeneratorName = Literal["compact", "resnet6", "resnet9"]
MAX_BROKEN_SHARE = 0.01
"""Share of broken images in a domain above which training stops, if they are more than a few."""

FEW_BROKEN = 3
"""So many broken images never stop it, however small the domain."""


def max_broken(num_images: int) -> int:
    """Return how many images of a domain may be broken before training stops."""
    return max(FEW_BROKEN, int(MAX_BROKEN_SHARE * num_images))


FOLDERS = ("photos", "sketches", "val_photos", "val_sketches")
"""What names two plain folders of images, and two more to validate on, instead of `data`."""


class TrainConfig(BaseModel):
    """Everything a training run can be told. The defaults are the `compact` preset.

    A run needs either `data`, or `photos` and `sketches`, with or without two to validate on.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    # Data
    data: Address | None = setting(
        None, "Data", "folder", "Data set with {train,val}/{photos,sketches} inside, or a pack.",
        resume=True,
    )  # fmt: skip
    photos: Path | None = setting(
        None, "Data", "folder", "Photos, any image type, instead of --data.", resume=True
    )
    sketches: Path | None = setting(
        None, "Data", "folder", "Sketches, unpaired, any number, instead of --data.", resume=True
    )
    val_photos: Path | None = setting(
        None, "Data", "folder", "Photos set aside to validate on, beside --photos.", resume=True
    )
    val_sketches: Path | None = setting(
        None, "Data", "folder", "Sketches set aside to validate on, beside --sketches.",
        resume=True,
    )  # fmt: skip
    training_data: str = setting(
        "", "Data", "", "What exported files say it learned from.", resume=True
    )
    licence: str = setting(
        "not stated", "Data", "", "Licence of the trained weights, written into exported files.",
        resume=True,
    )  # fmt: skip
    image_size: int = setting(256, "Data", "px", "Height and width of training crops.", ge=32)
    load_scale: float = setting(
        1.117,
        "Data",
        "x image_size",
        "Shorter side that images are resized to before the random crop.",
        ge=1.0,
        le=4.0,
    )
    flip: bool = setting(True, "Data", "", "Mirror half of the images.")
    augment_sketches: bool = setting(
        False,
        "Data",
        "",
        "Show sketch2photo sketches in other strokes, tones and papers; the clean ones are judged "
        "and asked back.",
    )
    styles: str = setting(
        "",
        "Data",
        "",
        "Styles of drawing to learn, commas between: folders of that name among the sketches. The "
        "first is the default; who is named twice is drawn twice as often.",
    )
    num_workers: int = setting(
        2, "Data", "processes", "Processes that read images; 0 reads in the trainer.",
        ge=0, resume=True,
    )  # fmt: skip

    # Model
    generator: GeneratorName = setting("compact", "Model", "", "Architecture of both generators.")
    upsample: Literal["transpose", "resize"] = setting(
        "resize",
        "Model",
        "",
        "How ResNet generators upsample: the paper's transposed convolution, or resize and "
        "convolve against checkerboards (compact always resizes).",
    )
    sketch_channels: Literal[1, 3] = setting(
        1, "Model", "channels", "1 treats sketches as grayscale, 3 as the paper does."
    )
    clean_paper: float = setting(
        0.0, "Model", "share of black",
        "Ink in sketches that is lighter becomes paper (compact alone); 0 leaves all.",
        ge=0, le=0.5,
    )  # fmt: skip
    discriminator: Literal["patch", "projected"] = setting(
        "patch",
        "Model",
        "",
        "patch: 70x70 PatchGANs; projected: heads on what a small frozen classifier sees.",
    )
    disc_filters: int = setting(
        32, "Model", "filters", "Filters in the first layer of patch discriminators.", ge=4
    )

    # Losses
    lambda_cycle: float = setting(10.0, "Losses", "weight", "Cycle consistency.", ge=0)
    lambda_identity: float = setting(
        0.0, "Losses", "weight", "Identity, 0 for none; the paper's 0.5 x lambda_cycle is 5.", ge=0
    )
    lambda_paired: float = setting(
        0.0,
        "Losses",
        "weight",
        "L1 to partners of the same name, which half of the sketches drawn then come with.",
        ge=0,
    )
    lambda_structure: float = setting(
        0.0,
        "Losses",
        "weight",
        "Sketches follow the fine light and shade of their photos, which keeps the person.",
        ge=0,
    )
    lambda_features: float = setting(
        0.0,
        "Losses",
        "weight",
        "Photos that come back, and pairs, look to a small classifier like the real ones.",
        ge=0,
    )
    lambda_nce: float = setting(
        0.0,
        "Losses",
        "weight",
        "Patches of a sketch know their place in the photo, as in CUT; 1 as there.",
        ge=0,
    )
    teacher: Path | None = setting(
        None, "Losses", "folder", "A run whose generators are imitated too (distillation).",
        resume=True,
    )  # fmt: skip
    lambda_teacher: float = setting(
        10.0, "Losses", "weight", "L1 to what the teacher makes, where there is one.", ge=0
    )
    lambda_r1: float = setting(
        0.0,
        "Losses",
        "weight",
        "R1 gradient penalty of the discriminators; 0.01 is mild, 0.1 strong.",
        ge=0,
    )
    r1_every: int = setting(
        16, "Losses", "steps", "How often R1 is computed, with a weight as many times as high.",
        ge=1,
    )  # fmt: skip
    cycle_noise: float = setting(
        0.0, "Losses", "of the range -1 to 1",
        "Standard deviation of noise on generated images that go back, so that they hide nothing.",
        ge=0, le=1,
    )  # fmt: skip
    cycle_blur: float = setting(
        0.0, "Losses", "px",
        "Largest standard deviation of a random blur on generated images that go back, likewise.",
        ge=0, le=8,
    )  # fmt: skip
    diff_augment: str = setting(
        "",
        "Losses",
        "",
        "Changes to all that discriminators see: some of color,translation,cutout.",
    )
    pool_size: int = setting(
        50, "Losses", "images", "History of generated images shown to each discriminator.", ge=0
    )

    # Optimisation
    epochs: int = setting(
        60, "Optimisation", "epochs", "Each has as many samples as the larger domain.",
        ge=1, resume=True,
    )  # fmt: skip
    steps: int | None = setting(
        None, "Optimisation", "steps", "Optimizer steps in all; replaces epochs.",
        ge=1, resume=True,
    )  # fmt: skip
    decay_start: float = setting(
        0.5,
        "Optimisation",
        "of all steps",
        "When the learning rate starts to fall linearly to zero.",
        ge=0,
        le=1,
    )
    batch_size: int = setting(
        4, "Optimisation", "images", "Photos, and as many sketches, per optimizer step.", ge=1
    )
    accumulate: int = setting(
        1,
        "Optimisation",
        "parts",
        "Split each batch into this many parts to save memory; the result is the same.",
        ge=1,
        resume=True,
    )
    learning_rate: float = setting(2e-4, "Optimisation", "", "Adam's learning rate.", gt=0)
    disc_learning_rate: float | None = setting(
        None, "Optimisation", "", "Adam's learning rate for discriminators; default the same.", gt=0
    )
    beta1: float = setting(0.5, "Optimisation", "", "Adam's first moment decay.", ge=0, lt=1)
    beta2: float = setting(0.999, "Optimisation", "", "Adam's second moment decay.", ge=0, lt=1)
    ema_decay: float = setting(
        0.999,
        "Optimisation",
        "per step",
        "Decay of the running average of the generators that is exported.",
        ge=0,
        lt=1,
    )
    seed: int = setting(0, "Optimisation", "", "Start of every random choice.", ge=0, le=2**32 - 1)

    # Hardware
    device: Annotated[
        str,
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
        Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"),
    ] = setting("auto", "Hardware", "", "auto, cpu, cuda, cuda:N or mps.", resume=True)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "Hardware",
        "",
        "Arithmetic of the networks; auto takes bfloat16 where the hardware gains by it.",
    )
    compile: bool = setting(
        False,
        "Hardware",
        "",
        "Compile the networks with torch.compile, for GPUs: minutes at the start, and on a CPU "
        "steps were slower.",
        resume=True,
    )

    # Run
    out: Path | None = setting(
        None, "Run", "folder", "Where the run is written; default runs/DATE-TIME.", resume=True
    )
    init_from: Path | None = setting(
        None,
        "Run",
        "folder",
        "Start from an export, from another run, or from shipped, the generators that come along.",
    )
    max_minutes: float | None = setting(
        None, "Run", "minutes",
        "Stop cleanly, with a checkpoint, after this time; --resume does not inherit it.",
        gt=0, resume=True,
    )  # fmt: skip
    checkpoint_every: int = setting(
        500, "Run", "steps", "How often a checkpoint is written; it is every 10 minutes, too.",
        ge=1, resume=True,
    )  # fmt: skip
    keep_checkpoints: int = setting(
        3, "Run", "files", "How many checkpoints are kept.", ge=2, resume=True
    )
    validate_every: float = setting(
        1.0,
        "Run",
        "epochs",
        "How often KID and cycle errors are measured on the validation split, and the best weights "
        "kept; 0 for never.",
        ge=0,
        resume=True,
    )
    sample_every: int = setting(
        500, "Run", "steps", "How often a grid of pictures is written.", ge=1, resume=True
    )
    log_every: int = setting(
        10, "Run", "steps", "How often losses are written to the logs.", ge=1, resume=True
    )

    @field_validator("data", *FOLDERS, "teacher", "out", "init_from", mode="before")
    @classmethod
    def _expand_home(cls, path: object) -> object:
        # A shell does it on the command line; in a file nobody else would.
        return os.path.expanduser(path) if isinstance(path, str) else path  # noqa: PTH111

    @field_validator("data", *FOLDERS, "teacher", "out", "init_from")
    @classmethod
    def _check_name(cls, path: Path | str | None) -> Path | str | None:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise ValueError("is not valid UTF-8, so cannot be stored; rename it") from None
        return path

    @field_validator("diff_augment")
    @classmethod
    def _check_policy(cls, policy: str) -> str:
        parts = policy.split(",") if policy else []
        if not {*parts} <= {"color", "translation", "cutout"} or len({*parts}) < len(parts):
            raise ValueError("must be some of color, translation, cutout with commas between")
        return policy

    @field_validator("styles")
    @classmethod
    def _check_styles(cls, styles: str) -> str:
        names = styles.split(",") if styles else []
        if not all(re.fullmatch(STYLE_NAME, name) for name in names):
            raise ValueError(
                "must be names of folders with commas between, in a-z, 0-9 and _, for instance "
                "line,hatch"
            )
        return styles

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.data is not None and (self.photos is not None or self.sketches is not None):
            raise ValueError("give either data, or photos and sketches, not both")
        for photos, sketches in (FOLDERS[:2], FOLDERS[2:]):
            if (getattr(self, photos) is None) != (getattr(self, sketches) is None):
                raise ValueError(f"{photos} and {sketches} go together; one of them is missing")
        if self.val_photos is not None and self.photos is None:
            raise ValueError("val_photos wants photos and sketches to train on; data has its own")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate {self.accumulate} must divide batch_size {self.batch_size}"
            )
        if len(self.style_names) > 1 and self.generator != "compact":
            raise ValueError(f"generator {self.generator} has one style; several need compact")
        if self.clean_paper and self.generator != "compact":
            raise ValueError(f"generator {self.generator} has no clean_paper; compact has")
        multiple = 16 if self.generator == "compact" else 4
        if self.image_size % multiple:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of {multiple} "
                f"for the generator {self.generator}"
            )
        return self

    def from_anywhere(self) -> Self:
        """Return the same settings with absolute folders to read, for any working folder."""
        folders = {name: getattr(self, name) for name in ("data", *FOLDERS, "teacher")}
        known = {name: absolute(path) for name, path in folders.items() if path is not None}
        return self.model_copy(update=known)

    @property
    def style_names(self) -> tuple[str, ...]:
        """The styles that are learned, default first; one without a name if none is named."""
        return tuple(dict.fromkeys(self.styles.split(",")))

    @property
    def sketch_mode(self) -> Literal["L", "RGB"]:
        """How sketches are read."""
        return "L" if self.sketch_channels == 1 else "RGB"

    @property
    def style_turns(self) -> tuple[int, ...]:
        """Number of the style of each turn to draw, in the order of `styles`."""
        return tuple(self.style_names.index(name) for name in self.styles.split(","))

    @property
    def diff_augment_policy(self) -> frozenset[str]:
        """The parts of `diff_augment`."""
        return frozenset(self.diff_augment.split(",")) - {""}

    def has_data(self) -> bool:
        """Say whether it is known where the images are."""
        return self.data is not None or self.photos is not None


PRESETS: dict[str, dict[str, object]] = {
    "compact": {},
    # Zhu et al. 2017, section 4 and appendix: ResNet-9, 256 px, batch 1, 100 + 100 epochs.
    "paper": {
        "generator": "resnet9",
        "upsample": "transpose",
        "sketch_channels": 3,
        "disc_filters": 64,
        "lambda_identity": 5.0,
        "epochs": 200,
        "batch_size": 1,
        "load_scale": 286 / 256,
    },
    "small": {"image_size": 128, "epochs": 40, "batch_size": 8},
}
"""Named starting points; `compact` is the default."""


ONE_CALL = frozenset({"out", "init_from", "max_minutes"})
"""Settings that belong to one call, not to what comes after it."""

_REPLACES = {
    "epochs": ("steps",),
    "data": FOLDERS,
    "photos": ("data",),
    "sketches": ("data",),
}
"""What a setting replaces when a later layer gives it: --epochs 9 beats `steps` in a file."""


def fields() -> dict[str, FieldInfo]:
    """Return the settings by name, in the order of the help."""
    return dict(TrainConfig.model_fields)


def field_extra(name: str) -> dict[str, Any]:
    """Return `group`, `unit` and `resume` of one setting."""
    extra = TrainConfig.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101  # setting() always writes one
    return extra


def preset_settings(name: str) -> dict[str, Any]:
    """Return what a preset says, by setting.

    Raises:
        ConfigError: If there is no such preset.
    """
    if name not in list(PRESETS):  # a list, as a TOML file may hold what has no hash
        raise ConfigError(f"preset {name!r} is unknown; choose from {', '.join(PRESETS)}.")
    return dict(PRESETS[name])


def build_config(preset: str, *layers: dict[str, Any]) -> TrainConfig:
    """Lay settings over a preset, later layers first in line.

    Args:
        preset: Name in `PRESETS`.
        *layers: Settings by name; a later layer wins.

    Raises:
        ConfigError: If a name is unknown or a value is out of range; the text names the field.
    """
    values = preset_settings(preset)
    for layer in layers:
        for name in layer:
            for other in _REPLACES.get(name, ()):
                if other not in layer:
                    values.pop(other, None)
        values.update(layer)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, TrainConfig, "facesketch train")) from error
