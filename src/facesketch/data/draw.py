"""Make the sketches for a folder of photos: all cores, restartable, one sketch per photo."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from facesketch.console import progress_bar
from facesketch.errors import DataError, ImageError, MissingExtraError, UsageError
from facesketch.images import OUTPUT_FORMATS, encode, open_image
from facesketch.listing import walk
from facesketch.parallel import map_processes
from facesketch.writing import remove_leftovers, write_whole

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
    if out.resolve().is_relative_to(photos.resolve()):
        raise UsageError(
            f"OUT ({out}) lies in PHOTOS ({photos}), where sketches would be taken for photos; "
            "give a folder outside it."
        )
    names = sorted(Path(name).as_posix() for name, is_image in walk(photos) if is_image)
    if not names:
        raise DataError(f"{photos} holds no pictures; give a folder with photos in it.")
    todo = [name for name in names if not _is_done(out / name)]
    for folder in {(out / name).parent for name in todo}:
        remove_leftovers(folder)
    failed: list[tuple[str, str]] = []
    job = partial(_draw_one, photos=photos, out=out)
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=len(names), completed=len(names) - len(todo))
        for name, problem in map_processes(job, todo, num_workers=num_workers):
            if problem is not None:
                failed.append((name, problem))
            bar.advance(task)
    return DrawReport(len(todo) - len(failed), len(names) - len(todo), tuple(failed))


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
    encoded = _encode(Image.fromarray(draw_lines(np.asarray(image))), sketch)
    try:
        with write_whole(sketch) as partial_file:
            partial_file.write_bytes(encoded)
    except OSError as error:
        raise DataError(
            f"{sketch} cannot be written ({error.strerror}); make room or give another OUT, "
            "then run the same command again."
        ) from error


def _encode(drawing: Image.Image, sketch: Path) -> bytes:
    """Encode in the format that the file's ending asks for."""
    suffix = sketch.suffix.lower()
    try:
        if suffix in OUTPUT_FORMATS:
            return encode(drawing, OUTPUT_FORMATS[suffix], quality=JPEG_QUALITY)
        buffer = io.BytesIO()  # formats that only photo folders bring: BMP, GIF, TIFF, PPM
        drawing.save(buffer, Image.registered_extensions()[suffix])
        return buffer.getvalue()
    except (OSError, ValueError) as error:
        raise ImageError(f"{sketch} cannot be stored as {suffix} ({error}).") from error


def _is_done(sketch: Path) -> bool:
    """Say whether a sketch is there; an empty file is what a power cut can leave."""
    return sketch.is_file() and sketch.stat().st_size > 0


def _draw_one(name: str, *, photos: Path, out: Path) -> tuple[str, str | None]:
    """Draw one photo of the folder; a picture that is broken is a result, not an end."""
    import cv2  # noqa: PLC0415  # brings OpenCV

    cv2.setNumThreads(1)
    try:
        draw_file(photos / name, out / name)
    except ImageError as error:
        return name, str(error)
    return name, None
