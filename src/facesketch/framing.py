"""Translates faces where they are: cut out and aligned, or in the whole picture at their scale.

`find_faces` decides which, for Python, the command line and the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw

from facesketch.alignment import align, framing_matrix
from facesketch.errors import UsageError
from facesketch.faces import Face, face_detector
from facesketch.geometry import Matrix, Outside, inverse, roll_of, scale_of
from facesketch.tiles import finish_within, margin_of, translate_tiled
from facesketch.translator import (
    Picture,
    Translator,
    as_image,
    check_choice,
    result_size,
    size_in_network,
)
from facesketch.weights_info import Direction

Framing = Literal["auto", "portrait", "whole"]
Align = Literal["auto", "none", "portrait", "whole"]
Done = Literal["none", "portrait", "whole"]
Chosen = Literal["largest", "all"]

NO_FACE = "No face was found, so the picture was converted as it is."

AS_IT_IS_DRAFT = 1024
"""Shorter side that is decoded of a large JPEG, pixels: the network sees less."""

FACES_DRAFT = 2048
"""So much where faces are converted by themselves: they may be small in it."""

MAX_PORTRAIT = 1024
"""Longest side of a portrait in pixels where no size is asked for."""

MAX_PIXELS = 1_000_000
"""Most pixels that a whole picture has in the network; faces that need more are converted apart."""

MAX_ENLARGEMENT = 4.0
"""Smaller faces are not enlarged more than this before the network: they have nothing to show."""

OTHER_SCALE = 1.25
"""A face larger or smaller than the picture's scale wants by this factor is converted apart. Of 334
framed validation photos none is off by more than 1.12, nor turned by more than 8 degrees."""

OTHER_ROLL = math.radians(15)
"""So is one that is turned by more than this."""

EMPTY_SHARE = 0.7
"""Of a drawing that is mostly empty paper: so much lies around the portraits."""

INK, BLANK_SHARE = 40, 0.002
"""What is darker than most of a drawing by so many of 255 levels is ink; less of it is none."""

SOFT_EDGE = 0.12
"""Share of a portrait's side within which it fades into an empty ground."""

PATCH_CORE = 0.75
"""Share of a patch's radius within which it hides what is below it; from there on it fades."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture, the faces in it, and what is to be done with them.

    Attributes:
        image: The picture, mode "RGB" or "L"; it may have been decoded smaller.
        original_size: Width and height that it has in full.
        direction: Which way it goes.
        framing: What is to be done; "none" translates it as it is.
        faces: All that were found, largest first, in pixels of `image`.
        chosen: Those of them that decide.
        note: What people should know of it: a sentence, or None.
    """

    image: Image.Image
    original_size: tuple[int, int]
    direction: Direction
    framing: Done
    faces: tuple[Face, ...] = ()
    chosen: tuple[Face, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Framed:
    """What became of the faces in a picture.

    Attributes:
        pictures: The results: portraits in the order of the faces, or the one whole picture.
        faces: All that were found, largest first, in pixels of the original.
        framing: What was done; "none" where no face was found, or none had to be brought to
            another scale.
        note: What people should know of it: a sentence, or None.
        working_size: Width and height that the whole picture had in the network.
    """

    pictures: tuple[Image.Image, ...]
    faces: tuple[Face, ...]
    framing: Done
    note: str | None
    working_size: tuple[int, int] | None = None


def translate_faces(
    translator: Translator,
    picture: Picture,
    direction: Direction,
    framing: Framing = "auto",
    *,
    faces: Chosen = "largest",
    size: int | None = None,
    original_size: tuple[int, int] | None = None,
    max_pixels: int | None = None,
) -> Framed:
    """Find the faces in a picture and translate them in the framing that the generators learned.

    Args:
        translator: The generators.
        picture: What `Translator.to_sketch` takes.
        direction: Which generator to use.
        framing: "portrait" gives an upright square portrait; "whole" gives the whole picture,
            its faces at the scale the generators learned. "auto" does as "whole", unless the
            largest face is upright and has about that scale anyway: then the picture is
            translated as it is, as `Translator.to_sketch` does.
        faces: The largest face decides, or every one gets a portrait, or its own scale; then
            "auto" is "whole".
        size: Shorter side of the results in pixels; None gives a portrait the resolution that
            the face has in the picture, at least the native and at most 1,024 px, and a whole
            picture the size of the input.
        original_size: Width and height that the picture had before it was decoded smaller.
        max_pixels: Most pixels of all results together, if there is a limit.

    Returns:
        The results. Where no face is found, the picture is translated as it is, and a note says
        so.

    Raises:
        UsageError: If there is no such direction, framing or choice of faces, no such size, or the
            results would have more than `max_pixels`.
        ImageError: If the input is no picture, or the result would be too large.
        WeightsError: If a network is missing or broken.
    """
    check_choice("framing", framing, get_args(Framing))
    check_choice("faces", faces, get_args(Chosen))
    image = as_image(picture)
    as_given = Found(image, original_size or image.size, direction, "none")
    found = find_faces(translator, as_given, framing, faces)
    return translate_found(translator, found, size=size, max_pixels=max_pixels)


def open_and_find(
    translator: Translator,
    open_at: Callable[[int], tuple[Image.Image, tuple[int, int]]],
    direction_of: Callable[[Image.Image], Direction],
    align: Align,
    faces: Chosen,
) -> Found:
    """Decode a picture no larger than is needed, and find the faces in it.

    Args:
        translator: The generators.
        open_at: Decodes the picture, a large JPEG at a reduced size whose shorter side has at
            least so many pixels; also returns the width and height that it has in full.
        direction_of: Says which way a picture goes.
        align: What is asked for.
        faces: Which faces decide.

    Returns:
        What is to be done, for `translate_found`: pixel for pixel as if that had been asked for.
    """
    is_open = align == "auto" and faces == "largest"
    draft_size = AS_IT_IS_DRAFT if is_open or align == "none" else FACES_DRAFT
    image, original_size = open_at(draft_size)
    as_given = Found(image, original_size, direction_of(image), "none")
    found = find_faces(translator, as_given, align, faces)
    if is_open and found.framing == "whole" and image.size != original_size:
        as_given = replace(as_given, image=open_at(FACES_DRAFT)[0])
        found = find_faces(translator, as_given, "whole", faces)
    return found


def find_faces(translator: Translator, picture: Found, align: Align, faces: Chosen) -> Found:
    """Look for the faces in a picture, unless `align` is "none", and decide what is done."""
    if align == "none":
        return picture
    seen = tuple(face_detector().find(picture.image))
    if not seen:
        return replace(picture, note=NO_FACE)
    if align == "auto":
        is_framed = faces == "largest" and _is_framed(translator, picture, seen[0])
        align = "none" if is_framed else "whole"
    chosen = seen if faces == "all" else seen[:1]
    return replace(picture, framing=align, faces=seen, chosen=chosen)


def translate_found(
    translator: Translator,
    found: Found,
    *,
    size: int | None,
    max_pixels: int | None,
) -> Framed:
    """Do what was decided; otherwise as `translate_faces`."""
    image, direction = found.image, found.direction
    grown = found.original_size[0] / image.width
    originals = tuple(face.scaled(grown) for face in found.faces)
    if found.framing == "portrait":
        sizes = _portrait_sizes(translator, direction, found.chosen, size)
        check_together([(side, side) for side in sizes], max_pixels)
        pictures = _aligned(translator, image, direction, found.chosen, sizes)
        return Framed(tuple(pictures), originals, "portrait", None)
    wanted = result_size(found.original_size, size)
    check_together([wanted], max_pixels)
    if found.framing == "whole":
        whole, working_size = _whole(translator, image, direction, found.chosen, wanted)
        return Framed((whole,), originals, "whole", None, working_size)
    (as_it_is,) = translator.translate([image], direction, size=wanted)
    return Framed((as_it_is,), originals, "none", found.note)


def translate_back(
    translator: Translator, framed: Framed, direction: Direction
) -> list[Image.Image]:
    """Translate results back, at the scale at which they were made.

    Args:
        translator: The generators.
        framed: What `translate_faces` made.
        direction: The other direction.

    Returns:
        A picture of the same size for each result.
    """
    if framed.working_size is None:
        return translator.translate(framed.pictures, direction)
    return [
        translate_tiled(
            translator,
            picture.resize(framed.working_size, Image.Resampling.LANCZOS, reducing_gap=3.0),
            direction,
            picture.size,
        )
        for picture in framed.pictures
    ]


def check_together(sizes: Sequence[tuple[int, int]], max_pixels: int | None) -> None:
    """Refuse results of these widths and heights that together have too many pixels.

    Raises:
        UsageError: If they have more than `max_pixels`.
    """
    num_pixels = sum(width * height for width, height in sizes)
    if max_pixels is not None and num_pixels > max_pixels:
        raise UsageError(
            f"The results would have {num_pixels:,} pixels together, more than the {max_pixels:,} "
            "there is room for; ask for a smaller size, fewer faces or fewer pictures at a time."
        )


def _portrait_sizes(
    translator: Translator, direction: Direction, faces: Sequence[Face], size: int | None
) -> list[int]:
    """Return the side of each face's portrait."""
    native = translator.info(direction).image_size
    sizes = []
    for face in faces:
        own = round(native / scale_of(framing_matrix(face, native)))
        default = min(max(native, own), max(native, MAX_PORTRAIT))
        sizes.append(result_size((default, default), size)[0])
    return sizes


def _aligned(
    translator: Translator,
    image: Image.Image,
    direction: Direction,
    faces: Sequence[Face],
    sizes: Sequence[int],
) -> list[Image.Image]:
    """Cut faces out and translate them in one run; the results are squares of these sizes."""
    info = translator.info(direction)
    side, margin = info.image_size, margin_of(info)
    outside: Outside = "mirror" if direction == "photo2sketch" else "paper"
    jobs = [
        translator.prepare(
            align(image, face, side, margin=margin, outside=outside), direction, as_it_is=True
        )
        for face in faces
    ]
    translated = translator.run_prepared(jobs)
    return [
        finish_within(translator, job, planes, (side, side), (size, size))
        for job, planes, size in zip(jobs, translated, sizes, strict=True)
    ]


def _working_size(
    translator: Translator, image: Image.Image, direction: Direction, face: Face
) -> tuple[int, int]:
    """Width and height at which a face has the size that the network learned, within limits."""
    scale = scale_of(framing_matrix(face, translator.info(direction).image_size))
    scale = min(scale, MAX_ENLARGEMENT, math.sqrt(MAX_PIXELS / (image.width * image.height)))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _whole(
    translator: Translator,
    image: Image.Image,
    direction: Direction,
    faces: Sequence[Face],
    size: tuple[int, int],
) -> tuple[Image.Image, tuple[int, int]]:
    """Translate the picture at the scale of its largest face, then what needs another one.

    Returns:
        The result, and the width and height that the picture had in the network.
    """
    working_size = _working_size(translator, image, direction, faces[0])
    side = translator.info(direction).image_size
    matrices = {face: framing_matrix(face, side) for face in faces}
    is_blank = direction == "sketch2photo" and _is_blank_around(image, matrices.values(), side)
    scale = working_size[0] / image.width
    apart = [face for face in faces if is_blank or _differs(matrices[face], scale)]
    grown = size[0] / image.width
    sizes = [max(1, round(side * grown / scale_of(matrices[face]))) for face in apart]
    result = None
    if not is_blank:  # of empty paper the network makes skin, in every tile
        working = image.resize(working_size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        result = translate_tiled(translator, working, direction, size)
    patches = _aligned(translator, image, direction, apart, sizes) if apart else []
    if result is None:
        result = Image.new(patches[0].mode, size, _background(patches[0]))
    # Largest last: who stands in front is larger.
    for face, patch in reversed(list(zip(apart, patches, strict=True))):
        mask = _soft_square(patch.width) if is_blank else _fading(patch.width)
        _paste(result, patch, mask, _to_patch(matrices[face], patch.width / side, grown))
    return result, working_size


def _is_blank_around(image: Image.Image, matrices: Iterable[Matrix], side: int) -> bool:
    """Say whether a drawing is mostly empty paper around the portraits of its faces."""
    portraits = Image.new("L", image.size)
    pen = ImageDraw.Draw(portraits)
    for matrix in matrices:
        back = inverse(matrix)
        corners = np.array([(0, 0), (side, 0), (side, side), (0, side)])
        pen.polygon([(x, y) for x, y in corners @ back[:, :2].T + back[:, 2]], fill=255)
    around = np.asarray(portraits) == 0
    if np.mean(around) < EMPTY_SHARE:
        return False
    luma = np.asarray(image.convert("L"))
    return float(np.mean(around & (luma < np.median(luma) - INK))) < BLANK_SHARE


def _background(portrait: Image.Image) -> tuple[int, ...]:
    """Return the colour that is most usual along the upper half of a portrait's edge."""
    pixels = np.asarray(portrait).reshape(portrait.height, portrait.width, -1)
    width = max(1, portrait.width // 32)
    upper = pixels[: portrait.height // 2]
    parts = (pixels[:width], upper[:, :width], upper[:, -width:])
    edge = np.concatenate([part.reshape(-1, pixels.shape[2]) for part in parts])
    return tuple(int(value) for value in np.median(edge, axis=0))


def _is_framed(translator: Translator, picture: Found, face: Face) -> bool:
    """Say whether a face is seen as the network learned it where its picture is taken as it is."""
    side = translator.info(picture.direction).image_size
    scale = size_in_network(picture.image.size, side)[0] / picture.image.width
    return not _differs(framing_matrix(face, side), scale)


def _differs(matrix: Matrix, scale: float) -> bool:
    """Say whether a face has another size or turn than the network should see."""
    ratio = scale_of(matrix) / scale
    is_other_size = max(ratio, 1 / ratio) > OTHER_SCALE
    return is_other_size or abs(roll_of(matrix)) > OTHER_ROLL


def _to_patch(matrix: Matrix, patch_scale: float, result_scale: float) -> Matrix:
    """Map the result to a patch, from the map of the picture to the network's frame."""
    return np.column_stack([matrix[:, :2] / result_scale, matrix[:, 2]]) * patch_scale


def _paste(result: Image.Image, patch: Image.Image, mask: Image.Image, matrix: Matrix) -> None:
    """Lay a patch on the result, fading towards its edge.

    Args:
        result: The picture, changed in place.
        patch: Square picture of the same mode.
        mask: How much of it is seen, the same size.
        matrix: Similarity from the result to the patch.
    """
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * patch.width
    back = inverse(matrix)
    places = corners @ back[:, :2].T + back[:, 2]
    low = np.maximum(0, np.floor(places.min(axis=0))).astype(int)
    high = np.minimum(result.size, np.ceil(places.max(axis=0))).astype(int)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ low])
    data = tuple(float(value) for value in shifted.ravel())
    turned, mask = (
        layer.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
        for layer in (patch, mask)
    )
    result.paste(turned, (int(low[0]), int(low[1])), mask)


def _fading(side: int) -> Image.Image:
    """Mask of a patch: an ellipse around head and collar with a soft edge."""
    x = (np.arange(side) + 0.5) / side * 2 - 1
    radius = np.hypot(x[None], x[:, None])
    return _smooth((1 - radius) / (1 - PATCH_CORE))


def _soft_square(side: int) -> Image.Image:
    """Mask of a portrait on an empty ground: nearly all of it."""
    x = (np.arange(side) + 0.5) / side
    away = np.minimum(x, 1 - x)
    return _smooth(np.minimum(away[None], away[:, None]) / SOFT_EDGE)


def _smooth(share: np.ndarray) -> Image.Image:
    """Make a mask that rises from nothing at 0 to all at 1."""
    share = np.clip(share, 0, 1)
    return Image.fromarray(np.rint(255 * share * share * (3 - 2 * share)).astype(np.uint8))
