"""Inference: photos to sketches and back with ONNX Runtime or OpenVINO, never torch.

One picture goes `prepare` (to the size that the network learned, padded) -> `run` (the network, a
batch at a time) -> `finish` (cropped, brought to the wanted size).
"""

from __future__ import annotations

import copy
import operator
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
from PIL import Image

from facesketch import images, upscale
from facesketch.errors import ImageError, ImageTooLargeError, UsageError, WeightsError
from facesketch.images import Float32Array, Uint8Array
from facesketch.sessions import (
    OPENVINO,
    PROVIDERS,
    Session,
    file_for,
    find_provider,
    first_line,
    open_session,
)
from facesketch.weights_folder import available_styles, choose_style
from facesketch.weights_info import DIRECTIONS, SHIPPED_WEIGHTS, Direction, WeightsInfo, file_name

Picture: TypeAlias = Image.Image | Uint8Array | Path | str

WORKING_SCALE = 1.0  # shorter side in the network, in units of the size it was trained at
MAX_ASPECT = 4  # longer side in the network, in units of that shorter side
MIN_MULTIPLES = 4  # a thinner picture would leave the deepest layers nothing to pad from
BATCH_SIZE = 8  # pictures that pass through the network together on a GPU
CPU_BATCH_SIZE = 1  # there, larger ones save no time and take 50 MB a picture (measured)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture ready for the network.

    Attributes:
        direction: Which way it goes.
        planes: float32, shape (C, H, W), range [-1, 1], sides padded to the network's multiple.
        working_size: Width and height without the padding.
        result_size: Width and height that the result shall have.
    """

    direction: Direction
    planes: Float32Array
    working_size: tuple[int, int]
    result_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Generator:
    """One loaded network."""

    path: Path
    info: WeightsInfo
    session: Session


class Translator:
    """The generators, each loaded when first needed; one instance may be shared by threads.

    Attributes:
        weights: Folder that they come from.
        styles: Styles that they draw in, the default first; empty where the one has no name.
        style: Style that this translator draws in, or "" for one without a name.
    """

    def __init__(
        self,
        weights: Path | str | None = None,
        *,
        style: str | None = None,
        device: str = "cpu",
        num_threads: int | None = None,
    ) -> None:
        """Choose weights and device; nothing is loaded yet.

        Args:
            weights: Folder with sketch2photo.onnx, and photo2sketch.onnx or one for each style
                (one will do for one direction), as `facesketch export` writes it; None takes the
                shipped ones.
            style: Style to draw in; None takes the folder's default. Drawings of all styles become
                photos.
            device: "cpu", "cuda", "coreml", "directml" or the name of an ONNX Runtime provider; or
                "openvino", the CPU by OpenVINO (extra `fast`), which takes the int8 variants
                where they lie beside the generators.
            num_threads: CPU threads of one call; None takes all cores.

        Raises:
            MissingExtraError: If OpenVINO is wanted and not installed.
            UsageError: If ONNX Runtime cannot use the device here, or there is no such style.
            WeightsError: If the folder does not exist, or mixes files with and without a style.
        """
        self.weights = SHIPPED_WEIGHTS if weights is None else Path(weights)
        if weights is not None and not self.weights.is_dir():
            raise WeightsError(f"{self.weights} is not a folder; give one that has .onnx files.")
        self.styles = available_styles(self.weights)
        self.style = choose_style(self.weights, self.styles, style)
        self.provider = find_provider(device)
        self.num_threads = num_threads
        self.is_cpu = self.provider in (PROVIDERS["cpu"], OPENVINO)
        self.batch_size = CPU_BATCH_SIZE if self.is_cpu else BATCH_SIZE
        self._generators: dict[str, _Generator] = {}  # by file name
        self._lock = threading.Lock()

    def in_style(self, style: str | None) -> Self:
        """Return a translator that draws in another style and shares the loaded networks.

        It costs nothing, so a server may ask for one with each request.

        Args:
            style: One of `styles`; None takes the default.

        Raises:
            UsageError: If there is no such style.
        """
        other = copy.copy(self)
        other.style = choose_style(self.weights, self.styles, style)
        return other

    def to_sketch(self, image: Picture, *, size: int | None = None) -> Image.Image:
        """Draw a photo as it is: well where it is framed as the generators learned faces.

        `facesketch.translate_faces` looks for the faces first, wherever they are.

        Args:
            image: File, Pillow picture of any mode, or uint8 array of shape (H, W), (H, W, 3) RGB
                or (H, W, 4) RGBA. EXIF orientation is applied, transparency laid on white.
            size: Shorter side of the result in pixels; None keeps the size of the input.

        Returns:
            The drawing, mode "L", or "RGB" where the generator draws in colour; above the native
            size its strokes stay crisp.

        Raises:
            ImageError: If the input is none of these or a file that cannot be read, or the result
                would be too large.
            WeightsError: If the generator is missing or broken.
        """
        return self.translate([image], "photo2sketch", size=size)[0]

    def to_photo(self, image: Picture, *, size: int | None = None) -> Image.Image:
        """Turn a drawing into a photo, mode "RGB"; otherwise as `to_sketch`.

        A photo has no strokes: above the native size it is a plain (Lanczos) enlargement. Save it
        with `facesketch.images.encode(photo, "JPEG", generated_photo=True)` to mark it as
        generated, as the command line does.
        """
        return self.translate([image], "sketch2photo", size=size)[0]

    def translate(
        self,
        pictures: Iterable[Picture],
        direction: Direction,
        *,
        size: int | tuple[int, int] | None = None,
    ) -> list[Image.Image]:
        """Translate several pictures, those of one shape together; see `to_sketch`.

        Args:
            pictures: What `to_sketch` takes.
            direction: Which generator to use.
            size: Shorter side of the results in pixels, or their width and height, for pictures
                that were decoded smaller; None keeps the size of each input.

        Returns:
            The results, in the order of the inputs.
        """
        prepared = [self.prepare(picture, direction, size=size) for picture in pictures]
        translated = self.run_prepared(prepared)
        return [self.finish(job, planes) for job, planes in zip(prepared, translated, strict=True)]

    def prepare(
        self,
        picture: Picture,
        direction: Direction,
        *,
        size: int | tuple[int, int] | None = None,
        as_it_is: bool = False,
    ) -> Prepared:
        """Bring a picture to the size and the sides that the network takes.

        `size` may also be the result's width and height, for a picture that was decoded smaller.

        The shorter side becomes the one it was trained at, whatever the size of the input: there
        it knows how large an eye is. `as_it_is` keeps the size, for one that has the right scale.
        """
        info = self.info(direction)
        image = as_image(picture)
        working_size = image.size if as_it_is else size_in_network(image.size, info.image_size)
        wanted = size if isinstance(size, tuple) else result_size(image.size, size)
        image = image.resize(working_size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        image = image.convert("RGB" if info.input_channels == 3 else "L")
        planes = images.normalise(np.asarray(image))
        planes = _pad(planes, info.size_multiple)
        return Prepared(direction, planes, working_size, wanted)

    def run_prepared(self, prepared: Sequence[Prepared]) -> list[Float32Array]:
        """Send pictures through the networks, those of one shape together in batches.

        Returns:
            For each picture its translation, still padded, shape (C, H, W), range [-1, 1].
        """
        alike: dict[tuple[Direction, tuple[int, ...]], list[int]] = defaultdict(list)
        for index, job in enumerate(prepared):
            alike[job.direction, job.planes.shape].append(index)
        results: dict[int, Float32Array] = {}
        for (direction, _), indices in alike.items():
            for start in range(0, len(indices), self.batch_size):
                chosen = indices[start : start + self.batch_size]
                batch = np.stack([prepared[index].planes for index in chosen])  # (B, C, H, W)
                results.update(zip(chosen, self.run(direction, batch), strict=True))
        return [results[index] for index in range(len(prepared))]

    def finish(self, prepared: Prepared, planes: Float32Array) -> Image.Image:
        """Crop what the network made of a picture and bring it to the wanted size."""
        width, height = prepared.working_size
        image = Image.fromarray(images.denormalise(planes[:, :height, :width]))
        if prepared.direction == "photo2sketch":
            return upscale.upscale_drawing(image, prepared.result_size)
        image = image.convert("RGB")
        return image.resize(prepared.result_size, Image.Resampling.LANCZOS)

    def run(self, direction: Direction, batch: Float32Array) -> Float32Array:
        """Run the network as it is.

        Args:
            direction: Which generator to use.
            batch: float32, shape (B, C, H, W), range [-1, 1], sides multiples of the network's.

        Returns:
            float32, shape (B, C', H, W), range [-1, 1].

        Raises:
            WeightsError: If the generator fails, or changes the size of what it is given.
        """
        generator = self._load(direction)
        try:
            translated = generator.session.run(batch)
        except Exception as error:  # the libraries' errors share no base class
            raise WeightsError(
                f"{generator.path} failed on input of shape {batch.shape}: {first_line(error)}"
            ) from error
        expected = (len(batch), generator.info.output_channels, *batch.shape[2:])
        if translated.shape != expected:
            raise WeightsError(
                f"{generator.path} made {translated.shape} of {batch.shape}, not {expected}; its "
                "size_multiple or output_channels is wrong, so export it again."
            )
        return translated

    def release_memory(self) -> None:
        """Let go of what large pictures took; the next ones take it again.

        Takes a millisecond a loaded generator. For programs that go on for long.
        """
        with self._lock:
            generators = list(self._generators.values())
        for generator in generators:
            side = generator.info.size_multiple
            shape = (1, generator.info.input_channels, side, side)
            generator.session.release(np.zeros(shape, np.float32))

    def info(self, direction: Direction) -> WeightsInfo:
        """Return what a generator's file says about itself, loading it if need be."""
        return self._load(direction).info

    def path(self, direction: Direction) -> Path:
        """Return what is loaded as a generator, or would be; a misspelt direction is refused."""
        check_choice("direction", direction, DIRECTIONS)
        style = self.style if direction == "photo2sketch" else ""
        return file_for(self.weights / file_name(direction, style), self.provider)

    def _load(self, direction: Direction) -> _Generator:
        path = self.path(direction)
        with self._lock:
            if path.name not in self._generators:
                _check_there(path)
                session = open_session(path, self.provider, self.num_threads)
                info = _read_info(session, path, direction, self.style)
                self._generators[path.name] = _Generator(path, info, session)
            return self._generators[path.name]


def _check_there(path: Path) -> None:
    if not path.is_file():
        shipped = path.parent == SHIPPED_WEIGHTS
        advice = "install facesketch again" if shipped else "write it with `facesketch export`"
        raise WeightsError(f"{path} is not there; {advice}.")


def _read_info(session: Session, path: Path, direction: Direction, style: str) -> WeightsInfo:
    info = WeightsInfo.from_metadata(session.metadata, str(path))
    own_name = file_name(info.direction, info.style)
    if info.direction != direction:
        raise WeightsError(f"{path} holds {info.direction}; rename it to {own_name}.")
    if info.style not in ("", style):
        raise WeightsError(f"{path} draws in the style {info.style}; rename it to {own_name}.")
    return info


def as_image(picture: Picture) -> Image.Image:
    """Take a picture in any accepted form; the result is upright, RGB or L, on white.

    Raises:
        ImageError: If it is none of these, or a file that cannot be read.
    """
    if isinstance(picture, str | Path):
        return images.open_image(picture)
    if isinstance(picture, np.ndarray):
        colours = picture.shape[2:] in ((), (3,), (4,)) and picture.ndim in (2, 3)
        if picture.dtype != np.uint8 or not colours or not picture.size:
            raise ImageError(
                f"An array of {picture.dtype} and shape {picture.shape} is no picture; give uint8 "
                "of shape (H, W), (H, W, 3) or (H, W, 4)."
            )
        picture = Image.fromarray(np.ascontiguousarray(picture))
    elif not isinstance(picture, Image.Image):
        raise ImageError(
            f"{type(picture).__name__} is no picture; give a file's name, an array or what "
            "PIL.Image.open returns."
        )
    if not picture.width or not picture.height:
        raise ImageError("The picture has no pixels; give one that has some.")
    try:
        picture.load()
        picture = images.upright(picture)
        is_plain = picture.mode in ("RGB", "L") and not picture.has_transparency_data
        return picture if is_plain else images.to_mode(picture, "RGB")
    except images.DECODER_ERRORS as error:  # broken, closed, or of a rare mode
        raise ImageError(f"The picture cannot be read ({error}).") from error


def size_in_network(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Width and height in the network: one shorter side for all, the aspect kept, within limits."""
    short = image_size * WORKING_SCALE
    scale = min(short / min(size), MAX_ASPECT * short / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise UsageError if a value is none of the choices."""
    if value not in choices:
        raise UsageError(f"{name} must be {' or '.join(choices)}, not {value!r}.")


def result_size(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Return width and height of the result for an input of a size.

    Raises:
        UsageError: If the shorter side is no whole number or less than 1 px.
        ImageTooLargeError: If the result would have more than `images.MAX_PIXELS` pixels.
    """
    if shorter_side is None:
        return size
    try:
        is_size = operator.index(shorter_side) >= 1
    except TypeError:  # no whole number
        is_size = False
    if not is_size:
        raise UsageError(f"size must be a whole number, at least 1 pixel, not {shorter_side!r}.")
    scale = shorter_side / min(size)
    width, height = (max(shorter_side, round(side * scale)) for side in size)
    if width * height > images.MAX_PIXELS:
        raise ImageTooLargeError(
            f"The result would have {width} x {height} pixels, more than the limit of "
            f"{images.MAX_PIXELS:,}; choose a smaller size."
        )
    return width, height


def _pad(planes: Float32Array, multiple: int) -> Float32Array:
    """Mirror the right and lower edge until both sides are multiples of `multiple`.

    Args:
        planes: Shape (C, H, W).
        multiple: What the network divides its sides by.

    Returns:
        Shape (C, H', W').
    """
    height, width = planes.shape[1:]
    down, right = (
        -(-max(side, MIN_MULTIPLES * multiple) // multiple) * multiple - side
        for side in (height, width)
    )
    if not (down or right):
        return planes
    mode: Literal["reflect", "edge"] = "reflect" if down < height and right < width else "edge"
    return np.pad(planes, ((0, 0), (0, down), (0, right)), mode)
