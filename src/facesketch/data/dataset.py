"""Reads the images of a draw: decode, resize, crop, flip. One batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facesketch import images
from facesketch.config import FOLDERS, TrainConfig
from facesketch.data.augment import redraw
from facesketch.data.batch import Batch
from facesketch.data.files import ImageFolder, ImageList, Source
from facesketch.data.layout import misnamed_split, overlap, where_instead
from facesketch.data.packed import find_packed, is_pack
from facesketch.data.pairs import tolerance_at
from facesketch.data.pens import make_pens, numbers_by_style
from facesketch.data.sampler import (
    Draw,
    StepSampler,
    augmentation_rng,
    redrawing_rng,
    replacement,
    steps_per_epoch,
)
from facesketch.data.workers import start_worker, worker_context
from facesketch.errors import DataError, ImageError
from facesketch.images import Domain, Uint8Array
from facesketch.listing import holds_images, say_once

MAX_ASPECT = 4
"""Longer side that is used of an image, in units of the shorter one."""

MAX_ATTEMPTS = 20
"""Broken images met in a row for one sample before giving up."""


@dataclass(frozen=True)
class Broken:
    """An image that could not be read.

    Attributes:
        domain: Where it belongs.
        path: Its file, for people.
        reason: What is wrong, in a sentence.
        index: Its number in the domain; -1 where an older checkpoint does not say.
    """

    domain: Domain
    path: str
    reason: str
    index: int = -1


@dataclass(frozen=True)
class Loaded:
    """What came of reading the images of one step.

    Attributes:
        batch: The images; None if they could not be read.
        broken: Images that were skipped on the way.
        notes: Other difficulties on the way that people should hear of.
        error: Why there is no batch, if so. It travels as a value because a worker's exception
            arrives with its traceback in the message.
    """

    batch: Batch | None
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def pin_memory(self) -> Loaded:
        """Move to page-locked memory; the DataLoader calls this where a GPU waits."""
        pinned = None if self.batch is None else self.batch.each(Tensor.pin_memory)
        return replace(self, batch=pinned)


@dataclass(frozen=True)
class Domains:
    """The two domains of a data set."""

    photos: ImageList
    sketches: ImageList

    @property
    def fingerprint(self) -> str:
        """A hash of all relative names; the same data gives the same order of samples."""
        return f"{self.photos.fingerprint}-{self.sketches.fingerprint}"

    def folder(self, domain: Domain) -> ImageList:
        """Return the images of one domain."""
        return self.photos if domain == "photo" else self.sketches


@overload
def find_domains(config: TrainConfig, split: Literal["train"] = "train") -> Domains: ...
@overload
def find_domains(config: TrainConfig, split: Literal["val"]) -> Domains | None: ...
def find_domains(config: TrainConfig, split: Literal["train", "val"] = "train") -> Domains | None:
    """List the images that the settings name.

    Args:
        config: Settings with `data`, or `photos` and `sketches`, where the images are.
        split: "val" answers None where there is no validation split.

    Raises:
        DataError: If a folder is missing or holds no images, or a pack cannot be used.
    """
    if config.data is not None and is_pack(config.data):
        packed = find_packed(config.data, split)
        if packed is None and split == "train":
            raise DataError(f"{config.data} has no train/photos and train/sketches; pack them.")
        return None if packed is None else Domains(*packed)
    if config.data is not None:
        root = Path(config.data) / split
        both = root / "photos", root / "sketches"
        if split == "val" and not all(map(holds_images, both)):
            return None
        if not Path(config.data).is_dir():
            raise DataError(f"{config.data} is not a folder; --data wants the data set's root.")
        if not all(folder.is_dir() for folder in both) and (hint := where_instead(root.parent)):
            raise DataError(f"{config.data} has no train/photos and train/sketches. {hint}")
        if hint := misnamed_split(root.parent):
            say_once(hint)
        return Domains(*map(ImageFolder, both))
    folders = {name.replace("_", "-"): getattr(config, name) for name in FOLDERS}
    given = {name: folder for name, folder in folders.items() if folder is not None}
    if "photos" not in given:
        raise DataError("no images were named; give --data ROOT, or --photos DIR --sketches DIR.")
    if told := overlap(given):
        raise DataError(told)
    of_split = "" if split == "train" else "val-"
    if f"{of_split}photos" not in given:
        return None
    return Domains(*(ImageFolder(given[f"{of_split}{name}"]) for name in ("photos", "sketches")))


def epoch_steps(config: TrainConfig, domains: Domains) -> int:
    """Return the steps of one pass over the larger domain.

    Raises:
        DataError: If a style has no sketches.
    """
    num_sketches = sum(map(len, numbers_by_style(domains.sketches, config)))
    return steps_per_epoch(len(domains.photos), num_sketches, config.batch_size)


def load_image(
    source: Source, size: int, mode: images.Mode, *, is_draft: bool = True
) -> Image.Image:
    """Decode an image and resize it to a shorter side of `size` px.

    Of an extremely long one only the middle is taken: a strip of 1 x 1,000 px would need 300 MB.
    A draft of a large JPEG is decoded at a fraction of its size: faster, and a little sharper.
    """
    image = images.open_image(source, mode, draft_size=size if is_draft else None)
    width, height = (min(side, MAX_ASPECT * min(image.size)) for side in image.size)
    if (width, height) != image.size:
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return images.resize_cover(image, size)


class UnpairedImages(Dataset[Loaded]):
    """Indexed by the draws of one step, so that an item is a whole batch."""

    def __init__(self, domains: Domains, config: TrainConfig) -> None:
        self.domains = domains
        self.by_style = numbers_by_style(domains.sketches, config)
        self.seed = config.seed
        self.size = config.image_size
        self.load_size = max(config.image_size, round(config.image_size * config.load_scale))
        self.flip = config.flip
        self.augment_sketches = config.augment_sketches
        self.modes: dict[Domain, images.Mode] = {
            "photo": "RGB",
            "sketch": config.sketch_mode,
        }

    def __getitem__(self, draws: list[Draw]) -> Loaded:
        loaded = Loaded(None)
        photos, sketches = self.domains.photos, self.domains.sketches
        try:
            photo_files = photos.fetch([draw.photo for draw in draws], loaded.notes.append)
            sketch_files = sketches.fetch([draw.sketch for draw in draws], loaded.notes.append)
            found = zip(draws, photo_files, sketch_files, strict=True)
            samples = [self._sample(*each, loaded) for each in found]
        except DataError as error:
            return replace(loaded, error=str(error))
        photo, sketch, is_pair = zip(*samples, strict=True)
        shown = None
        if self.augment_sketches:
            rngs = [redrawing_rng(self.seed, d.number) for d in draws]
            shown = _stack([redraw(s, rng) for s, rng in zip(sketch, rngs, strict=True)])
        batch = Batch.of(
            _stack(photo),
            _stack(sketch),
            shown=shown,
            style=torch.tensor([draw.style for draw in draws]),
            is_pair=torch.tensor(is_pair, dtype=torch.float32).view(-1, 1, 1, 1),
        )
        return replace(loaded, batch=batch)

    def _sample(
        self, draw: Draw, photo_file: Source, sketch_file: Source, loaded: Loaded
    ) -> tuple[Uint8Array, Uint8Array, bool]:
        """Read and crop a photo and a sketch, uint8 (H, W) or (H, W, 3); say if they are a pair."""
        known = len(loaded.broken)
        photo = self._read("photo", draw, photo_file, loaded)
        sketch = self._read("sketch", draw, sketch_file, loaded)
        is_pair = draw.is_pair and len(loaded.broken) == known
        if is_pair:
            sketch = self._fit(sketch, photo, draw)
        photo_rng = augmentation_rng(self.seed, draw.number, "photo")
        sketch_rng = augmentation_rng(self.seed, draw.number, "photo" if is_pair else "sketch")
        return self._crop(photo, photo_rng), self._crop(sketch, sketch_rng), is_pair

    def _fit(self, sketch: Image.Image, photo: Image.Image, draw: Draw) -> Image.Image:
        """Even out what rounding has made of the sizes of a pair; refuse pairs of other shapes."""
        differences = (abs(a - b) for a, b in zip(sketch.size, photo.size, strict=True))
        if max(differences) > tolerance_at(self.load_size):
            names = self.domains.photos.label(draw.photo), self.domains.sketches.label(draw.sketch)
            raise DataError(
                f"{names[0]} and its partner {names[1]} have other shapes, so they cannot be "
                "cropped alike; make them one shape, under the same names, and pack them again if "
                "they were packed. `facesketch data check` finds all such pairs."
            )
        return sketch if sketch.size == photo.size else sketch.resize(photo.size)

    def _read(self, domain: Domain, draw: Draw, source: Source, loaded: Loaded) -> Image.Image:
        """Read one image; a broken one is replaced by another, a sketch by one of its style."""
        folder = self.domains.folder(domain)
        index = draw.photo if domain == "photo" else draw.sketch
        for attempt in range(MAX_ATTEMPTS):
            try:
                return load_image(source, self.load_size, self.modes[domain])
            except ImageError as error:
                loaded.broken.append(Broken(domain, folder.label(index), str(error), index))
                others = self.by_style[draw.style] if domain == "sketch" else range(len(folder))
                place = replacement(self.seed, draw.number, domain, attempt, len(others))
                index = int(others[place])
                (source,) = folder.fetch([index], loaded.notes.append)
        raise DataError(
            f"{MAX_ATTEMPTS} images in a row under {folder.root} cannot be read, the last one is "
            f"{loaded.broken[-1].path}; run `facesketch data check`."
        )

    def _crop(self, image: Image.Image, rng: np.random.Generator) -> Uint8Array:
        left = int(rng.integers(image.width - self.size + 1))
        top = int(rng.integers(image.height - self.size + 1))
        mirror = bool(rng.integers(2)) and self.flip
        image = image.crop((left, top, left + self.size, top + self.size))
        if mirror:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image)


def _stack(pictures: Iterable[Uint8Array]) -> Tensor:
    """Write pictures as network input (B, C, H, W), range [-1, 1]."""
    return torch.stack([torch.from_numpy(images.normalise(picture)) for picture in pictures])


def centre_picture(folder: ImageList, index: int, size: int, mode: images.Mode) -> Image.Image:
    """Read an image without augmentation, size x size px, as `facesketch evaluate` does."""
    (source,) = folder.fetch([index])
    image = load_image(source, size, mode, is_draft=False)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def centre_crop(folder: ImageList, index: int, size: int, mode: images.Mode) -> Tensor:
    """Read an image without augmentation as network input, shape (C, size, size)."""
    picture = centre_picture(folder, index, size, mode)
    return torch.from_numpy(images.normalise(np.asarray(picture)))


def whole_crops(
    folder: ImageList, numbers: Iterable[int], wanted: int, size: int, mode: images.Mode
) -> list[Tensor]:
    """Read the first `wanted` images of some that are whole, as `centre_crop` does.

    Broken ones are passed over: the training itself names and counts them.

    Raises:
        DataError: If none can be read.
    """
    result: list[Tensor] = []
    for index in numbers:
        with suppress(ImageError):
            result.append(centre_crop(folder, int(index), size, mode))
        if len(result) == wanted:
            break
    if not result:
        raise DataError(f"no image in {folder.root} can be read; run `facesketch data check`.")
    return result


def make_loader(
    domains: Domains,
    config: TrainConfig,
    *,
    num_steps: int,
    first_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin: bool = False,
) -> DataLoader[Loaded]:
    """Read one rank's share of the batches of steps `first_step` to `num_steps`, in order."""
    sampler = StepSampler(
        len(domains.photos),
        make_pens(domains.photos, domains.sketches, config),
        batch_size=config.batch_size,
        seed=config.seed,
        num_steps=num_steps,
        first_step=first_step,
        rank=rank,
        world_size=world_size,
    )
    workers = config.num_workers
    return DataLoader(
        UnpairedImages(domains, config),
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context=worker_context() if workers else None,
        worker_init_fn=start_worker,
        pin_memory=pin,
        # Its own: the loader draws a number, and torch's default generator is in the checkpoint.
        generator=torch.Generator().manual_seed(config.seed),
    )
