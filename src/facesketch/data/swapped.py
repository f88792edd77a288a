"""Whether folders of photos and sketches hold what they should: a look at some pictures."""

from __future__ import annotations

from contextlib import suppress

from facesketch.domain import VIEW_SIZE, DomainClassifier
from facesketch.errors import ImageError
from facesketch.images import Domain, open_image

NUM_LOOKS = 20
"""So many pictures of a folder are looked at, spread over their names."""

_PLURAL: dict[Domain, str] = {"photo": "photos", "sketch": "sketches"}


def tell_swapped(path: str, domain: Domain, pictures: list[str]) -> str | None:
    """Say so where most of a folder's pictures surely look like those of the other domain.

    Args:
        path: The folder.
        domain: What it should hold.
        pictures: Paths of its images; broken ones are passed over.
    """
    classifier = DomainClassifier()
    others = guesses = 0
    for picture in pictures[:: max(1, len(pictures) // NUM_LOOKS)][:NUM_LOOKS]:
        with suppress(ImageError):
            guess = classifier.guess(open_image(picture, draft_size=2 * VIEW_SIZE))
            guesses += 1
            others += guess.is_sure and guess.domain != domain
    if 2 * others <= guesses:
        return None
    other: Domain = "sketch" if domain == "photo" else "photo"
    return f"{path}: most of the {_PLURAL[domain]} look like {_PLURAL[other]}; are folders swapped?"
