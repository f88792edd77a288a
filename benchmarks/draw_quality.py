"""Strokes of `facesketch data draw` against the published recipe's rough drawing, and its speed.

python benchmarks/draw_quality.py PHOTOS

A stroke is a connected piece of the thinned ink. The raw recipe is gray, so it is counted at two
thresholds: gray 128 (its darkest lines only) and gray 192 (about what the eye sees).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facesketch.data.draw import draw_folder
from facesketch.data.line_drawing import draw_lines, rough_drawing
from facesketch.data.strokes import thin
from facesketch.images import is_image_name, open_image

FRAME = 3  # the raw recipe's dark frame, px; it is no stroke


def stroke_lengths(drawing: Image.Image, threshold: int) -> list[int]:
    """Length of each connected piece of ink, px."""
    ink = np.asarray(drawing)[FRAME:-FRAME, FRAME:-FRAME] < threshold
    _, _, stats, _ = cv2.connectedComponentsWithStats(thin(ink), connectivity=8)
    lengths: list[int] = stats[1:, cv2.CC_STAT_AREA].tolist()
    return lengths


def row(name: str, drawings: list[Image.Image], threshold: int) -> str:
    """One line of the table: means and medians over all drawings."""
    lengths = [stroke_lengths(drawing, threshold) for drawing in drawings]
    pieces = statistics.mean(len(strokes) for strokes in lengths)
    median = statistics.median(length for strokes in lengths for length in strokes)
    total = sum(length for strokes in lengths for length in strokes)
    long = sum(n for strokes in lengths for n in strokes if n >= 20) / total
    return f"{name:24} {threshold:9} {pieces:16.0f} {median:18.0f} {long:22.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--num-photos", type=int, default=48)
    args = parser.parse_args()
    paths = sorted(p for p in args.photos.rglob("*") if is_image_name(p.name))
    paths = paths[:: max(1, len(paths) // args.num_photos)][: args.num_photos]
    photos = [open_image(path) for path in paths]
    cv2.setNumThreads(1)
    start = time.process_time()
    ours = [Image.fromarray(draw_lines(np.asarray(photo))) for photo in photos]
    cpu_ms = (time.process_time() - start) / len(photos) * 1000
    raw = [rough_drawing(photo) for photo in photos]

    print(f"{len(photos)} photos of {photos[0].width}x{photos[0].height}")
    print(
        f"{'':24} {'ink below':>9} {'strokes a photo':>16} {'median length, px':>18} "
        f"{'ink in strokes >= 20px':>22}"
    )
    for threshold in (128, 192):
        print(row("raw recipe", raw, threshold))
        print(row("facesketch data draw", ours, threshold))

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photos"
        source.mkdir()
        for path in paths:
            shutil.copy(path, source / path.name)
        start = time.perf_counter()
        draw_folder(source, Path(folder) / "sketches")
        rate = len(paths) / (time.perf_counter() - start)
    print(
        f"{cpu_ms:.0f} ms of one core a photo; {rate:.1f} photos/s on {os.cpu_count()} cores, "
        "start of the processes, reading and writing included"
    )


if __name__ == "__main__":
    main()
