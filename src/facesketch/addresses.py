"""Where a data set is: a folder of this machine, or an address that fsspec knows, s3://..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

Place = TypeVar("Place", str, Path)


def is_remote(address: str) -> bool:
    """Say whether an address is more than the name of a folder: has a protocol, or several."""
    return "://" in address or "::" in address


def absolute(place: Place) -> Place:
    """Return the same place for any working folder."""
    if isinstance(place, str):
        return place if is_remote(place) else str(Path(place).absolute())
    return place.absolute()


def _normalise(value: object) -> object:
    if isinstance(value, str) and is_remote(value):
        return value.rstrip("/")
    return str(Path(value)) if isinstance(value, str | Path) else value


Address = Annotated[str, BeforeValidator(_normalise)]
"""Type of a setting that holds one; a `Path` is taken as well."""
