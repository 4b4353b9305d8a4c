"""Output of the command line: results, notes, tables, and errors as one message."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from pixelwise.errors import LONGEST_MESSAGE, ConfigError, PixelwiseError, show_text
from pixelwise.parsing import CONFIG_BYTES, read_text
from pixelwise.scores import SCORE_NAMES, ScoreRow, Scores

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
Item = TypeVar("Item")


class _Console(Console):
    """Prints every text literally: no markup, no control characters.

    Lines, tables and titles hold names of files, classes and channels, which are not trusted.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text; everything printed passes through here, table cells too."""
        return super().render_str(show_text(text), **{**options, "markup": False, "emoji": False})


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line to standard output."""
    out.print(text)


def note(text: str) -> None:
    """Print a line to standard error: progress and notes.

    A job does not fail if that cannot be written.
    """
    with suppress(OSError):
        shown = show_text(text, most=LONGEST_MESSAGE)
        err.print(shown, style="dim" if err.is_terminal else "")


def drop_unwritten() -> None:
    """Discard output that cannot be written: the flush at exit would fail again."""
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


def read_input(path: Path, what: str) -> str:
    """Read a small text file, or standard input if the path is ``-``."""
    if str(path) != "-":
        return read_text(path, what=what, most=CONFIG_BYTES)
    try:
        return sys.stdin.read(CONFIG_BYTES + 1)
    except UnicodeDecodeError as error:
        raise ConfigError(f"Cannot read the {what} -: {error}") from error


def iter_tracked(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield items with a progress bar on a terminal."""
    yield from track(items, label, total, console=err, transient=True, disable=not err.is_terminal)


def create_table(title: str, columns: Sequence[str]) -> Table:
    """Create a table with text in the first column and numbers in the others."""
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
    """Print an error to standard error; return the exit status."""
    notes = getattr(error, "__notes__", [])
    _print_error(" ".join([show_text(str(error), most=LONGEST_MESSAGE), *notes]))
    return WRONG_USE if isinstance(error, ConfigError) else FAILED


def show_unexpected(error: Exception) -> int:
    """Print an error that is a bug, here or elsewhere; return the exit status.

    The notes of an error say where its traceback is, if it was kept.
    """
    found = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    notes = getattr(error, "__notes__", ["Run the command again with --debug for its traceback."])
    _print_error(f"{show_text(found, most=LONGEST_MESSAGE)}\n{' '.join(notes)} Please report it.")
    return FAILED


def _print_error(text: str) -> None:
    err.print(Text.assemble(("Error:", "bold red"), " ", show_text(text)))


def _cells(row: ScoreRow) -> list[str]:
    """Scores of a row; a dash where one is undefined."""
    return ["-" if value is None else f"{value:.4f}" for value in row.to_dict().values()]
