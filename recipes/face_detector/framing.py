"""Measure where the detector sees the points of faces in the framing of the generators.

    python recipes/face_detector/framing.py FACES_VAL

FACES_VAL is a folder of portraits in that framing. The means go into
`facesketch.alignment.CANONICAL_KEYPOINTS`; everything is in units of a picture's side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facesketch.faces import FaceDetector
from facesketch.images import is_image_name, open_image

NAMES = ("eye", "eye", "nose", "mouth", "ear", "ear")


def main() -> None:
    """Print means and standard deviations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, help="folder of aligned portraits")
    args = parser.parse_args()
    detector = FaceDetector()
    points = []
    for path in sorted(args.faces.iterdir()):
        if is_image_name(path.name):
            image = open_image(path)
            faces = detector.find(image)
            if len(faces) == 1:
                points.append(np.array(faces[0].keypoints) / image.width)
    mean, deviation = np.mean(points, axis=0), np.std(points, axis=0)
    print(f"{len(points)} faces")
    for name, (x, y), (dx, dy) in zip(NAMES, mean, deviation, strict=True):
        print(f"{name:6} ({x:.4f}, {y:.4f})  deviation ({dx:.4f}, {dy:.4f})")


if __name__ == "__main__":
    main()
