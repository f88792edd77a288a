"""What settings are made of: how one is declared, read from a file, and what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from facesketch.errors import ConfigError

Group = Literal["Data", "Model", "Losses", "Optimisation", "Hardware", "Run"]


def setting(
    default: object, group: Group, unit: str, text: str, *, resume: bool = False, **limits: Any
) -> Any:
    """Declare one setting.

    Args:
        default: Value of the `compact` preset.
        group: Heading in the help.
        unit: Unit of the value, "" for none.
        text: One sentence of help.
        resume: Whether it may change when a run is resumed.
        **limits: Bounds for pydantic, for instance `gt=0`.
    """
    extra: dict[str, Any] = {"group": group, "unit": unit, "resume": resume}
    return Field(default, description=text, json_schema_extra=extra, **limits)


def load_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file; its keys are setting names, and `preset`.

    Raises:
        ConfigError: If the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def explain(error: ValidationError, model: type[BaseModel], command: str) -> str:
    """Turn pydantic's report into one sentence per field, joined.

    Args:
        error: What pydantic raised.
        model: The settings that were validated.
        command: The command whose help lists them.
    """
    sentences = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"is not a setting; see `{command} --help`"
        if problem["type"] == "string_pattern_mismatch":
            text = f"must be {model.model_fields[name].description}".rstrip(".")
        got = (
            f" (got {problem['input']!r})" if name and problem["type"] != "extra_forbidden" else ""
        )
        sentences.append(f"{name}: {text}{got}" if name else text)
    return "; ".join(sentences) + "."
