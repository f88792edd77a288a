"""How often photos and sketches are told apart, whatever their colour, paper, size or file.

python benchmarks/domain_accuracy.py FACES_TEST FS2K_TEST

Prints one row a set and treatment; exits with 1 if any falls below 99.5%.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from facesketch.domain import SURE_PROBABILITY, DomainClassifier
from facesketch.images import Domain, is_image_name, open_image

TARGET = 0.995
Treatment = Callable[[Image.Image], Image.Image]


def tinted(paper: tuple[int, int, int]) -> Treatment:
    """Lay the picture's luma on paper of a colour."""
    return lambda image: ImageOps.colorize(image.convert("L"), (0, 0, 0), paper)


def faded(image: Image.Image) -> Image.Image:
    """Soft gray pencil on mid-gray paper."""
    return image.convert("L").point([round(90 + 60 * i / 255) for i in range(256)])


def spotted(image: Image.Image) -> Image.Image:
    """Old cream paper: uneven light and grain."""
    luma = np.asarray(image.convert("L"), dtype=np.float32) / 255
    light = np.linspace(0.65, 1.0, luma.shape[1], dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 0.03, luma.shape)
    page = np.clip(luma * light + grain, 0, 1)[..., None] * np.array([235, 215, 175])
    return Image.fromarray(page.astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    """A hard JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer)


def scaled(side: int) -> Treatment:
    """Shorter side of so many pixels."""
    return lambda image: image.resize(
        (
            round(image.width * side / min(image.size)),
            round(image.height * side / min(image.size)),
        ),
        Image.Resampling.BICUBIC,
    )


BOTH: dict[str, Treatment] = {
    "as it is": lambda image: image,
    "64 px": scaled(64),
    "1024 px": scaled(1024),
    "JPEG 25": jpeg,
}
HARD = {("photo", "64 px"), ("photo", "high key")}
"""What is shown and not asked for."""

TREATMENTS: dict[Domain, dict[str, Treatment]] = {
    "photo": BOTH
    | {
        "black and white": lambda image: image.convert("L"),
        "sepia": tinted((255, 228, 180)),
        "high key": lambda image: image.convert("L").point(
            [round(255 * min(1, i / 190) ** 0.7) for i in range(256)]
        ),
    },
    "sketch": BOTH
    | {
        "cream paper": tinted((245, 232, 200)),
        "kraft paper": tinted((190, 150, 105)),
        "blue paper": tinted((140, 165, 200)),
        "gray paper": tinted((150, 150, 150)),
        "dark gray paper": tinted((100, 100, 100)),
        "faint on gray": faded,
        "uneven and grainy": spotted,
    },
}


def probabilities(
    classifier: DomainClassifier, paths: list[Path], domain: Domain, treat: Treatment
) -> npt.NDArray[np.float64]:
    """Probability given to the true domain of every picture, shape (N,)."""
    answers = []
    for path in paths:
        guess = classifier.guess(treat(open_image(path)))
        answers.append(guess.probability if guess.domain == domain else 1 - guess.probability)
    return np.array(answers)


def report(classifier: DomainClassifier, name: str, paths: list[Path], domain: Domain) -> float:
    """Print the rows of one set and return the lowest accuracy that is asked for."""
    worst = 1.0
    for treatment, treat in TREATMENTS[domain].items():
        truth = probabilities(classifier, paths, domain, treat)
        right = truth > 0.5
        unsure = np.maximum(truth, 1 - truth) < SURE_PROBABILITY
        if (domain, treatment) not in HARD:
            worst = min(worst, float(right.mean()))
        print(
            f"{name:<20} {treatment:<18} {len(paths):>6} {right.mean():>9.2%} "
            f"{(unsure & right).mean():>13.2%} {(unsure & ~right).sum():>13} "
            f"{(~unsure & ~right).sum():>11}"
        )
    return worst


def milliseconds(classifier: DomainClassifier, image: Image.Image, rounds: int = 50) -> float:
    """Median time of one call."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        classifier.guess(image)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("faces_test", type=Path)
    parser.add_argument("fs2k_test", type=Path)
    args = parser.parse_args()
    classifier = DomainClassifier()
    sets: list[tuple[str, Path, Domain]] = [
        ("faces", args.faces_test, "photo"),
        ("fs2k photos", args.fs2k_test / "photos", "photo"),
        ("fs2k sketches", args.fs2k_test / "sketches", "sketch"),
    ]
    print(
        f"{'set':<20} {'treatment':<18} {'images':>6} {'right':>9} "
        f"{'right, unsure':>13} {'wrong, unsure':>13} {'wrong, sure':>11}"
    )
    worst = 1.0
    for name, folder, domain in sets:
        paths = sorted(path for path in folder.iterdir() if is_image_name(path.name))
        if not paths:
            sys.exit(f"{folder} holds no pictures.")
        worst = min(worst, report(classifier, name, paths, domain))
    for side in (256, 1024, 4000):
        image = open_image(paths[0]).resize((side, side))
        print(f"{side} px: {milliseconds(classifier, image):.1f} ms a call")
    if worst < TARGET:
        sys.exit(f"The worst row that counts is {worst:.2%}, below {TARGET:.1%}.")


if __name__ == "__main__":
    main()
