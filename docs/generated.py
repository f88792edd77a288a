"""Parts of pages that are read from the code: commands, settings, metrics, the HTTP API."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from facesketch.cli import cli
from facesketch.config import PRESETS, TrainConfig, field_extra
from facesketch.evaluation.results import METRICS
from facesketch.server import openapi
from facesketch.server.config import ENVIRONMENT_PREFIX, ServerConfig, build_config
from facesketch.weights_folder import available_styles
from facesketch.weights_info import SHIPPED_WEIGHTS

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


WANTED = {
    "lower": "lower is better",
    "higher": "higher is better",
    "like real": "as real ones have",
}
SETTINGS: dict[str, type[BaseModel]] = {"train": TrainConfig, "serve": ServerConfig}
"""Commands whose settings have a page of their own."""


def commands() -> str:
    """Describe every command."""
    context = click.Context(cli, info_name="facesketch", **cli.context_settings)
    return "\n".join(_commands(context, level=2))


def _commands(context: click.Context, level: int) -> Iterator[str]:
    """Describe what a group holds, in its order."""
    assert isinstance(context.command, click.Group)
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        yield f"{'#' * level} {inner.command_path}\n\n```text\n{inner.get_usage()}\n```\n"
        yield _help_text(command.help or "")
        yield from (_option(param, inner) for param in command.params if _is_shown(param, name))
        if name in SETTINGS:
            yield f"And all its [settings]({name}-settings.md).\n"
        if isinstance(command, click.Group):
            yield from _commands(inner, level + 1)


def _is_shown(param: click.Parameter, command: str) -> bool:
    """Leave out arguments, which the text explains, what all have, and settings."""
    settings = SETTINGS[command].model_fields if command in SETTINGS else {}
    return isinstance(param, click.Option) and param.name not in {"debug", *settings}


def _option(param: click.Parameter, context: click.Context) -> str:
    names, text = param.get_help_record(context) or ("", "")
    return f"`{names}`\n: {text}\n"


def _help_text(text: str) -> str:
    r"""Write click's help as Markdown: what a \b line keeps as it is becomes code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n".join(
        f"```text\n{each[2:]}\n```\n" if each.startswith("\b\n") else f"{each}\n"
        for each in paragraphs
    )


def training_settings() -> str:
    """Describe every setting of TrainConfig, by group."""
    lines = []
    group = ""
    for name, info in TrainConfig.model_fields.items():
        extra = field_extra(name)
        if extra["group"] != group:
            group = extra["group"]
            lines.append(f"## {group}\n")
        facts = [_default(info, extra["unit"]), *_bounds(info)]
        facts.append("may change on resume" if extra["resume"] else "fixed for a run")
        lines.append(_entry(f"`{_flag(name)}`", str(info.description), facts))
    return "\n".join(lines)


def server_settings() -> str:
    """Describe every setting of ServerConfig."""
    return "\n".join(
        _entry(
            f"`{_flag(name)}`, `{ENVIRONMENT_PREFIX}{name.upper()}`",
            str(info.description),
            [_default(info), *_bounds(info)],
        )
        for name, info in ServerConfig.model_fields.items()
    )


def presets() -> str:
    """Compare the presets, setting by setting, where one differs from the defaults."""
    defaults = {name: info.default for name, info in TrainConfig.model_fields.items()}
    changed = [name for name in defaults if any(name in preset for preset in PRESETS.values())]
    rows = (
        [f"`{_flag(name)}`", *(_value((defaults | preset)[name]) for preset in PRESETS.values())]
        for name in changed
    )
    return _table(["setting", *(f"`{name}`" for name in PRESETS)], rows)


def metrics() -> str:
    """Describe what metrics.json holds."""
    return "\n".join(
        _entry(
            f"`{name}`",
            f"**{each.label}**. {each.meaning}",
            [f"in {each.unit}" if each.unit else "", WANTED[each.better]],
        )
        for name, each in METRICS.items()
    )


def http_api() -> str:
    """Describe every path of the OpenAPI document, and the answers' models."""
    config = build_config({}, environment={})
    document = openapi.document(config, available_styles(SHIPPED_WEIGHTS))
    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(method, path, operation))
    parts.append("## Models\n")
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema:
            parts.append(f"### {name}\n\n{schema.get('description', '')}\n\n{_fields(schema)}")
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    summary = operation["summary"]
    summary += " (kept for old clients)" if "deprecated" in operation else ""
    parts = [f"## {method.upper()} {path}\n", f"{summary}. {operation.get('description', '')}\n"]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
        parts.append(f"Fields of the multipart form:\n\n{_fields(schema)}")
    answers = operation["responses"]
    media = ", ".join(map(_media, answers["200"]["content"].items()))
    parts.append(f"200: {answers['200']['description']} {media}\n")
    problems = [status for status in answers if status != "200"]
    if problems:
        parts.append(f"[Errors](#errors): {', '.join(problems)}\n")
    headers = answers["200"].get("headers", {})
    if headers:
        rows = ([f"`{name}`", header["description"]] for name, header in headers.items())
        parts.append(_table(["header", "what it says"], rows))
    return "\n".join(parts)


def _fields(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    return "\n".join(
        _entry(
            f"`{name}`",
            field.get("description", ""),
            [_kind(field), "needed" if name in needed else ""],
        )
        for name, field in schema["properties"].items()
    )


def _kind(schema: dict[str, Any]) -> str:
    """Say what a JSON schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kind = " or ".join(map(_kind, schema["anyOf"]))
    elif "enum" in schema:
        kind = ", ".join(f"`{value}`" for value in schema["enum"])
    elif "const" in schema:
        kind = f"`{schema['const']}`"
    elif schema.get("type") == "array" and "items" in schema:
        kind = f"list of {_kind(schema['items'])}"
    else:
        kind = "file" if schema.get("format") == "binary" else schema.get("type", "anything")
    if "minimum" in schema and "maximum" in schema:
        kind += f", {schema['minimum']} to {schema['maximum']}"
    if schema.get("default") is not None:
        kind += f"; `{json.dumps(schema['default'])}` if not given"
    return kind


def _media(item: tuple[str, dict[str, Any]]) -> str:
    kind, content = item
    return f"`{kind}`" + (f" {_kind(content['schema'])}" if "$ref" in content["schema"] else "")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _default(info: FieldInfo, unit: str = "") -> str:
    default = "No default" if info.default in {None, ""} else f"Default {_value(info.default)}"
    return f"{default} ({unit})" if unit else default


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _bounds(info: FieldInfo) -> list[str]:
    """Say which values are allowed."""
    if get_origin(info.annotation) is Literal:
        return ["one of " + ", ".join(f"`{value}`" for value in get_args(info.annotation))]
    limits = (
        (word, getattr(bound, key, None)) for bound in info.metadata for key, word in BOUNDS.items()
    )
    return [f"{word} {limit:,}" for word, limit in limits if limit is not None]


def _entry(term: str, text: str, facts: Iterable[str]) -> str:
    """Write one entry of a definition list."""
    told = "; ".join(fact for fact in facts if fact)
    return f"{term}\n: {text}  \n  *{told[:1].upper()}{told[1:]}.*\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part
    for part in (commands, training_settings, server_settings, presets, metrics, http_api)
}
"""What `<!-- generated: NAME -->` in a page is replaced by."""
