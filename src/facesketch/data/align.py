"""Cut the faces out of a folder of photos: all cores, restartable, one portrait per photo."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from facesketch.alignment import align
from facesketch.data.per_photo import clear_leftovers, is_done, list_photos, run_all, write_result
from facesketch.errors import ImageError
from facesketch.faces import face_detector
from facesketch.images import encode, open_image


@dataclass(frozen=True)
class AlignReport:
    """What `align_folder` did.

    Attributes:
        num_cut: Portraits written.
        num_skipped: Portraits that were there already.
        num_several: Photos among those that were cut that show several faces.
        without_face: Relative names of photos in which no face was found.
        failed: Relative name and reason for each photo that cannot be read.
    """

    num_cut: int
    num_skipped: int
    num_several: int
    without_face: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


class _Seen(NamedTuple):
    """What one photo showed; `problem` says why it could not be read."""

    name: str
    num_faces: int = 0
    problem: str | None = None


def align_folder(
    photos: Path, out: Path, size: int = 256, *, num_workers: int | None = None
) -> AlignReport:
    """Cut the largest face out of every photo below a folder, as a PNG of its relative name.

    It is upright, in the framing of the shipped generators; where the photo ends, it is mirrored.
    Portraits that exist are left alone, and one appears under its name only once it is complete:
    run it again after any interruption and it goes on where it was.

    Args:
        photos: Folder of photos, searched with its sub-folders.
        out: Folder for the portraits, made if needed.
        size: Their side in pixels.
        num_workers: Processes; by default one per core.

    Returns:
        Counts, and the photos that gave no portrait.

    Raises:
        UsageError: If `out` is `photos` or lies inside it.
        DataError: If there are no photos, or a portrait cannot be written.
    """
    names = portrait_names(list_photos(photos, out))
    todo = [(photo, name) for photo, name in names.items() if not is_done(out / name)]
    clear_leftovers(out / name for _, name in todo)
    job = partial(_align_one, photos=photos, out=out, size=size)
    num_done = len(names) - len(todo)
    looks = run_all(job, todo, doing="cutting faces", num_done=num_done, num_workers=num_workers)
    seen = list(looks)
    return AlignReport(
        num_cut=sum(each.num_faces > 0 for each in seen),
        num_skipped=num_done,
        num_several=sum(each.num_faces > 1 for each in seen),
        without_face=tuple(x.name for x in seen if x.problem is None and not x.num_faces),
        failed=tuple((x.name, x.problem) for x in seen if x.problem is not None),
    )


def portrait_names(photos: list[str]) -> dict[str, str]:
    """Name the portraits: a.jpg becomes a.png, but a.jpg.png where another photo would too.

    No two are equal, even where upper and lower case are the same.
    """
    short = {photo: str(PurePosixPath(photo).with_suffix(".png")) for photo in photos}
    counts = Counter(name.casefold() for name in short.values())
    whole = {f"{photo}.png".casefold() for photo in photos}
    taken = whole | {name for name, count in counts.items() if count > 1}
    return {p: f"{p}.png" if name.casefold() in taken else name for p, name in short.items()}


def _align_one(item: tuple[str, str], *, photos: Path, out: Path, size: int) -> _Seen:
    """Cut the face out of one photo; a picture that is broken is a result, not an end."""
    photo, portrait = item
    try:
        image = open_image(photos / photo)
    except ImageError as error:
        return _Seen(photo, problem=str(error))
    faces = face_detector().find(image)
    if faces:
        cut = align(image, faces[0], size, margin=0, outside="mirror")
        write_result(out / portrait, encode(cut, "PNG"))
    return _Seen(photo, len(faces))
