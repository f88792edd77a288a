"""Build the line-drawing data set behind the shipped weights: FS2K drawings framed like the faces.

    python recipes/generators/prepare.py SOURCE OUT --predictor shape_predictor_5_face_landmarks.dat

README.md beside this file says where the parts come from and what SOURCE must look like.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import click
import cv2
import dlib
import numpy as np
import numpy.typing as npt

from facesketch.console import progress_bar
from facesketch.errors import DataError, FacesketchError
from facesketch.images import Uint8Array, is_image_name, open_image

FloatArray: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = npt.NDArray[np.float64]

SIZE = 256
"""Side of the framed drawings, pixels: that of the faces."""

FOLDERS = {"0": "sketches/line", "1": "sketches/hatch"}
"""FS2K drawing style to output folder: thin lines and heavy hatching."""

NUM_REFERENCE_FACES = 300
VAL_EVERY = 20
MAX_OUTSIDE = 0.25
"""Largest share of the frame that may lie outside the drawing."""

MAX_SHIFT = 12.0
"""Largest credible distance of a drawing's landmarks from its photo's, pixels."""


@dataclass(frozen=True)
class Drawing:
    """One FS2K drawing to frame.

    Attributes:
        photo: The photo it was drawn from; read for its landmarks only.
        sketch: The drawing.
        split: FS2K split, "train" or "test".
        folder: Output folder name.
    """

    photo: Path
    sketch: Path
    split: str
    folder: str


@cache
def _models(predictor: Path) -> tuple[dlib.fhog_object_detector, dlib.shape_predictor]:
    """Load the face detector and the landmark model, once a process."""
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(predictor))


def find_landmarks(image: Uint8Array, predictor: Path) -> Points | None:
    """Find the five landmarks of the largest face: four eye corners and the base of the nose.

    Args:
        image: Photo, shape (H, W, 3), RGB.
        predictor: dlib's 5-point model file.

    Returns:
        Pixel coordinates (x, y), shape (5, 2), or None where no face is found.
    """
    detector, shape = _models(predictor)
    boxes = detector(image, 0) or detector(image, 1)
    if not boxes:
        return None
    parts = shape(image, max(boxes, key=lambda box: box.area())).parts()
    return np.array([(point.x, point.y) for point in parts], dtype=np.float64)


def fit_similarity(source: Points, target: Points) -> Points:
    """Fit the least-squares rotation, uniform scale and shift (Umeyama 1991, Eq. 40-42).

    Args:
        source: Points, shape (N, 2).
        target: Where they should land, same shape.

    Returns:
        Affine matrix from source to target, shape (2, 3).
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred / len(source)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = (singular * signs).sum() / centred.var(axis=0).sum()
    shift = target_mean - scale * rotation @ source_mean
    return np.hstack([scale * rotation, shift[:, None]])


def flatten_paper(gray: Uint8Array) -> FloatArray:
    """Make the paper white and leave the strokes their tones.

    Args:
        gray: Scanned drawing, shape (H, W), 0 to 255, about 250 pixels wide.

    Returns:
        Tone, shape (H, W), range [0, 1], 1 for paper.
    """
    values = gray.astype(np.float32)
    # The closing removes strokes; where hatching is too dense for it, the floor keeps it dark.
    smooth = cv2.GaussianBlur(values, (0, 0), 1.2)
    paper = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, np.ones((31, 31), np.uint8))
    paper = np.maximum(paper, 0.94 * np.percentile(smooth, 95))
    paper = cv2.GaussianBlur(paper, (0, 0), 12.0)
    tone = np.clip(values / (0.96 * paper), 0.0, 1.0)

    # Hysteresis: a faint pixel is a stroke only where it hangs together with a darker one.
    count, labels = cv2.connectedComponents((tone < 0.95).astype(np.uint8), connectivity=8)
    darkest = np.ones(count, np.float32)
    np.minimum.at(darkest, labels, tone)
    area = np.bincount(labels.ravel(), minlength=count)
    is_stroke = (darkest < 0.8) & (area >= 40) | (darkest < 0.6) & (area >= 8)
    is_stroke[0] = False
    near = cv2.dilate(is_stroke[labels].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    flat: FloatArray = np.where(near, tone, np.float32(1.0))
    return flat


def fade_border(tone: FloatArray, width: int = 6) -> FloatArray:
    """Let strokes run out towards the border of the drawing, so that no cut edge shows.

    Args:
        tone: Shape (H, W), range [0, 1].
        width: Pixels over which the ink fades in.

    Returns:
        The same shape and range.
    """
    height, length = tone.shape
    rows = np.minimum(np.arange(height), np.arange(height)[::-1])
    columns = np.minimum(np.arange(length), np.arange(length)[::-1])
    ramp = np.clip(np.minimum(rows[:, None], columns[None, :]) / width, 0.0, 1.0)
    faded: FloatArray = (1.0 - (1.0 - tone) * ramp).astype(np.float32)
    return faded


def warp(tone: FloatArray, matrix: Points) -> tuple[Uint8Array, float]:
    """Bring a drawing into the frame; what lies outside of it becomes white.

    Args:
        tone: Shape (H, W), range [0, 1].
        matrix: Affine matrix from drawing to frame, shape (2, 3).

    Returns:
        Pixels, shape (SIZE, SIZE), 0 to 255, and the share of the frame outside the drawing.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factor = 4 if scale < 1 else 1  # shrinking without supersampling would break thin strokes
    # Pixel centres lie at whole numbers: x' = factor * (x + 0.5) - 0.5.
    larger = factor * matrix + np.array([[0, 0, 1], [0, 0, 1]]) * (factor - 1) / 2
    side = (SIZE * factor, SIZE * factor)
    framed = cv2.warpAffine(tone, larger, side, flags=cv2.INTER_LANCZOS4, borderValue=1.0)
    framed = cv2.resize(framed, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    inside = cv2.warpAffine(np.ones_like(tone), matrix, (SIZE, SIZE), borderValue=0.0)
    pixels: Uint8Array = np.clip(np.rint(framed * 255.0), 0, 255).astype(np.uint8)
    return pixels, float(1.0 - inside.mean())


def frame_drawing(drawing: Drawing, target: Points, predictor: Path) -> Uint8Array | str:
    """Clean one drawing and frame it, or say in a word why not.

    Args:
        drawing: What to frame.
        target: Where the landmarks should land, shape (5, 2).
        predictor: dlib's 5-point model file.

    Returns:
        Pixels, shape (SIZE, SIZE), or the reason to skip it.
    """
    landmarks = find_landmarks(np.asarray(open_image(drawing.photo)), predictor)
    if landmarks is None:
        return "no face found"
    sketch = open_image(drawing.sketch)
    drawn = find_landmarks(np.asarray(sketch), predictor)
    if drawn is not None:
        # The photo gives angle and size, the drawing its place: scans lie some pixels beside it.
        shift = (drawn - landmarks).mean(axis=0)
        landmarks += shift if np.abs(shift).max() <= MAX_SHIFT else 0.0
    tone = fade_border(flatten_paper(np.asarray(sketch.convert("L"))))
    pixels, outside = warp(tone, fit_similarity(landmarks, target))
    return pixels if outside <= MAX_OUTSIDE else "too far outside"


def read_drawings(root: Path) -> list[Drawing]:
    """List the portrait drawings (`photo1_`) of both styles, in the order of attributes.tsv.

    Raises:
        DataError: If the table is missing.
    """
    table = root / "attributes.tsv"
    if not table.is_file():
        raise DataError(f"{table} is missing; SOURCE needs the FS2K set in the folder fs2k.")
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [
        Drawing(
            root / row["split"] / "photos" / row["file"],
            root / row["split"] / "sketches" / row["file"],
            row["split"],
            FOLDERS[row["style"]],
        )
        for row in rows
        if row["file"].startswith("photo1_") and row["style"] in FOLDERS
    ]


def list_images(folder: Path) -> list[Path]:
    """List the pictures of a folder by name.

    Raises:
        DataError: If there are none.
    """
    paths = sorted(path for path in folder.glob("*") if is_image_name(path.name))
    if not paths:
        raise DataError(f"{folder} holds no pictures; SOURCE needs photos of faces there.")
    return paths


# Work for the pool: arguments go in one tuple, results come back in order.
def _landmarks_job(job: tuple[Path, Path]) -> Points | None:
    return find_landmarks(np.asarray(open_image(job[0])), job[1])


def _frame_job(job: tuple[Drawing, Points, Path]) -> Uint8Array | str:
    return frame_drawing(*job)


def mean_landmarks(faces: list[Path], predictor: Path, processes: int) -> Points:
    """Average the landmarks of evenly spaced photos.

    Args:
        faces: Photos in the wanted framing, SIZE pixels a side.
        predictor: dlib's 5-point model file.
        processes: Worker processes.

    Returns:
        Pixel coordinates, shape (5, 2).

    Raises:
        DataError: If no photo shows a face.
    """
    chosen = faces[:: max(1, len(faces) // NUM_REFERENCE_FACES)][:NUM_REFERENCE_FACES]
    with get_context("spawn").Pool(processes) as pool, progress_bar() as bar:
        jobs = ((path, predictor) for path in chosen)
        results = bar.track(pool.imap(_landmarks_job, jobs, 8), len(chosen), description="faces")
        found = [points for points in results if points is not None]
    if not found:
        raise DataError(f"No face was found in {chosen[0].parent}; the photos must show faces.")
    mean: Points = np.mean(found, axis=0)
    return mean


def link_photos(faces: list[Path], out: Path) -> None:
    """Link photos into a folder; copy them where links are not allowed."""
    out.mkdir(parents=True, exist_ok=True)
    for path in faces:
        link = out / path.name
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(path.resolve())
        except OSError:
            shutil.copyfile(path, link)


def write_drawings(
    drawings: list[Drawing], target: Points, predictor: Path, out: Path, processes: int
) -> Iterator[str]:
    """Frame and write all drawings; every VAL_EVERY-th of train goes to val.

    Args:
        drawings: What to frame.
        target: Where the landmarks should land, shape (5, 2).
        predictor: dlib's 5-point model file.
        out: Root of the data set.
        processes: Worker processes.

    Yields:
        What became of each drawing: "split/folder", or the reason why it was skipped.
    """
    written: Counter[str] = Counter()
    jobs = ((drawing, target, predictor) for drawing in drawings)
    with get_context("spawn").Pool(processes) as pool, progress_bar() as bar:
        results = bar.track(pool.imap(_frame_job, jobs, 8), len(drawings), description="drawings")
        for drawing, pixels in zip(drawings, results, strict=True):
            if isinstance(pixels, str):
                yield f"skipped {drawing.split}/{drawing.folder}: {pixels}"
                continue
            order = f"{drawing.split}/{drawing.folder}"
            written[order] += 1
            hold_out = drawing.split == "train" and written[order] % VAL_EVERY == 0
            folder = out / ("val" if hold_out else drawing.split) / drawing.folder
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{drawing.sketch.stem}.png"), pixels)
            yield str(folder.relative_to(out))


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--predictor",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="dlib's shape_predictor_5_face_landmarks.dat.",
)
@click.option("--processes", default=2, show_default=True, help="Worker processes.")
def main(source: Path, out: Path, predictor: Path, processes: int) -> None:
    """Write OUT/{train,val,test}/{photos,sketches/line,sketches/hatch} from SOURCE/{faces,fs2k}."""
    try:
        drawings = read_drawings(source / "fs2k")
        faces = {name: list_images(source / "faces" / name) for name in ("train", "val", "test")}
        target = mean_landmarks(faces["train"], predictor, processes)
        for split, paths in faces.items():
            link_photos(paths, out / split / "photos")
        counts = Counter(write_drawings(drawings, target, predictor, out, processes))
    except FacesketchError as error:
        raise click.ClickException(str(error)) from error
    np.savetxt(out / "landmarks.txt", target, fmt="%.2f")
    counts.update({f"{split}/photos": len(paths) for split, paths in faces.items()})
    for name, count in sorted(counts.items()):
        click.echo(f"{count:6d}  {name}")


if __name__ == "__main__":
    main()
