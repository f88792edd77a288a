"""RUN/samples: the same photos and sketches, translated there and back, as the networks learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facesketch import images
from facesketch.config import TrainConfig
from facesketch.data.dataset import Domains, whole_crops
from facesketch.data.files import ImageList
from facesketch.data.pens import numbers_by_style
from facesketch.train_state import TrainState
from facesketch.writing import write_whole

NUM_SAMPLES = 4
"""Rows of the picture grid; with several styles as many of each as fit, and one at least."""


class Samples:
    """Photos, sketches and their styles, read once, of which grids are made."""

    def __init__(self, config: TrainConfig, domains: Domains) -> None:
        """Read them, spread over the domains.

        Raises:
            DataError: If no image of a domain can be read.
        """
        size = config.image_size
        by_style = numbers_by_style(domains.sketches, config)
        num_each = max(1, NUM_SAMPLES // len(by_style))
        drawn = [
            (sketch, style)
            for style, numbers in enumerate(by_style)
            for sketch in _read(domains.sketches, numbers, num_each, size, config.sketch_mode)
        ]
        everything = np.arange(len(domains.photos))
        photos = _read(domains.photos, everything, len(drawn), size, "RGB")
        sketches, styles = zip(*drawn[: len(photos)], strict=True)
        self.photo = torch.stack(photos[: len(sketches)])
        self.sketch = torch.stack(sketches)
        self.style = torch.tensor(styles)

    def save(self, run: Path, state: TrainState) -> None:
        """Write the grid of a step: RUN/samples/step-STEP.png."""
        inputs = map(state.to_device, (self.photo, self.sketch, self.style))
        with state.autocast():
            grid = sample_grid(dict(state.ema.items()), *inputs)
        with write_whole(run / "samples" / f"step-{state.step:08d}.png") as partial:
            partial.write_bytes(images.encode(grid, "PNG", generated_photo=True))


@torch.no_grad()
def sample_grid(
    generators: dict[str, torch.nn.Module],
    photo: Tensor,
    sketch: Tensor,
    style: Tensor | None = None,
) -> Image.Image:
    """Real, translated and round trip, both ways: six columns.

    Args:
        generators: The two generators by direction.
        photo: (B, 3, H, W), range [-1, 1].
        sketch: (B, C, H, W), range [-1, 1].
        style: Number of each sketch's style, shape (B,), in which its photo is drawn as well; None
            is the first.
    """
    fake_sketch = generators["photo2sketch"](photo, style)
    rec_photo = generators["sketch2photo"](fake_sketch)
    fake_photo = generators["sketch2photo"](sketch)
    rec_sketch = generators["photo2sketch"](fake_photo, style)
    return _picture_grid([photo, fake_sketch, rec_photo, sketch, fake_photo, rec_sketch])


def _read(
    folder: ImageList, numbers: NDArray[np.integer], wanted: int, size: int, mode: images.Mode
) -> list[Tensor]:
    """Read up to `wanted` whole images, spread over the numbers."""
    wanted = min(wanted, len(numbers))
    spread = numbers[:: max(1, len(numbers) // (4 * wanted))]
    return whole_crops(folder, spread, wanted, size, mode)


def _picture_grid(columns: list[Tensor]) -> Image.Image:
    """Lay out pictures: one column a stage, one row a sample.

    Args:
        columns: Each (B, 1 or 3, H, W), float32, range [-1, 1].

    Returns:
        RGB picture of B x len(columns) tiles, 4 px of white between them.
    """
    gap = 4
    num_rows, _, height, width = columns[0].shape
    size = (len(columns) * (width + gap) - gap, num_rows * (height + gap) - gap)
    grid = Image.new("RGB", size, "white")
    for x, column in enumerate(columns):
        for y, planes in enumerate(column.float().cpu().numpy().astype(np.float32)):
            tile = Image.fromarray(images.denormalise(planes))
            grid.paste(tile.convert("RGB"), (x * (width + gap), y * (height + gap)))
    return grid
