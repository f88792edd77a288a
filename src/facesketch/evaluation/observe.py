"""Pictures go through the generators a few at a time; only their figures are kept."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from facesketch.evaluation.artefacts import checkerboard_energy, mean_colour
from facesketch.evaluation.distribution import MIN_FRECHET, frechet_distance, kernel_distance
from facesketch.evaluation.extractor import Extractor, InceptionExtractor, MobileNetExtractor
from facesketch.evaluation.identity import Identity, found_first
from facesketch.evaluation.paired import compare, mean_difference
from facesketch.evaluation.pictures import PictureSet, batches, degrade
from facesketch.evaluation.results import Group
from facesketch.evaluation.skin_tone import BINS, skin_tone
from facesketch.evaluation.statistics import (
    FloatArray,
    Value,
    bootstrap,
    bootstrap_distance,
    share,
)
from facesketch.images import Domain
from facesketch.translator import Translator
from facesketch.weights_info import DIRECTION_FROM, DIRECTIONS, Direction

Pictures: TypeAlias = Sequence[Image.Image]
Translate: TypeAlias = Callable[[Pictures], Pictures]
Values: TypeAlias = dict[Group, dict[str, Value]]
Advance: TypeAlias = Callable[[int], None]

MIN_PAIRS = 30
"""Fewer say too little: their interval would not hold what it promises."""

MIN_GROUP = 10
"""Photos of one skin tone that a mean is told of: resampling fewer gives too narrow an interval."""

NUM_LATENCY_RUNS, NUM_WARM_UPS = 30, 3


@dataclass
class Look:
    """What is kept of a set of pictures: never the pictures."""

    features: defaultdict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    colours: list[FloatArray] = field(default_factory=list)
    checkerboards: list[float] = field(default_factory=list)

    def add(self, pictures: Pictures, extractors: Sequence[Extractor]) -> None:
        """Look at pictures."""
        for extractor in extractors:
            self.features[extractor.name].append(extractor.features(pictures))
        self.colours += [mean_colour(picture) for picture in pictures]
        self.checkerboards += [checkerboard_energy(picture) for picture in pictures]

    def all_features(self) -> dict[str, Tensor]:
        """Return the features of all pictures by extractor, shape (N, D)."""
        return {name: torch.cat(parts) for name, parts in self.features.items()}


@dataclass
class Faces:
    """The photos' faces; a photo without one has no embedding, and None for all else."""

    landmarks: dict[Path, Any | None] = field(default_factory=dict)
    skin_tones: dict[Path, str | None] = field(default_factory=dict)
    embeddings: list[FloatArray] = field(default_factory=list)

    @property
    def are_there(self) -> bool:
        """Whether any photo has a face."""
        return any(face is not None for face in self.landmarks.values())


@dataclass(frozen=True)
class Observed:
    """What was found.

    Attributes:
        values: By direction and round trip.
        skin_tones: Those of photos with a face, by their skin tone, where it was looked for.
    """

    values: Values
    skin_tones: dict[str, dict[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A translation and, for generators, its way back."""

    there: Translate
    back: Translate | None


class Observer:
    """Measures real pictures once, then what any number of generators makes of them."""

    def __init__(
        self,
        pictures: PictureSet,
        *,
        mobilenet: MobileNetExtractor,
        inception: InceptionExtractor | None,
        identity: Identity | None,
        subset_size: int,
        advance: Advance,
    ) -> None:
        self.pictures = pictures
        self.mobilenet = mobilenet
        self.extractors: list[Extractor] = [mobilenet, *([inception] if inception else [])]
        self.identity = identity
        self.subset_size = subset_size
        self.advance = advance
        self.reals: dict[Domain, Look] = {"photo": Look(), "sketch": Look()}
        self.faces = Faces()

    def observe_reals(self) -> Values:
        """Look at the real pictures; the values are those of one half against the other."""
        for domain, look in self.reals.items():
            for paths in batches(self.pictures.paths(domain)):
                reals = [self.pictures.read(path, domain) for path in paths]
                look.add(reals, self.extractors)
                if domain == "photo" and self.identity is not None:
                    self._find_faces(self.identity, paths, reals)
                self.advance(len(paths))
        return {
            "photo2sketch": self._real_values(self.reals["sketch"]),
            "sketch2photo": self._real_values(self.reals["photo"]),
        }

    def _find_faces(self, identity: Identity, paths: Sequence[Path], photos: Pictures) -> None:
        for path, photo in zip(paths, photos, strict=True):
            face = identity.find(photo)
            shape = None if face is None else identity.landmarks(photo, face)
            self.faces.landmarks[path] = shape
            self.faces.skin_tones[path] = None if face is None else skin_tone(photo, face)
        self.faces.embeddings.append(self._embed(identity, paths, photos))

    def _embed(self, identity: Identity, paths: Sequence[Path], made: Pictures) -> FloatArray:
        """Describe what was made of photos, those with a face, in the framing of the photos."""
        shapes = [self.faces.landmarks[path] for path in paths]
        kept = [index for index, shape in enumerate(shapes) if shape is not None]
        return identity.embed([made[i] for i in kept], [shapes[i] for i in kept])

    def _real_values(self, look: Look) -> dict[str, Value]:
        colours = np.stack(look.colours)
        halves = ({n: f[k::2] for n, f in look.all_features().items()} for k in (0, 1))
        distances = self._distances(*halves)
        distances.pop("fid", None)  # of half as many it is higher, and no measure of the others
        return distances | {
            "colour_shift": bootstrap_distance(colours[::2], colours[1::2]),
            "checkerboard": bootstrap(look.checkerboards),
        }

    def _distances(self, fakes: dict[str, Tensor], reals: dict[str, Tensor]) -> dict[str, Value]:
        """Compare two sets by the features of every extractor."""
        values = {}
        for name, fake in fakes.items():
            values[f"kid_{name}"] = kernel_distance(fake, reals[name], self.subset_size)
            enough = min(len(fake), len(reals[name])) >= MIN_FRECHET
            if name == InceptionExtractor.name and enough:
                values["fid"] = frechet_distance(fake, reals[name])
        return values

    def observe_generators(self, translator: Translator) -> Observed:
        """Measure both directions and both round trips."""

        def translate(direction: Direction) -> Translate:
            mode = "L" if direction == "photo2sketch" else "RGB"  # as real ones are read

            def translate_pictures(pictures: Pictures) -> Pictures:
                made = translator.translate(pictures, direction)
                return [each.convert(mode) for each in made]

            return translate_pictures

        there, back = (translate(direction) for direction in DIRECTIONS)
        of_photos = self.observe_route("photo", Route(there, back))
        values = of_photos.values | self.observe_route("sketch", Route(back, there)).values
        for direction in DIRECTIONS:
            values[direction]["latency"] = self._latency(translator, direction)
        return Observed(values, of_photos.skin_tones)

    def observe_route(self, start: Domain, route: Route) -> Observed:
        """Send all real pictures of one domain along a route.

        Returns:
            What was found in the direction and, where the route has a way back, the round trip.
        """
        look = Look()
        direct: defaultdict[str, list[float]] = defaultdict(list)
        cycle: defaultdict[str, list[float]] = defaultdict(list)
        embeddings: defaultdict[str, list[FloatArray]] = defaultdict(list)
        for paths in batches(self.pictures.paths(start)):
            reals = [self.pictures.read(path, start) for path in paths]
            fakes = route.there(reals)
            look.add(fakes, self.extractors)
            self._compare_pairs(start, paths, fakes, direct)
            self._embed_into(embeddings["rank1"], start, paths, fakes)
            if route.back is not None:
                recs, degraded = route.back(fakes), route.back([degrade(f) for f in fakes])
                _observe_cycle(cycle, reals, recs, degraded)
                self._embed_into(embeddings["rank1_degraded"], start, paths, degraded)
            self.advance(len(paths))
        return self._values(start, look, direct, cycle, embeddings)

    def _compare_pairs(
        self, start: Domain, paths: Sequence[Path], fakes: Pictures, into: dict[str, list[float]]
    ) -> None:
        if self.pictures.num_pairs < MIN_PAIRS:
            return
        partners = [self.pictures.partner(path, start) for path in paths]
        pairs = [(f, real) for f, real in zip(fakes, partners, strict=True) if real is not None]
        if pairs:
            found = compare([f for f, _ in pairs], [real for _, real in pairs], self.mobilenet)
            for name, values in found.items():
                into[name] += values

    def _embed_into(
        self, into: list[FloatArray], start: Domain, paths: Sequence[Path], made: Pictures
    ) -> None:
        if start == "photo" and self.identity is not None and self.faces.are_there:
            into.append(self._embed(self.identity, paths, made))

    def _values(
        self,
        start: Domain,
        look: Look,
        direct: dict[str, list[float]],
        cycle: dict[str, list[float]],
        embeddings: dict[str, list[FloatArray]],
    ) -> Observed:
        real = self.reals["sketch" if start == "photo" else "photo"]
        colours = np.stack(look.colours)
        hits: dict[str, npt.NDArray[np.bool_]] = {}
        for name, found in embeddings.items():
            if found:
                gallery = np.concatenate(self.faces.embeddings)
                hits[name] = found_first(np.concatenate(found), gallery)
        ranks = {name: share(found) for name, found in hits.items()}
        straight = self._distances(look.all_features(), real.all_features())
        straight |= {name: bootstrap(values) for name, values in direct.items()}
        straight |= {name: value for name, value in ranks.items() if name == "rank1"}
        straight["colour_shift"] = bootstrap_distance(colours, np.stack(real.colours))
        straight["checkerboard"] = bootstrap(look.checkerboards)
        group: Group = DIRECTION_FROM[start]
        values: Values = {group: straight}
        if cycle:
            trip = {name: bootstrap(samples) for name, samples in cycle.items()}
            trip |= {name: value for name, value in ranks.items() if name != "rank1"}
            values["cycle_photo" if start == "photo" else "cycle_sketch"] = trip
        return Observed(values, self._by_skin_tone(hits, cycle) if hits else {})

    def _by_skin_tone(
        self, hits: dict[str, npt.NDArray[np.bool_]], cycle: dict[str, list[float]]
    ) -> dict[str, dict[str, Value]]:
        """Split what was measured of photos with a face by their skin tone."""
        tones = np.array([self.faces.skin_tones[p] for p in self.pictures.paths("photo")])
        has_face = np.array([tone is not None for tone in tones])
        values = {}
        for tone in BINS:
            chosen = tones == tone
            if chosen.any():
                shares = {name: share(found[chosen[has_face]]) for name, found in hits.items()}
                enough = cycle if chosen.sum() >= MIN_GROUP else {}
                means = {n: bootstrap(np.array(v)[chosen]) for n, v in enough.items()}
                values[tone] = shares | means
        return values

    def _latency(self, translator: Translator, direction: Direction) -> Value:
        """Time one picture at a time on one thread."""
        start: Domain = "photo" if direction == "photo2sketch" else "sketch"
        picture = self.pictures.read(self.pictures.paths(start)[0], start)
        single = Translator(translator.weights, style=translator.style, num_threads=1)
        times = []
        for _ in range(NUM_WARM_UPS + NUM_LATENCY_RUNS):
            began = time.perf_counter()
            single.translate([picture], direction)
            times.append(1000 * (time.perf_counter() - began))
        return bootstrap(times[NUM_WARM_UPS:], "median")


def _observe_cycle(
    into: dict[str, list[float]], reals: Pictures, recs: Pictures, degraded: Pictures
) -> None:
    for real, rec, rough in zip(reals, recs, degraded, strict=True):
        into["cycle_error"].append(mean_difference(real, rec))
        into["cycle_error_degraded"].append(mean_difference(real, rough))
        shift = np.linalg.norm(mean_colour(real) - mean_colour(rec))
        into["colour_shift"].append(float(shift))
