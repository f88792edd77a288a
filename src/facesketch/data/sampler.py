"""Which images come in which step: a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from facesketch.images import Domain

_STREAM = {
    "photo": 1,
    "sketch": 2,
    "replacement": 3,
    "augmentation": 4,
    "redrawing": 5,
    "disturbance": 6,
}


@dataclass(frozen=True)
class Draw:
    """One sample.

    Attributes:
        number: Its place in the endless sequence.
        photo: Number of its photo.
        sketch: Number of its sketch.
        style: Number of the sketch's style.
        is_pair: Whether the two show the same face.
    """

    number: int
    photo: int
    sketch: int
    style: int = 0
    is_pair: bool = False


@dataclass(frozen=True)
class Pen:
    """The sketches of one style, by number, and which photo each was drawn from.

    Attributes:
        style: Number of the style.
        sketches: Shape (N,).
        photos: Number of each one's photo, -1 where there is none; None where nobody asks.
    """

    style: int
    sketches: npt.NDArray[np.int32]
    photos: npt.NDArray[np.int32] | None = None


class Shuffle:
    """An endless shuffled sequence over `size` items, reshuffled after each pass."""

    def __init__(self, size: int, seed: int, domain: Domain, turn: int = 0) -> None:
        self.size = size
        self._seed, self._stream, self._turn = seed, _STREAM[domain], turn
        self._pass = -1
        self._order = np.empty(0, dtype=np.uint32)

    def __getitem__(self, number: int) -> int:
        """Return the item at a place of the sequence."""
        which, place = divmod(number, self.size)
        if which != self._pass:
            key = (self._seed, self._stream, which, self._turn)
            order = np.random.default_rng(key).permutation(self.size)
            self._order, self._pass = order.astype(np.uint32), which
        return int(self._order[place])


class StepSampler(Sampler[list[Draw]]):
    """Yields the draws of one step after the other, from `first_step` up to `num_steps`.

    Sample n of the whole training takes place n of each domain's shuffled sequence, so that an
    epoch is one pass over the larger domain while the smaller one is reshuffled as often as that
    takes. (With several pens, or pairs, it has as many samples, some of them more than once.)
    Step s holds the samples s * batch_size up to (s + 1) * batch_size; of these, process `rank` of
    `world_size` gets its contiguous share.

    Pens take turns from sample to sample, each going through its own sketches. Every second sketch
    of a pen brings the photo that it was drawn from, where that is known; the others stay unpaired.
    """

    def __init__(
        self,
        num_photos: int,
        pens: Sequence[Pen],
        *,
        batch_size: int,
        seed: int,
        num_steps: int,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of {world_size} processes"
            )
        self.photos = Shuffle(num_photos, seed, "photo")
        self.pens = pens
        self.turns = [
            Shuffle(len(pen.sketches), seed, "sketch", turn) for turn, pen in enumerate(pens)
        ]
        self.batch_size = batch_size
        self.steps = range(first_step, num_steps)
        share = batch_size // world_size
        self.places = range(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in self.steps:
            numbers = (step * self.batch_size + place for place in self.places)
            yield [self._draw(number) for number in numbers]

    def _draw(self, number: int) -> Draw:
        count, turn = divmod(number, len(self.pens))
        pen = self.pens[turn]
        place = self.turns[turn][count]
        sketch = int(pen.sketches[place])
        partner = -1 if pen.photos is None or count % 2 else int(pen.photos[place])
        if partner >= 0:
            return Draw(number, partner, sketch, pen.style, is_pair=True)
        return Draw(number, self.photos[number], sketch, pen.style)


def augmentation_rng(seed: int, number: int, domain: Domain) -> np.random.Generator:
    """Return the source of every random choice made for one image of one sample."""
    return np.random.default_rng((seed, _STREAM["augmentation"], _STREAM[domain], number))


def redrawing_rng(seed: int, number: int) -> np.random.Generator:
    """Return the source of every random choice made in redrawing the sketch of one sample."""
    return np.random.default_rng((seed, _STREAM["redrawing"], number))


def disturbance_seeds(seed: int, number: int) -> tuple[int, int, int]:
    """Return three seeds of what is random about one sample within a step, 32 bits each."""
    key = (seed, _STREAM["disturbance"], number)
    first, second, third = np.random.SeedSequence(key).generate_state(3).tolist()
    return first, second, third


def replacement(seed: int, number: int, domain: Domain, attempt: int, size: int) -> int:
    """Return the image to take where the drawn one is broken."""
    key = (seed, _STREAM["replacement"], _STREAM[domain], number, attempt)
    return int(np.random.default_rng(key).integers(size))


def steps_per_epoch(num_photos: int, num_sketches: int, batch_size: int) -> int:
    """Return the steps of one pass over the larger domain, rounded up."""
    return -(-max(num_photos, num_sketches) // batch_size)
