"""Child processes of napari: start them, explain failures, and clean up after them."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from pixelwise.atomic import require_own

_CLEAN_UP_SECONDS = 2.0
_END_SECONDS = 5.0
_NICE = 10
_BELOW_NORMAL = 0x4000  # Windows' BELOW_NORMAL_PRIORITY_CLASS
_children: set[ChildProcess] = set()


class ChildProcess:
    """One process ``python -m pixelwise …`` with a temporary folder.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``python -m pixelwise``.
    purpose : str
        Part of the folder's name.
    log : Path, optional
        File for its standard error; one in the folder if not given.
    has_input : bool
        Whether its standard input is a pipe.
    detached : bool
        The child may outlive napari.

    Attributes
    ----------
    process : Popen
    printed, log : Path
        Its standard output and standard error.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        purpose: str,
        *,
        log: Path | None = None,
        has_input: bool = False,
        detached: bool = False,
    ) -> None:
        if log is not None:
            require_own(log)
        self.folder = Path(tempfile.mkdtemp(prefix=f"pixelwise-{purpose}-"))
        self.printed, self.log = self.folder / "output.txt", log or self.folder / "log.txt"
        self._detached = detached
        options: dict[str, Any] = {}
        if os.name == "posix":
            options["start_new_session"] = True  # no Ctrl-C from napari's terminal
        try:
            with self.printed.open("wb") as output, self.log.open("ab") as errors:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "pixelwise", *map(str, arguments)],
                    stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=os.environ | {"PYTHONUNBUFFERED": "1"},
                    **options,
                )
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        _lower_priority(self.process.pid)
        _children.add(self)

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self.process.poll()

    def write(self, text: str) -> None:
        """Write to its standard input; no error if the child has ended."""
        assert self.process.stdin is not None  # noqa: S101  only called with `has_input`
        with contextlib.suppress(OSError):
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()

    def close_input(self) -> None:
        """Close its standard input."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def read_log(self) -> str:
        """Read its standard error."""
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""

    def explain(self) -> str:
        """Say why it failed."""
        return explain(self.process.returncode, self.read_log())

    def end(self, *_: object) -> None:
        """Terminate it, wait for it, and remove its folder.

        It gets time to remove half-written files before it is killed.
        """
        self.close_input()
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_CLEAN_UP_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.forget()

    def forget(self) -> None:
        """Remove the folder."""
        _children.discard(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    def leave(self, *_: object) -> None:
        """End it; a detached child keeps running."""
        if not self._detached:
            self.end()
            return
        self.close_input()
        shutil.rmtree(self.folder, ignore_errors=True)


def explain(status: int, log: str) -> str:
    """Say why a child failed: its own message, or what its exit status means."""
    lines = log.strip().splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("Error:")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("Error:").strip()
    if status in (-9, 137):
        return "The process was killed, most likely because the machine ran out of memory."
    said = f" Its last output: {lines[-1]}" if lines else ""
    return f"The process ended with status {status}.{said}"


def _lower_priority(pid: int) -> None:
    """Give the window priority over the child; an idle processor is still used fully."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(_NICE if psutil.POSIX else _BELOW_NORMAL)
        group = Path(f"/proc/{pid}/autogroup")  # Linux schedules by session first
        if group.exists():
            group.write_text(str(_NICE))


@atexit.register
def _leave_all() -> None:
    """End every child that is not detached, however napari exits."""
    for child in tuple(_children):
        child.leave()
