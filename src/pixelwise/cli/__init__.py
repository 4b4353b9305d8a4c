"""The command ``pixelwise``: every job of the engine, for people, scripts and the widgets.

Exit status: 0 done, 1 failed, 2 wrong use. Results go to standard output, messages and progress to
standard error.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import StringIO
from types import FrameType
from typing import Any

import click

from pixelwise.cli.console import INTERRUPTED, note, show_error, show_unexpected
from pixelwise.errors import (
    LONGEST_MESSAGE,
    BudgetError,
    PixelwiseError,
    explain_memory_error,
    is_memory_error,
    show_text,
)

# Each command is in the module of the same room; a module is imported when its command is called,
# so that "pixelwise --help" does not wait for torch.
_COMMANDS = {
    "demo": ("pixelwise.cli.demo", "Train on the shipped samples and predict others: two minutes"),
    "inspect": ("pixelwise.cli.data", "Describe a data set, and list its problems"),
    "patches": ("pixelwise.cli.data", "Cut images and masks into patches"),
    "architectures": ("pixelwise.cli.models", "List the networks and their options"),
    "info": ("pixelwise.cli.models", "Describe a network, a model file or a run"),
    "train": ("pixelwise.cli.train", "Train a network on a data set, or from a config file"),
    "improve": ("pixelwise.cli.train", "Train a model on with corrected images"),
    "resume": ("pixelwise.cli.train", "Continue a training run that was stopped"),
    "stop": ("pixelwise.cli.train", "Ask a training run to save and stop"),
    "runs": ("pixelwise.cli.train", "List the training runs in a folder"),
    "predict": ("pixelwise.cli.predict", "Predict the labels of images"),
    "evaluate": ("pixelwise.cli.predict", "Score a model on images with masks"),
    "compare": ("pixelwise.cli.compare", "Train several networks alike, and compare them"),
    "report": ("pixelwise.cli.report", "Write a page about a training run or a comparison"),
    "verify": ("pixelwise.cli.verify", "Show what made a result, and whether it has changed since"),
    "run": ("pixelwise.cli.job", "Run a job that another program wrote as JSON"),
    "serve": ("pixelwise.cli.serve", "Run small jobs for another program, such as napari"),
}


class _Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_Commands, epilog="Any command: --help for its options, --debug for tracebacks.")
@click.version_option(version("napari-pixelwise"), prog_name="pixelwise")
def commands() -> None:
    """Semantic segmentation: patches, six networks, training, prediction, scores."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status instead of ending the process."""
    debug = "--debug" in arguments
    try:
        status: Any = commands.main(
            [text for text in arguments if text != "--debug"],
            prog_name="pixelwise",
            standalone_mode=False,
        )
    except click.ClickException as error:
        said = StringIO()
        error.show(said)
        click.echo(show_text(said.getvalue(), most=LONGEST_MESSAGE), err=True, nl=False)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        note("Interrupted.")
        return INTERRUPTED
    except (PixelwiseError, OSError) as error:
        if debug:
            raise
        return show_error(error)
    except Exception as error:
        if debug:
            raise
        if is_memory_error(error):
            full = BudgetError(explain_memory_error(error))
            for where in getattr(error, "__notes__", []):
                full.add_note(where)
            return show_error(full)
        return show_unexpected(error)
    return status if isinstance(status, int) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the command; SIGTERM ends it as Ctrl-C does, after cleaning up."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))
