# ruff: noqa: PLC0415  # imports inside functions keep the start of the command line fast
"""`facesketch data check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from facesketch.data.check import DataReport

NAMES_SHOWN = 20
"""File names listed under each heading; the JSON has them all."""

DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("root", required=False, type=DIRECTORY)
@click.option("--photos", type=DIRECTORY, metavar="DIR", help="Folder of photos, with --sketches.")
@click.option("--sketches", type=DIRECTORY, metavar="DIR", help="Folder of sketches.")
@click.option("--json", "as_json", is_flag=True, help="Print the report, all names in it, as JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    root: Path | None,
    photos: Path | None,
    sketches: Path | None,
    as_json: bool,
) -> None:
    """Look for what would spoil a training; exit code 1 if it would fail.

    \b
    facesketch data check ROOT                        ROOT/train/photos, ROOT/train/sketches, ...
    facesketch data check --photos DIR --sketches DIR  any two folders

    Every image is decoded. Broken files, files that are no images, small images, missing partners
    and pictures that are there twice are counted and named.
    """  # noqa: D301  # click wants the character itself
    from facesketch.data.check import check_folders, check_root

    if root is not None and photos is None and sketches is None:
        report = check_root(root)
    elif root is None and photos is not None and sketches is not None:
        report = check_folders(photos, sketches)
    else:
        raise click.UsageError("Give either ROOT, or --photos DIR and --sketches DIR.")
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _show(report)
    if not report.ok:
        ctx.exit(1)


def _show(report: DataReport) -> None:
    """Print the report for people: a table, then the names, then the verdict."""
    from rich.console import Console

    console = Console(highlight=False)
    if report.folders:
        console.print(_table(report))
    for pair in report.pairs:
        alone = len(pair.photos_without_sketch), len(pair.sketches_without_photo)
        told = f"{pair.num_pairs:,} pairs by name"
        if not pair.num_pairs:
            told = "no pairs by name, so taken as unpaired"
        elif any(alone):
            told += f"; without a partner: photos {alone[0]:,}, sketches {alone[1]:,}"
        console.print(f"{pair.split}: {told}")
    _show_names(console, report)
    _list(console, "Worth a look", report.warnings, "yellow")
    _list(console, "Training would fail", report.errors, "red")
    if report.ok:
        counts = {f.domain: f.num_usable for f in report.folders if f.split == "train"}
        console.print(
            f"\n[bold green]Ready for training[/]: {counts['photo']:,} photos and "
            f"{counts['sketch']:,} sketches can be read.",
            soft_wrap=True,
        )


def _table(report: DataReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Folder", no_wrap=True)
    table.add_column("Images", justify="right", no_wrap=True)
    table.add_column("Broken", justify="right", no_wrap=True)
    table.add_column("Shorter side, px\nmin / median / max", justify="right", no_wrap=True)
    table.add_column("Modes")
    for folder in report.folders:
        side = folder.shorter_side
        num_broken = len(folder.broken)
        table.add_row(
            folder.label,
            f"{folder.num_images:,}",
            f"[bold red]{num_broken:,}[/]" if num_broken else "[dim]0[/]",
            f"{side.min_px:,} / {side.median_px:,} / {side.max_px:,}" if side else "-",
            "\n".join(f"{mode} {count:,}" for mode, count in folder.modes.items()),
        )
    return table


def _show_names(console: Console, report: DataReport) -> None:
    """List the files behind the counts."""
    broken = [f"{each.path} {each.reason}" for f in report.folders for each in f.broken]
    _list(console, "Broken", broken)
    _list(console, "Not images", [name for f in report.folders for name in f.not_images])
    for pair in report.pairs:
        if pair.num_pairs:
            _list(console, f"Photos without a sketch, {pair.split}", pair.photos_without_sketch)
            _list(console, f"Sketches without a photo, {pair.split}", pair.sketches_without_photo)
        shapes = [" and ".join(names) for names in pair.other_shapes]
        _list(console, f"Pairs of two shapes, {pair.split}", shapes)
    _list(console, "Small", [name for f in report.folders for name in f.small])
    for heading, groups in {
        "In more than one split": report.duplicates.across_splits,
        "Both photo and sketch": report.duplicates.across_domains,
        "Twice in a folder": report.duplicates.within_folder,
    }.items():
        _list(console, heading, [" = ".join(group) for group in groups])


def _list(console: Console, heading: str, lines: Sequence[str], colour: str = "default") -> None:
    """Print a heading and lines below it, the first of them if they are many."""
    from rich.text import Text

    from facesketch.console import printable

    if not lines:
        return
    console.print(f"\n[bold {colour}]{heading}[/]")
    for line in lines[:NAMES_SHOWN]:
        console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    if len(lines) > NAMES_SHOWN:
        console.print(f"  [dim]... and {len(lines) - NAMES_SHOWN:,} more (--json has all)[/]")
