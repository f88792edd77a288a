"""Make the sketches for a folder of photos: all cores, restartable, one sketch per photo."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast, get_args

import numpy as np
from PIL import Image

from facesketch.data.per_photo import clear_leftovers, is_done, list_photos, run_all, write_result
from facesketch.errors import ImageError, MissingExtraError
from facesketch.images import ImageFormat, encode, open_image

JPEG_QUALITY = 95


@dataclass(frozen=True)
class DrawReport:
    """What `draw_folder` did.

    Attributes:
        num_drawn: Sketches written.
        num_skipped: Sketches that were there already.
        failed: Relative name and reason for each photo without a sketch, by name.
    """

    num_drawn: int
    num_skipped: int
    failed: tuple[tuple[str, str], ...]


def draw_folder(photos: Path, out: Path, *, num_workers: int | None = None) -> DrawReport:
    """Draw every photo below a folder; each sketch gets its photo's relative name.

    Sketches that exist are left alone, and a sketch appears under its name only once it is
    complete: run it again after any interruption and it goes on where it was.

    Args:
        photos: Folder of photos, searched with its sub-folders.
        out: Folder for the sketches, made if needed.
        num_workers: Processes; by default one per core.

    Returns:
        Counts, and the photos that could not be drawn.

    Raises:
        MissingExtraError: If OpenCV is not installed.
        UsageError: If `out` is `photos` or lies inside it.
        DataError: If there are no photos, or a sketch cannot be written.
    """
    if importlib.util.find_spec("cv2") is None:
        raise MissingExtraError("facesketch data draw", "data")
    names = list_photos(photos, out)
    todo = [name for name in names if not is_done(out / name)]
    clear_leftovers(out / name for name in todo)
    job = partial(_draw_one, photos=photos, out=out)
    num_done = len(names) - len(todo)
    drawn = run_all(job, todo, doing="drawing", num_done=num_done, num_workers=num_workers)
    failed = [(name, problem) for name, problem in drawn if problem is not None]
    return DrawReport(len(todo) - len(failed), num_done, tuple(failed))


def draw_file(photo: Path, sketch: Path) -> None:
    """Draw one photo into a file of the same kind, mode L (WebP has no gray: equal channels).

    Args:
        photo: Any picture that `open_image` reads.
        sketch: File to write; its ending says the format. Appears complete or not at all.

    Raises:
        ImageError: If the photo cannot be read or the drawing not stored in that format.
        DataError: If the file cannot be written.
    """
    from facesketch.data.line_drawing import draw_lines  # noqa: PLC0415  # brings OpenCV

    image = open_image(photo, "RGB")
    write_result(sketch, _encode(Image.fromarray(draw_lines(np.asarray(image))), sketch))


def _encode(drawing: Image.Image, sketch: Path) -> bytes:
    """Encode in the format that the file's ending asks for."""
    suffix = sketch.suffix.lower()
    kind = Image.registered_extensions()[suffix]
    try:
        if kind in get_args(ImageFormat):
            return encode(drawing, cast("ImageFormat", kind), quality=JPEG_QUALITY)
        buffer = io.BytesIO()  # formats that only photo folders bring: BMP, GIF, TIFF, PPM
        drawing.save(buffer, kind)
        return buffer.getvalue()
    except (OSError, ValueError) as error:
        raise ImageError(f"{sketch} cannot be stored as {suffix} ({error}).") from error


def _draw_one(name: str, *, photos: Path, out: Path) -> tuple[str, str | None]:
    """Draw one photo of the folder; a picture that is broken is a result, not an end."""
    import cv2  # noqa: PLC0415  # brings OpenCV

    cv2.setNumThreads(1)
    try:
        draw_file(photos / name, out / name)
    except ImageError as error:
        return name, str(error)
    return name, None
