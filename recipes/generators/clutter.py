"""How much is drawn of what is behind people.

    python recipes/generators/clutter.py DATA/val/photos WEIGHTS [WEIGHTS ...]

Prints ink as a share of black, 4 px from people and further, over the 48 most restless backgrounds
and over all of the first 240 photos by name. People are cut out as in training (`backgrounds.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from backgrounds import cut_out, unrest, widened

from facesketch import Translator
from facesketch.images import is_image_name, normalise, open_image, resize_cover

SEEN, COUNT = 240, 48
SIZE = 256


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="folder of photos in the FFHQ framing")
    parser.add_argument("weights", type=Path, nargs="+", help="folders of exported generators")
    args = parser.parse_args()
    paths = sorted(path for path in args.photos.iterdir() if is_image_name(path.name))[:SEEN]
    photos = [resize_cover(open_image(path), SIZE) for path in paths]
    planes = torch.from_numpy(np.stack([normalise(np.asarray(photo)) for photo in photos]))
    people = cut_out(planes)
    restless = unrest(planes, people).argsort()[-COUNT:]
    beyond = 1 - widened(people, 4).ceil()
    print("weights  restless  all")
    for folder in args.weights:
        drawings = Translator(folder).translate(photos, "photo2sketch")
        drawn = torch.from_numpy(np.stack([np.asarray(drawing)[None] for drawing in drawings]))
        ink = (1 - drawn / 255) * beyond
        shares = (ink[i].sum() / beyond[i].sum() for i in (restless, slice(None)))
        print(f"{folder}  " + "  ".join(f"{share:.3f}" for share in shares))


if __name__ == "__main__":
    main()
