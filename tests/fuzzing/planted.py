"""Doors with a fault each, to judge the judge by: it goes off once the input is changed."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import DataError
from tests.fuzzing.cases import Case
from tests.fuzzing.containers import Planted
from tests.fuzzing.doors import check_shown
from tests.fuzzing.stage import Stage

_SAFE = b"safe"


def write_fuse(folder: Path) -> None:
    (folder / "fuse").write_bytes(_SAFE)


@dataclass(frozen=True)
class Mine:
    """A door whose fault goes off once the fuse is no longer as it was."""

    fault: Callable[[Stage], object]

    def __str__(self) -> str:
        return "a mine"

    def __call__(self, stage: Stage) -> None:
        if (stage.input / "fuse").read_bytes() != _SAFE:
            self.fault(stage)


def raise_bug(stage: Stage) -> None:
    raise KeyError("a bug")


def raise_long(stage: Stage) -> None:
    error = DataError("x")
    error.add_note("x" * 5_000)
    raise error


def print_escape(stage: Stage) -> None:
    check_shown("a class called \a")


def write_outside(stage: Stage) -> None:
    (stage.victim / "notes.txt").write_text("gone")


def write_through_link(stage: Stage) -> None:
    (stage.out / "notes").symlink_to(stage.victim / "notes.txt")
    (stage.out / "notes").open("a").close()


def change_input(stage: Stage) -> None:
    (stage.input / "fuse").unlink()


def hide_change(stage: Stage) -> None:
    """Change a file, and let nobody hear that it was refused."""
    try:
        (stage.victim / "notes.txt").rename(stage.victim / "other.txt")
    except OSError:
        raise DataError("Cannot be read.") from None


def run_pickle(stage: Stage) -> None:
    pickle.loads(pickle.dumps(Planted(stage.canary)))


def run_program(stage: Stage) -> None:
    os.system("true")


def connect(stage: Stage) -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def hang(stage: Stage) -> None:
    time.sleep(600)


def crash(stage: Stage) -> None:
    os.abort()


def fill_memory(stage: Stage) -> None:
    np.ones(1_200_000_000, np.uint8)


def answer(stage: Stage) -> None:
    raise DataError("One message.")


FAULTS: dict[str, tuple[Callable[[Stage], None], str | None]] = {
    "bug": (raise_bug, "KeyError"),
    "long message": (raise_long, "long message"),
    "escape": (print_escape, "answer of a mine"),
    "write outside": (write_outside, "reached outside"),
    "write through a link": (write_through_link, "reached outside"),
    "input changed": (change_input, "reached outside"),
    "change that is hidden": (hide_change, "reached outside"),
    "pickle": (run_pickle, "reached outside"),
    "program": (run_program, "reached outside"),
    "connection": (connect, "reached outside"),
    "memory": (fill_memory, "memory"),
    "hang": (hang, "a hang of more than 15 s"),
    "crash": (crash, "a crash: exit status -6"),
    "no fault": (answer, None),
}
"""By name: the fault, and what it is called; None if there is none."""

CASES = {name: Case(write_fuse, (Mine(fault),)) for name, (fault, _) in FAULTS.items()}
