"""What the command line shows: tables, progress, and errors as one message."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pixelwise.errors import LONGEST_MESSAGE, ConfigError, PixelwiseError, show_text
from pixelwise.scores import SCORE_NAMES, ScoreRow, Scores

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


class _Console(Console):
    """Shows every text as it is: no markup in it, and nothing that controls the terminal.

    Names of files, classes and channels are in lines, tables and titles, and come from strangers.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string; whatever is printed passes here, cells of tables too."""
        return super().render_str(show_text(text), **{**options, "markup": False, "emoji": False})


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line to standard output."""
    out.print(text)


def note(text: str) -> None:
    """Print a line to standard error: progress, and what is beside the result.

    A job does not end because that cannot be written.
    """
    with suppress(OSError):
        shown = show_text(text, most=LONGEST_MESSAGE)
        err.print(shown, style="dim" if err.is_terminal else "")


def drop_unwritten() -> None:
    """Let go of what was printed and cannot be written: the flush at exit would fail again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def write_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    click.echo(json.dumps(value, indent=2))


def echo(line: str) -> None:
    """Print a line of JSON or YAML to standard output, where other programs read it."""
    click.echo(show_text(line))


def create_table(title: str, columns: Sequence[str]) -> Table:
    """Table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def show_scores(scores: Scores, title: str) -> None:
    """Print scores per class and in total."""
    table = create_table(title, ["class", *SCORE_NAMES])
    for name, row in scores.rows().items():
        table.add_row(name, *_cells(row))
    out.print(table)


def show_error(error: PixelwiseError | OSError) -> int:
    """Print an error to standard error; gives the exit status."""
    notes = getattr(error, "__notes__", [])
    _print_error(" ".join([show_text(str(error), most=LONGEST_MESSAGE), *notes]))
    return WRONG_USE if isinstance(error, ConfigError) else FAILED


def show_unexpected(error: Exception) -> int:
    """Print an error that is a bug, here or elsewhere; gives the exit status.

    The notes of an error say where its traceback is, if it was kept.
    """
    found = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    notes = getattr(error, "__notes__", ["Run the command again with --debug for its traceback."])
    _print_error(f"{show_text(found, most=LONGEST_MESSAGE)}\n{' '.join(notes)} Please report it.")
    return FAILED


def _print_error(text: str) -> None:
    err.print(Text.assemble(("Error:", "bold red"), " ", show_text(text)))


def is_terminal() -> bool:
    """Whether standard error is a terminal that a progress bar can be drawn on."""
    return sys.stderr.isatty()


def _cells(row: ScoreRow) -> list[str]:
    """Scores of a row, a dash where one is not defined."""
    return ["-" if value is None else f"{value:.4f}" for value in row.to_dict().values()]
