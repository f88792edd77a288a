"""`facesketch export`, `facesketch import` and `facesketch quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesketch.errors import MissingExtraError, UsageError
from facesketch.weights_info import DIRECTIONS, Direction

if TYPE_CHECKING:
    from facesketch.export import Exported

PATH = click.Path(path_type=Path)


def _need_torch(command: str) -> None:
    try:
        import onnxscript  # noqa: F401, PLC0415
        import torch  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError(f"facesketch {command}", "train") from error


def _report(exported: Exported) -> None:
    size = exported.path.stat().st_size / 1e6
    click.echo(
        f"{exported.path}: {size:.1f} MB, differs from PyTorch by at most "
        f"{exported.max_difference:.1e} on {exported.num_images} images"
    )


@click.command("export")
@click.argument("run", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="Folder for the ONNX files.")
@click.option(
    "--data",
    metavar="ROOT",
    help="Data set for the parity check, where the run's own images are elsewhere.",
)
@click.option("--photos", type=PATH, metavar="DIR", help="Photos for it, instead of --data.")
@click.option("--sketches", type=PATH, metavar="DIR", help="Sketches for it, with --photos.")
@click.option("--licence", help="Licence of the weights, instead of the run's.")
@click.option("--training-data", help="What they learned from, instead of what the run says.")
@click.option("--half", is_flag=True, help="Store weights in 16 bits: files of half the size.")
@click.option(
    "--best", is_flag=True, help="Those with the lowest KID in validation, not the newest."
)
def export(
    run: Path,
    out: Path,
    *,
    half: bool,
    best: bool,
    **options: str | Path | None,
) -> None:
    """Turn a training run into ONNX files, checked against PyTorch.

    RUN is the folder of a training; its newest averaged generators become OUT/photo2sketch.onnx
    and OUT/sketch2photo.onnx, or one OUT/photo2sketch-STYLE.onnx for each style. Each is compared
    with PyTorch on real images before it is written.

    \b
    facesketch export runs/first -o weights
    facesketch convert portrait.jpg --weights weights
    """  # noqa: D301  # click wants the character itself
    _need_torch("export")
    from facesketch.export import export_run  # noqa: PLC0415

    changes = {name: value for name, value in options.items() if value is not None}
    for exported in export_run(run, out, best=best, changes=changes, half=half):
        _report(exported)


@click.command("import")
@click.argument("checkpoint", type=PATH)
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    required=True,
    help="What the generator does.",
)
@click.option("-o", "--out", type=PATH, required=True, help="Folder for the ONNX file.")
@click.option(
    "--image-size",
    type=click.IntRange(32, 4096),
    default=256,
    show_default=True,
    help="Size it was trained with (px).",
)
@click.option("--licence", default="not stated", help="Licence of the weights.")
@click.option(
    "--check", "photos", type=PATH, multiple=True, help="Picture for the parity check, repeatable."
)
def import_checkpoint(  # noqa: PLR0917  # click calls it by keyword
    checkpoint: Path,
    direction: Direction,
    out: Path,
    image_size: int,
    licence: str,
    photos: tuple[Path, ...],
) -> None:
    """Bring in a generator of pytorch-CycleGAN-and-pix2pix.

    CHECKPOINT is its latest_net_G_A.pth or the like: a ResNet generator with instance norm. Only
    weights are read, no code in the file is run.

    \b
    facesketch import latest_net_G_A.pth --direction photo2sketch -o weights
    """  # noqa: D301  # click wants the character itself
    _need_torch("import")
    from facesketch.reference_import import import_generator  # noqa: PLC0415

    exported = import_generator(
        checkpoint, direction, out, image_size=image_size, licence=licence, photos=list(photos)
    )
    _report(exported)


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--photos", type=PATH, metavar="DIR", help="Photos, for photo2sketch.onnx.")
@click.option("--sketches", type=PATH, metavar="DIR", help="Sketches, for sketch2photo.onnx.")
def quantize(weights: Path, photos: Path | None, sketches: Path | None) -> None:
    """Make int8 variants of generators, which --device openvino takes.

    WEIGHTS is a folder that `facesketch export` wrote; photo2sketch.int8.onnx and
    sketch2photo.int8.onnx come beside its files. Half of up to 128 pictures of each folder set the
    ranges of the numbers, on the other half the loss is measured: the smaller, the better.

    \b
    facesketch quantize weights --photos faces --sketches drawings
    facesketch convert portrait.jpg --weights weights --device openvino
    """  # noqa: D301  # click wants the character itself
    given: dict[Direction, Path | None] = {"photo2sketch": photos, "sketch2photo": sketches}
    folders = {direction: folder for direction, folder in given.items() if folder is not None}
    if not folders:
        raise UsageError("Nothing to calibrate on; name --photos, --sketches or both.")
    from facesketch.quantize import quantize_folder  # noqa: PLC0415

    for result in quantize_folder(weights, folders):
        size = result.path.stat().st_size / 1e6
        click.echo(
            f"{result.path}: {size:.1f} MB, differs from float32 by {result.difference:.2f} grey "
            f"levels on average, PSNR {result.psnr:.1f} dB, on {result.num_images} images"
        )
