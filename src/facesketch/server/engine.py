"""What the server converts with: the generators, the classifier, and the queue before them.

On a CPU one picture alone is converted by all threads together, several by one thread each: so
both the wait and the throughput are best. Larger batches save no time there, so none are gathered
(benchmarks/serving.py measures both).
"""

from __future__ import annotations

import gc
import hashlib
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypedDict, TypeVar

from PIL import Image

from facesketch import images
from facesketch.allocator import return_freed_memory, return_large_memory
from facesketch.decoding import limit_texts
from facesketch.domain import DomainClassifier, DomainGuess
from facesketch.errors import ImageTooLargeError, UsageError
from facesketch.framing import (
    MAX_PORTRAIT,
    Found,
    Framed,
    open_and_find,
    translate_back,
    translate_faces,
    translate_found,
)
from facesketch.images import Float32Array
from facesketch.server.config import ServerConfig
from facesketch.server.options import (
    MAX_ANSWER_PIXELS,
    MAX_RESULT_PIXELS,
    MAX_SIZE,
    ConvertOptions,
    Format,
)
from facesketch.server.turnstile import ClientGoneError, OverloadedError, Ticket, Turnstile
from facesketch.translator import Translator, result_size
from facesketch.weights_info import DIRECTION_FROM, DIRECTIONS, OPPOSITE, Direction

T = TypeVar("T")

SPARE_TURNS = 2
"""So many more than there are threads have a turn: they decode and encode while others are in the
network. On two cores two give 4% more pictures than none."""

MAX_SIDE = 32_768
"""Longest side of a picture that is taken, px."""

LARGE_PIXELS = 8_000_000
"""Requests with a larger picture, or larger results together, are converted one at a time, so that
memory is bounded."""

MAX_UNTAKEN_BYTES = 400_000_000
"""Nothing is converted while results of more bytes wait for their clients to take them."""

IMAGE_FORMATS: dict[Format, Literal["PNG", "JPEG", "WEBP"]] = {
    "png": "PNG",
    "jpeg": "JPEG",
    "webp": "WEBP",
}
"""Names of file types in requests, and Pillow's."""


RELEASE_AFTER_S = 10.0
"""Seconds after a conversion until memory is handed back to the system; others may come between."""


class _Limits(TypedDict):
    """What an upload may be."""

    max_pixels: int
    formats: Sequence[str]


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture of an answer.

    Attributes:
        media_type: For instance "image/png".
        width: Pixels.
        height: Pixels.
        data: The encoded file.
    """

    media_type: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of one picture.

    Attributes:
        direction: Which way it was converted.
        guess: What it was taken for, where the request did not say the direction.
        style: How a drawing that was made is drawn, where that has a name.
        framed: The faces that were found, and what was done with them; holds no pictures.
        pictures: The results; more than one only if all faces were asked for.
        round_trips: For each result the picture converted back, where that was asked for.
        milliseconds: From the start of decoding to the end of encoding, without the queue.
    """

    direction: Direction
    guess: DomainGuess | None
    style: str | None
    framed: Framed
    pictures: list[EncodedPicture]
    round_trips: list[EncodedPicture]
    milliseconds: float

    @property
    def num_pixels(self) -> int:
        """Pixels of all results, there and back."""
        return sum(item.width * item.height for item in [*self.pictures, *self.round_trips])


class Engine:
    """Converts for all requests; shared by all threads of the server."""

    def __init__(self, config: ServerConfig) -> None:
        """Load all generators and convert once by each, so that the first client does not wait.

        Raises:
            WeightsError: If a generator is missing or broken.
            UsageError: If the device is not there.
        """
        return_large_memory()
        limit_texts()
        num_turns = config.num_threads + SPARE_TURNS
        self.turnstile = Turnstile(num_turns, config.max_pending, config.time_limit_s)
        self._limits = _Limits(max_pixels=config.max_pixels, formats=tuple(images.UPLOAD_TYPES))
        self.untaken_bytes: Callable[[], int] = lambda: 0  # the server that runs this says more
        self._current = threading.local()
        self._will_release = threading.Lock()
        self._timers: list[threading.Timer] = []
        # A thread that Python kills at its end, in the middle of a network, takes all down with it.
        weakref.finalize(self, _end, self._timers)
        self._classifier = DomainClassifier()
        self._wide = _ServingTranslator(config, config.num_threads, self._check_current)
        has_narrow = self._wide.is_cpu and config.num_threads > 1
        self._narrow = (
            _ServingTranslator(config, 1, self._check_current) if has_narrow else self._wide
        )
        for translator in {self._wide, self._narrow}:
            _warm_up(translator)
        self.styles = self._wide.styles
        self.info = {direction: self._wide.info(direction) for direction in DIRECTIONS}
        self.model_name = "shipped" if config.weights is None else config.weights.resolve().name
        self.model_version = f"{self.model_name}-{_digest(self._wide)[:8]}"

    @contextmanager
    def converted(
        self,
        files: Sequence[bytes],
        options: ConvertOptions,
        is_gone: Callable[[], bool],
        on_admitted: Callable[[], None],
        default_format: Format = "png",
    ) -> Iterator[list[Conversion | Exception]]:
        """Convert the pictures of one request; its turn lasts until the answer is made of them.

        Args:
            files: The encoded pictures.
            options: What the request asked for.
            is_gone: Says whether the client has left.
            on_admitted: Called once the queue has taken the request; may refuse it still.
            default_format: File type of the results unless the options name one.

        Yields:
            For each picture what became of it, or why it could not be converted.

        Raises:
            OverloadedError: If the queue is full, or clients leave too many results untaken.
            TimeLimitError: If the time was up before the turn.
            ClientGoneError: If the client leaves before all are converted.
        """
        try:
            with self.turnstile.admitted(is_gone, num_pictures=len(files)) as ticket:
                self._check_untaken()
                on_admitted()
                sizes = [_try(partial(self._size, data, options)) for data in files]
                known = [size for size in sizes if isinstance(size, tuple)]
                is_large = _is_large(known, options)
                with self.turnstile.turn(ticket, is_large=is_large) if known else nullcontext():
                    self._check_untaken()
                    self._current.ticket = ticket
                    try:
                        results = self._convert_each(files, sizes, options, default_format)
                    finally:
                        del self._current.ticket
                    yield results
        finally:  # who left may have had a large picture
            self._release_soon()

    def _check_untaken(self) -> None:
        if self.untaken_bytes() > MAX_UNTAKEN_BYTES:
            raise OverloadedError(
                "The server waits for clients to take their results; try again in a moment.", 5
            )

    def _release_soon(self) -> None:
        if self._will_release.acquire(blocking=False):
            timer = threading.Timer(RELEASE_AFTER_S, self._release_memory)
            timer.daemon = True
            timer.start()
            self._timers[:] = [timer]

    def _release_memory(self) -> None:
        self._will_release.release()
        for translator in {self._wide, self._narrow}:
            translator.release_memory()
        gc.collect()  # an error and the frames that it went through hold each other, and pictures
        return_freed_memory()

    def _size(self, data: bytes, options: ConvertOptions) -> tuple[int, int]:
        """Return what a picture's head says of its size; refuse before waiting."""
        size = images.stored_size(data, **self._limits)
        _check_sizes(size, options)
        return size

    def _convert_each(
        self,
        files: Sequence[bytes],
        sizes: Sequence[tuple[int, int] | Exception],
        options: ConvertOptions,
        default_format: Format,
    ) -> list[Conversion | Exception]:
        """Convert those whose size is known, as long as there is room for their results."""
        results: list[Conversion | Exception] = []
        room = MAX_ANSWER_PIXELS
        file_format = options.format or default_format
        for data, size in zip(files, sizes, strict=True):
            if isinstance(size, Exception):
                results.append(size)
                continue
            result = _try(partial(self._convert, data, options, file_format, room))
            if isinstance(result, Conversion):
                room -= result.num_pixels
            results.append(result)
        return results

    def _convert(
        self, data: bytes, options: ConvertOptions, file_format: Format, room: int
    ) -> Conversion:
        self._check_current()  # the pictures before it took time
        started = time.perf_counter()
        shared = self._wide if self.turnstile.num_pending == 1 else self._narrow
        translator = shared.in_style(options.style)
        guesses: list[DomainGuess] = []
        found = open_and_find(
            translator,
            partial(self._open, data),
            lambda image: self._direction(image, options, guesses),
            options.align,
            options.faces,
        )
        direction, guess = found.direction, next(iter(guesses), None)
        self._check_current()
        max_pixels = room // 2 if options.round_trip else room
        framed = _translate(translator, found, options, max_pixels=max_pixels)
        del found  # a large picture
        self._check_current()
        pictures = [_encode(picture, direction, file_format) for picture in framed.pictures]
        round_trips: list[EncodedPicture] = []
        if options.round_trip:
            back = OPPOSITE[direction]
            returned = translate_back(translator, framed, back)
            self._check_current()
            round_trips = [_encode(picture, back, file_format) for picture in returned]
        milliseconds = (time.perf_counter() - started) * 1000
        is_drawn = direction == "photo2sketch" or options.round_trip
        style = translator.style if is_drawn and translator.style else None
        framed = replace(framed, pictures=())  # decoded ones are for the turn alone
        return Conversion(direction, guess, style, framed, pictures, round_trips, milliseconds)

    def _open(self, data: bytes, draft_size: int) -> tuple[Image.Image, tuple[int, int]]:
        opened = images.open_with_size(data, draft_size=draft_size, **self._limits)
        self._check_current()
        return opened

    def _direction(
        self, image: Image.Image, options: ConvertOptions, guesses: list[DomainGuess]
    ) -> Direction:
        """Say which way a picture goes; what it is taken for, if nobody had said, is noted."""
        if options.direction != "auto":
            return options.direction
        guesses.append(self._classifier.guess(image))
        return DIRECTION_FROM[guesses[0].domain]

    def _check_current(self) -> None:
        """Stop this thread's conversion if nobody waits for it any more."""
        ticket: Ticket | None = getattr(self._current, "ticket", None)
        if ticket is not None:  # there is none while the generators are loaded
            ticket.check()


class _ServingTranslator(Translator):
    """Looks up before each run of a network whether the result is still wanted."""

    def __init__(self, config: ServerConfig, num_threads: int, check: Callable[[], None]) -> None:
        super().__init__(config.weights, device=config.device, num_threads=num_threads)
        self._check = check

    def run(self, direction: Direction, batch: Float32Array) -> Float32Array:
        """Run the network, unless nobody waits for the result any more."""
        self._check()
        return super().run(direction, batch)


def _end(timers: Iterable[threading.Timer]) -> None:
    """Let no timer begin, and wait for one that runs."""
    for timer in timers:
        timer.cancel()
        if timer is not threading.current_thread():
            timer.join()


def _try(make: Callable[[], T]) -> T | Exception:
    """Return what is made, or why it cannot be: told of one picture, while the others go on."""
    try:
        return make()
    except ClientGoneError:
        raise
    except MemoryError:
        return ImageTooLargeError(
            "The picture does not fit into the server's memory; send a smaller one."
        )
    except Exception as error:  # noqa: BLE001
        return error


def _warm_up(translator: Translator) -> None:
    """Convert an empty sheet by every generator."""
    for view, direction in _generators(translator):
        side = view.info(direction).image_size
        blank = Image.new("RGB", (side, side), "white")
        translate_faces(view, blank, direction, "whole")  # the face detector too


def _generators(translator: Translator) -> Iterator[tuple[Translator, Direction]]:
    """Yield what converts by each generator: all styles of drawings, then photos."""
    for style in translator.styles or ("",):
        yield translator.in_style(style), "photo2sketch"
    yield translator, "sketch2photo"


def _default_size(size: tuple[int, int]) -> int:
    """Shorter side of the result where none is asked for: the picture's own, within limits."""
    scale = min(1.0, math.sqrt(MAX_RESULT_PIXELS / (size[0] * size[1])))
    return min(MAX_SIZE, max(1, math.floor(min(size) * scale)))


def _check_sizes(size: tuple[int, int], options: ConvertOptions) -> None:
    """Refuse what would be too long, or come out too large."""
    if max(size) > MAX_SIDE:
        raise ImageTooLargeError(
            f"The picture is {size[0]} x {size[1]} pixels; no side may be longer than {MAX_SIDE:,}."
        )
    if options.size is None or options.align == "portrait":
        return
    width, height = result_size(size, options.size)
    if width * height > MAX_RESULT_PIXELS:
        raise UsageError(
            f"The result would have {width} x {height} pixels, more than {MAX_RESULT_PIXELS:,}; "
            "ask for a smaller size."
        )


def _is_large(sizes: Sequence[tuple[int, int]], options: ConvertOptions) -> bool:
    """Say whether pictures of these sizes, or all their results, may take much memory."""
    if options.align == "portrait" and options.faces == "all":
        return True  # nobody knows yet how many there are
    results = sum(_most_result_pixels(size, options) for size in sizes)
    return max([results, *(width * height for width, height in sizes)]) > LARGE_PIXELS


def _most_result_pixels(size: tuple[int, int], options: ConvertOptions) -> float:
    """Return how many pixels the results of a picture have at most, there and back."""
    smallest = MAX_PORTRAIT if options.align == "portrait" else 1
    side = options.size or max(smallest, _default_size(size))
    return side * side * max(size) / min(size) * (2 if options.round_trip else 1)


def _translate(
    translator: Translator, found: Found, options: ConvertOptions, *, max_pixels: int
) -> Framed:
    """Translate a picture by its faces; as it is where that is asked for, or shows none."""
    size = options.size
    if found.framing != "portrait":
        size = size or _default_size(found.original_size)
    if found.framing == "none" and options.size:  # that by default is within, but for rounding
        max_pixels = min(max_pixels, MAX_RESULT_PIXELS)
    return translate_found(translator, found, size=size, max_pixels=max_pixels)


def _encode(image: Image.Image, direction: Direction, file_format: Format) -> EncodedPicture:
    """Encode a result; a photo says in its metadata that it was generated."""
    data = images.encode(
        image, IMAGE_FORMATS[file_format], generated_photo=direction == "sketch2photo"
    )
    return EncodedPicture(f"image/{file_format}", image.width, image.height, data)


def _digest(translator: Translator) -> str:
    """Hash the files of all generators: what tells one version of the weights from another."""
    digest = hashlib.sha256()
    for view, direction in _generators(translator):
        digest.update(view.path(direction).read_bytes())
    return digest.hexdigest()
