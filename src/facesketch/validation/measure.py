"""A small fixed set of metrics, as `facesketch evaluate` computes them, on the validation split."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facesketch import images
from facesketch.config import TrainConfig
from facesketch.data.dataset import Domains, centre_picture
from facesketch.data.files import ImageList
from facesketch.data.pens import numbers_by_style
from facesketch.errors import DataError, ImageError
from facesketch.evaluation.distribution import kernel_distance
from facesketch.evaluation.extractor import MobileNetExtractor
from facesketch.evaluation.paired import mean_difference
from facesketch.evaluation.statistics import Z95
from facesketch.images import Domain
from facesketch.train_state import TrainState
from facesketch.validation.plan import MIN_IMAGES, num_images
from facesketch.validation.record import Measured
from facesketch.weights_info import DIRECTION_FROM, OPPOSITE, Direction

Pictures: TypeAlias = list[Image.Image]

_log = logging.getLogger(__name__)


class Validator:
    """Reads the validation images once, and measures averaged generators on them.

    With several styles, photos are drawn in each in turn and compared with as many sketches of
    each. Training sees none of the random numbers that are drawn here.
    """

    def __init__(self, config: TrainConfig, domains: Domains) -> None:
        """Read the images.

        Raises:
            DataError: If so many are broken that too few are left.
            WeightsError: If the extractor's weights are broken.
        """
        with torch.random.fork_rng(devices=[]):  # a network draws its weights before it reads them
            self._extractor = MobileNetExtractor()
        self._batch_size = config.batch_size // config.accumulate
        counts = num_images(config, domains)
        by_style = numbers_by_style(domains.sketches, config)
        each = counts["sketch"] // len(by_style)
        size = config.image_size
        mode = config.sketch_mode
        drawn = [_read(domains.sketches, numbers, each, size, mode) for numbers in by_style]
        everything = np.arange(len(domains.photos), dtype=np.int32)
        photos = _read(domains.photos, everything, counts["photo"], size, "RGB")
        self._pictures: dict[Domain, Pictures] = {
            "photo": photos,
            "sketch": [picture for pictures in drawn for picture in pictures],
        }
        self._styles: dict[Domain, Tensor] = {
            "photo": torch.arange(len(photos)) % len(drawn),
            "sketch": torch.tensor([n for n, pictures in enumerate(drawn) for _ in pictures]),
        }
        for domain, pictures in self._pictures.items():
            if len(pictures) < MIN_IMAGES:
                raise DataError(
                    f"{domains.folder(domain).root} has {len(pictures)} images for validation that "
                    f"can be read, and {MIN_IMAGES} are needed; run `facesketch data check`, or "
                    "leave validation out with --validate-every 0."
                )
        self._real_features: dict[Domain, Tensor] = {}

    def measure(self, state: TrainState, is_unwanted: Callable[[], bool]) -> Measured | None:
        """Measure the averaged generators.

        Args:
            state: The run; nothing in it changes.
            is_unwanted: Asked between batches; measuring ends without a result once it is true.
        """
        _log.info("Validating on %d photos and %d sketches.", *map(len, self._pictures.values()))
        found: dict[str, float] = {}
        with torch.no_grad():
            if not self._real_features:
                self._real_features = {
                    domain: torch.cat([self._extractor.features(b) for b in self._batches(domain)])
                    for domain in self._pictures
                }
            for start in self._pictures:
                sent = self._send(start, state, is_unwanted)
                if sent is None:
                    return None
                fake, found[f"cycle_{start}"] = sent
                end: Domain = "sketch" if start == "photo" else "photo"
                real = self._real_features[end]
                kid = kernel_distance(fake, real, min(len(fake), len(real)) // 2)
                found[f"kid_{end}"] = kid.value
                found[f"error_{end}"] = (kid.interval[1] - kid.value) / Z95
        return Measured(state.step, **{n: float(f"{value:.6g}") for n, value in found.items()})

    def _batches(self, domain: Domain) -> list[Pictures]:
        pictures, size = self._pictures[domain], self._batch_size
        return [pictures[first : first + size] for first in range(0, len(pictures), size)]

    def _send(
        self, start: Domain, state: TrainState, is_unwanted: Callable[[], bool]
    ) -> tuple[Tensor, float] | None:
        """Translate all images of a domain there and back.

        Returns:
            Features of what was generated, (N, D), and the mean error of the round trip.
        """
        there = DIRECTION_FROM[start]
        features, errors = [], []
        styles = torch.split(self._styles[start], self._batch_size)
        for reals, style in zip(self._batches(start), styles, strict=True):
            if is_unwanted():
                return None
            fakes = _translate(state, there, reals, style)
            recs = _translate(state, OPPOSITE[there], fakes, style)
            features.append(self._extractor.features(fakes))
            errors += [mean_difference(*pair) for pair in zip(reals, recs, strict=True)]
        return torch.cat(features), float(np.mean(errors))


def _read(
    folder: ImageList, numbers: NDArray[np.int32], wanted: int, size: int, mode: images.Mode
) -> Pictures:
    """Read the first images that can be read, up to `wanted`."""
    result: Pictures = []
    for index in numbers:
        if len(result) == wanted:
            break
        try:
            result.append(centre_picture(folder, int(index), size, mode))
        except ImageError as error:
            _log.warning("Left out of validation: %s", error)
    return result


def _translate(
    state: TrainState, direction: Direction, pictures: Pictures, style: Tensor
) -> Pictures:
    """Translate pictures of one size into pictures of 8 bits, as people get them."""
    batch = torch.stack([torch.from_numpy(images.normalise(np.asarray(p))) for p in pictures])
    styles = [state.to_device(style)] if direction == "photo2sketch" else []
    made = state.ema[direction](state.to_device(batch), *styles)  # in float32, as it is exported
    return [Image.fromarray(images.denormalise(p)) for p in made.cpu().numpy()]
