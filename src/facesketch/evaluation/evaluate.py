"""One evaluation from folders to results."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from facesketch import __version__
from facesketch.console import progress_bar
from facesketch.errors import UsageError
from facesketch.evaluation.distribution import MIN_FRECHET
from facesketch.evaluation.extractor import InceptionExtractor, MobileNetExtractor
from facesketch.evaluation.identity import Identity
from facesketch.evaluation.observe import MIN_PAIRS, Observed, Observer, Route
from facesketch.evaluation.pictures import PictureSet, find_pictures, pencil
from facesketch.evaluation.results import Column, Folder, Results
from facesketch.onnx_runtime import ort
from facesketch.translator import Translator
from facesketch.weights_info import DIRECTIONS, SHIPPED_WEIGHTS, WeightsInfo

PACKAGES = ("numpy", "pillow", "scikit-image", "torch", "torchmetrics")


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        weights: Folders with both generators; None stands for the shipped ones.
        photos: Folder of real photos.
        sketches: Folder of real sketches; same names as photos are taken for pairs.
        styles: Styles to draw in, each by each of the weights; None stands for their default.
        size: Side in px that all pictures are brought to.
        subset_size: Pictures in a subset of KID; each folder needs twice as many.
        limit: Take so many pictures of each folder, spread evenly; None takes all.
        identity: Measure who is found again.
        inception: File with the standard Inception weights of FID; None leaves it out.
    """

    weights: Sequence[Path | None]
    photos: Path
    sketches: Path
    styles: Sequence[str | None] = (None,)
    size: int = 256
    subset_size: int = 100
    limit: int | None = None
    identity: bool = False
    inception: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """Results, and what the sheets need."""

    results: Results
    pictures: PictureSet
    translators: dict[str, Translator]


def evaluate(request: Request, command: str) -> Evaluation:
    """Measure generators side by side, the pencil filter and the real pictures beside them.

    Args:
        request: What to evaluate.
        command: How it was called, for the record.

    Raises:
        DataError: If there are too few pictures, or one cannot be read.
        WeightsError: If a folder lacks a generator, or the Inception file is not the standard one.
        UsageError: If two sets of weights have one name, or a style is not there.
        MissingExtraError: If dlib is wanted and not installed.
        MissingPackageError: If the MobileNetV2 weights are not installed.
    """
    machine, versions = _machine(), _versions()
    identity = Identity() if request.identity else None
    translators = _open_translators(request.weights, request.styles)
    sketches = _sketches_of(request.sketches, translators)
    pictures = find_pictures(
        request.photos,
        sketches,
        size=request.size,
        limit=request.limit,
        needed=2 * request.subset_size,
    )
    mobilenet = MobileNetExtractor()
    inception = InceptionExtractor(request.inception) if request.inception else None
    num_photos, num_both = len(pictures.photos), len(pictures.photos) + len(pictures.sketches)
    with progress_bar() as progress:
        bar = progress.add_task("Evaluating", total=num_both * (1 + len(translators)) + num_photos)
        observer = Observer(
            pictures,
            mobilenet=mobilenet,
            inception=inception,
            identity=identity,
            subset_size=request.subset_size,
            advance=lambda count: progress.advance(bar, count),
        )
        real = Column(name="real images", kind="real", values=observer.observe_reals())
        columns = [
            _describe(name, translator, observer.observe_generators(translator))
            for name, translator in translators.items()
        ]
        drawn = observer.observe_route("photo", Route(lambda each: [pencil(p) for p in each], None))
    columns += [Column(name="pencil filter", kind="baseline", values=drawn.values), real]
    landmarks = observer.faces.landmarks.values()
    return Evaluation(
        Results(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            versions=versions,
            machine=machine,
            size=request.size,
            subset_size=request.subset_size,
            extractors={each.name: _sha256(each.path) for each in observer.extractors},
            photos=Folder(path=str(request.photos), num_images=len(pictures.photos)),
            sketches=Folder(path=str(sketches), num_images=len(pictures.sketches)),
            num_pairs=pictures.num_pairs,
            num_photos_without_face=sum(face is None for face in landmarks) if identity else None,
            columns=columns,
            notes=_notes(pictures, request),
        ),
        pictures,
        translators,
    )


def _open_translators(
    weights: Sequence[Path | None], styles: Sequence[str | None]
) -> dict[str, Translator]:
    """Load every generator before hours are spent on the first; name each set by its folder."""
    translators: dict[str, Translator] = {}
    for folder, style in itertools.product(weights, styles):
        name = "shipped" if folder is None else folder.resolve().name
        if style is not None:
            name = f"{name}, {style}"
        if name in translators:
            raise UsageError(
                f"two sets of weights have the name {name}; rename a folder, so that the report "
                "can tell them apart."
            )
        translators[name] = Translator(folder, style=style)
        for direction in DIRECTIONS:
            translators[name].info(direction)
    return translators


def _sketches_of(folder: Path, translators: dict[str, Translator]) -> Path:
    """Find the real sketches of a style below a folder that holds one folder for each.

    Raises:
        UsageError: If generators of several styles would be compared with all of them together.
    """
    styles = {translator.style for translator in translators.values() if translator.style}
    apart = sorted(style for style in styles if (folder / style).is_dir())
    if not apart:
        return folder
    if len(styles) > 1:
        raise UsageError(
            f"{folder} holds sketches of each style ({', '.join(apart)}), and one evaluation has "
            "one set of real sketches; give one --style at a time."
        )
    return folder / apart[0]


def _describe(name: str, translator: Translator, observed: Observed) -> Column:
    shipped = translator.weights == SHIPPED_WEIGHTS
    about: dict[str, str] = {
        direction: _about(translator.info(direction)) for direction in DIRECTIONS
    }
    if translator.style:
        about["photo2sketch"] = f"style {translator.style}, {about['photo2sketch']}"
    return Column(
        name=name,
        kind="weights",
        weights="shipped" if shipped else str(translator.weights),
        files={direction: _sha256(translator.path(direction)) for direction in DIRECTIONS},
        about=about,
        values=observed.values,
        skin_tones=observed.skin_tones,
    )


def _about(info: WeightsInfo) -> str:
    return (
        f"{info.architecture}, {info.image_size} px, step {info.step:,}, learned from "
        f"{info.training_data}"
    )


def _notes(pictures: PictureSet, request: Request) -> list[str]:
    """Say what was left out, and why."""
    notes = []
    if not pictures.num_pairs:
        notes.append("No photo and sketch have the same name, so nothing is compared in pairs.")
    elif pictures.num_pairs < MIN_PAIRS:
        notes.append(
            f"Only {pictures.num_pairs} photos and sketches have the same name; {MIN_PAIRS} pairs "
            "are needed to compare in pairs."
        )
    fewest = min(len(pictures.photos), len(pictures.sketches))
    if request.inception and fewest < MIN_FRECHET:
        notes.append(
            f"FID was left out: it needs {MIN_FRECHET:,} images in each folder, and one has "
            f"{fewest:,}; KID (Inception) has no bias and stands in its place."
        )
    if not request.identity:
        notes.append("Who is found again was not measured; --identity does.")
    return notes


def _machine() -> str:
    """Say what latency was measured on, and what else the machine had to do before."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""  # not on Windows
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {os.cpu_count()} cores{load}, torch on {threads} threads"


def _versions() -> dict[str, str]:
    """Name what measures; ONNX Runtime by itself, as its builds for GPUs are other packages."""
    own = {"facesketch": __version__, "python": platform.python_version()}
    return own | {"onnxruntime": ort.__version__} | {name: version(name) for name in PACKAGES}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
