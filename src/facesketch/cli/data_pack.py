"""`facesketch data pack`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", metavar="ADDRESS")
@click.option(
    "--shard-mb",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Largest size of a shard, MiB.",
)
def pack(root: Path, out: str, shard_mb: int) -> None:
    """Put a data set into few large files, for training from far away.

    \b
    facesketch data pack ROOT packed/            a folder
    facesketch data pack ROOT s3://bucket/faces  any address that fsspec knows
    facesketch train --data s3://bucket/faces

    Packed are ROOT/{train,val,test}/{photos,sketches}, styles included, picture by picture as they
    are. After an interruption run the same command again: it goes on. Run on a finished pack it
    writes shards that are missing.
    """  # noqa: D301  # click wants the character itself
    from facesketch.data.pack import pack_set  # noqa: PLC0415  # heavy

    report = pack_set(root, out, shard_bytes=shard_mb * 2**20)
    for name, number in report.num_images.items():
        click.echo(f"{name}: {number:,} images")
    click.echo(
        f"Complete, {report.num_shards:,} shards ({report.num_kept:,} of them there already), "
        f"{report.num_bytes / 1e6:,.1f} MB: {out}"
    )
    click.echo(f"Train on it: facesketch train --data {shlex.quote(out)}", err=True)
