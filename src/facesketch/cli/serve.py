"""`facesketch serve`: the settings of server/config.py as options."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from facesketch.errors import MissingExtraError
from facesketch.server.config import ServerConfig, build_config


def run_serve(open_browser: bool, **options: Any) -> None:
    """Open the studio: a web page, and an API, that convert on this machine.

    Every setting can also come from the environment: --port is FACESKETCH_PORT, and so on.

    \b
    facesketch serve --open
    FACESKETCH_API_KEY=a-long-secret-key facesketch serve --host 0.0.0.0
    """  # noqa: D301  # click wants the character itself
    config = build_config(options)
    try:
        from facesketch.server.app import create_app  # noqa: PLC0415
        from facesketch.server.serving import run  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("facesketch serve", "serve") from error

    def announce(address: str) -> None:
        click.echo(f"The studio is at {address} (Ctrl-C stops it).")
        if open_browser and has_browser():
            webbrowser.open(address)

    run(create_app(config), announce)


def has_browser() -> bool:
    """Say whether there is a browser with a window; one in the terminal would be in the way."""
    try:
        return type(webbrowser.get()) is not webbrowser.GenericBrowser
    except webbrowser.Error:
        return False


def setting_option(name: str, info: FieldInfo) -> click.Option:
    """Turn a setting into an option; what was not given stays None, for the environment."""
    flag = "--" + name.replace("_", "-")
    default = "" if info.default is None else f"  [{info.default}]"
    text = f"{info.description}{default}"
    if info.annotation is bool:
        return click.Option([flag], is_flag=True, default=None, help=str(info.description))
    kinds = {int: "NUMBER", float: "NUMBER", Path: "FOLDER", SecretStr: "KEY"}
    annotations = [info.annotation, *get_args(info.annotation)]
    metavar = next((name for kind, name in kinds.items() if kind in annotations), "TEXT")
    # Values stay text here: config.py validates them, whether option or variable.
    return click.Option([flag], default=None, metavar=metavar, help=text)


serve = click.Command(
    "serve",
    callback=run_serve,
    help=run_serve.__doc__,
    params=[
        click.Option(
            ["--open", "open_browser"],
            is_flag=True,
            help="Open the browser too, where there is one.",
        ),
        *(setting_option(name, info) for name, info in ServerConfig.model_fields.items()),
    ],
)
