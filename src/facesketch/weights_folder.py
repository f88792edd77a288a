"""What a folder of weights offers: sketch2photo.onnx, and photo2sketch.onnx or one a style."""

from __future__ import annotations

import io
import re
from pathlib import Path

from facesketch.errors import UsageError, WeightsError
from facesketch.protobuf import fields
from facesketch.weights_info import STYLE_NAME, Direction, WeightsInfo, file_name

FIRST_STYLE = "line"
"""The default style of weights that do not say which one they learned first."""

STYLE_FILE = re.compile(rf"photo2sketch-({STYLE_NAME})\.onnx")

METADATA_FIELD, KEY_FIELD, VALUE_FIELD = 14, 1, 2
"""Numbers of ModelProto.metadata_props, and of what stands in each, in onnx.proto."""

MAX_METADATA_BYTES = 1_000_000
"""Longest entry that is read."""


def available_styles(folder: Path) -> tuple[str, ...]:
    """List the styles that a folder's generators draw in.

    Args:
        folder: Files as `facesketch export` writes them; none is loaded.

    Returns:
        Names, the default first: the first that training was given, else "line", else the first
        by name. Empty where the one photo2sketch.onnx has no name for its style.

    Raises:
        WeightsError: If files with and without a style lie side by side.
    """
    matches = [STYLE_FILE.fullmatch(path.name) for path in folder.glob("photo2sketch-*.onnx")]
    styles = {match[1] for match in matches if match}
    unnamed = folder / file_name("photo2sketch")
    if styles and unnamed.exists():
        raise WeightsError(
            f"{unnamed} lies beside generators of a style, {', '.join(sorted(styles))}; move it "
            "away, or name its style too, as in photo2sketch-mine.onnx."
        )
    learned = _learned_styles(folder) or (FIRST_STYLE,)
    return (
        *(style for style in learned if style in styles),
        *sorted(styles.difference(learned)),
    )


def choose_style(folder: Path, styles: tuple[str, ...], wanted: str | None) -> str:
    """Return the style to draw in.

    Args:
        folder: Where the weights are, for the error.
        styles: What `available_styles` said of it.
        wanted: A style, or None for the default.

    Returns:
        A name, or "" where the only style has none.

    Raises:
        UsageError: If there is no such style.
    """
    offered = styles or ("",)
    if wanted is None:
        return offered[0]
    if wanted not in offered:
        raise UsageError(
            f"there is no style {wanted!r} in {folder}; choose one of {', '.join(styles)}."
            if styles
            else f"there is no style {wanted!r} in {folder}: its drawings have one style without a "
            "name, so leave it away."
        )
    return wanted


def generator_file(folder: Path, direction: Direction) -> Path:
    """Return where a generator's file is, or should be; of several styles the default's."""
    to_sketch = direction == "photo2sketch"
    style = choose_style(folder, available_styles(folder), None) if to_sketch else ""
    return folder / file_name(direction, style)


def _learned_styles(folder: Path) -> tuple[str, ...]:
    """Read which styles were learned, from the first file that knows: all of an export do."""
    for path in (folder / file_name("sketch2photo"), *sorted(folder.glob("photo2sketch-*.onnx"))):
        try:
            styles = WeightsInfo.from_metadata(read_metadata(path), path.name).styles
        except WeightsError:  # whoever loads the file says what is wrong with it
            continue
        if styles:
            return styles
    return ()


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata_props of an ONNX file and nothing else of it.

    Raises:
        WeightsError: If the file is missing or no ONNX file.
    """
    try:
        with path.open("rb") as file:
            entries = [
                dict(fields(io.BytesIO(entry), {KEY_FIELD, VALUE_FIELD}))
                for _, entry in fields(file, {METADATA_FIELD}, most=MAX_METADATA_BYTES)
            ]
        return {entry[KEY_FIELD].decode(): entry[VALUE_FIELD].decode() for entry in entries}
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read; write it with `facesketch export`.") from error
