"""The `facesketch` command: parses, calls, prints. Commands are imported when they are run."""

from __future__ import annotations

import importlib
import io
import logging
import sys

import click

from facesketch import __version__
from facesketch.errors import FacesketchError

# name -> (module:attribute, one line of help); the help is here so that listing imports nothing.
COMMANDS = {
    "convert": (
        "facesketch.cli.convert:convert",
        "Turn photos into sketches and sketches into photos.",
    ),
    "serve": ("facesketch.cli.serve:serve", "Open the studio: a web page and an API."),
    "train": ("facesketch.cli.train:train", "Train both generators on two folders of images."),
    "export": (
        "facesketch.cli.weights:export",
        "Turn a training run into ONNX files, checked against PyTorch.",
    ),
    "import": (
        "facesketch.cli.weights:import_checkpoint",
        "Bring in a generator of pytorch-CycleGAN-and-pix2pix.",
    ),
    "quantize": (
        "facesketch.cli.weights:quantize",
        "Make int8 variants of generators for --device openvino.",
    ),
    "evaluate": (
        "facesketch.cli.evaluate:evaluate",
        "Measure how good generators are: metrics.json, pictures, a report.",
    ),
    "data": ("facesketch.cli.data:data", "Download, align, draw, check and pack training data."),
}


def _enable_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta["facesketch.debug"] = True
        logging.getLogger("facesketch").setLevel(logging.DEBUG)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each one when it is used."""

    def __init__(self, *args: object, lazy: dict[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of the table: what people need first comes first."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and give every command the `--debug` option."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  # our own table
        if not any(param.name == "debug" for param in command.params):
            command.params.append(debug_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        if not rows:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def debug_option() -> click.Option:
    """Make the `--debug` option, the same for every command."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_enable_debug,
        help="Show the traceback of an error, and more of the log.",
    )


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    params=[debug_option()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="facesketch")
def cli() -> None:
    """Turn face photos into sketches and sketches into face photos.

    \b
    facesketch convert portrait.jpg                      a sketch beside the photo
    facesketch serve --open                              the studio, in the browser
    facesketch train --photos faces --sketches drawings  generators of your own
    """  # noqa: D301  # click wants the character itself


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("facesketch").setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold any byte
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:  # noqa: PLR0911  # one return an ending
    debug = False
    try:
        with cli.make_context("facesketch", list(argv)) as ctx:
            try:
                cli.invoke(ctx)
            finally:
                debug = bool(ctx.meta.get("facesketch.debug"))
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("facesketch: interrupted.", err=True)
        return 130
    except FacesketchError as error:
        if debug:
            raise
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:  # the one place where a bug becomes a sentence
        if debug:
            raise
        _complain(
            f"unexpected {type(error).__name__}: {error}; run again with --debug to see where."
        )
        return 1
    return 0


def _complain(text: str) -> None:
    """Write an error, its file names without control characters."""
    from facesketch.console import printable  # noqa: PLC0415

    click.echo("facesketch: " + "\n".join(map(printable, text.splitlines())), err=True)
