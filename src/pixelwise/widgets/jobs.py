"""The one client of child processes: starts `python -m pixelwise …`, follows, stops, cleans up.

A child writes its events into a file and a timer reads what is new. Nothing here waits for a child,
and a child that dies takes nothing with it but its own work.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, Signal

from pixelwise.events import Event, RequestEnded, parse_event
from pixelwise.requests import Request

_POLL_MS = 50
_LINES_PER_POLL = 2000
_END_SECONDS = 5.0
_LIVE: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class JobEnd:
    """How a child process ended.

    Attributes
    ----------
    ok : bool
        Exit status 0.
    message : str
        What went wrong, for the user; empty if nothing did.
    """

    ok: bool
    message: str = ""


class LineFollower:
    """Reads the complete lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def read(self, limit: int = _LINES_PER_POLL) -> list[str]:
        """Give up to `limit` new lines; a line without its end is left for the next look."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._place)
                lines = [file.readline() for _ in range(limit)]
        except OSError:
            return []
        whole = [line for line in lines if line.endswith(b"\n")]
        self._place += sum(map(len, whole))
        return [line.decode("utf-8", "replace") for line in whole]

    def read_events(self) -> list[Event]:
        """Give the new lines that are events."""
        events = []
        for line in self.read():
            with contextlib.suppress(ValueError):
                events.append(parse_event(line))
        return events


class Job(QObject):
    """One child process.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``python -m pixelwise``.
    parent : QObject
        Its end ends the child, unless the job is `detached`.
    log : Path, optional
        File for what the child says on standard error; a temporary one if not given.
    detached : bool
        The child goes on when napari is closed.
    text : str
        What the child reads on its standard input.

    Attributes
    ----------
    event, ended : Signal
        Each event of the child; a `JobEnd`, once.
    output : str
        All that the child printed, once it has ended.
    """

    event = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        arguments: Sequence[str | Path],
        parent: QObject,
        *,
        log: Path | None = None,
        detached: bool = False,
        text: str = "",
    ) -> None:
        super().__init__(parent)
        self.folder = Path(tempfile.mkdtemp(prefix="pixelwise-job-"))
        self.log = log or self.folder / "log.txt"
        self.output = ""
        self.end: JobEnd | None = None
        printed = self.folder / "output.txt"
        self._follower = LineFollower(printed)
        with printed.open("wb") as out, self.log.open("ab") as errors:
            self.process = start_child(
                arguments, stdout=out, stderr=errors, stdin=bool(text), detached=detached
            )
        if self.process.stdin is not None:
            with self.process.stdin as pipe, contextlib.suppress(BrokenPipeError):
                pipe.write(text.encode())
        forget = end_child if not detached else _LIVE.discard
        parent.destroyed.connect(_Cleaner(forget, self.process, self.folder))
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_POLL_MS)

    @property
    def is_running(self) -> bool:
        """Whether the child has not ended, or its end was not reported yet."""
        return self.end is None

    def read_log(self) -> str:
        """Read what the child said on standard error."""
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""

    def stop(self) -> None:
        """Ask the child to end: a training saves first."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self, seconds: float = 600.0) -> JobEnd:
        """Let Qt work until the child has ended.

        Raises
        ------
        TimeoutError
            It takes longer.
        """
        wait_until(lambda: self.end is not None, seconds)
        assert self.end is not None  # noqa: S101  for the type checker
        return self.end

    def _look(self) -> None:
        """Report new events, and the end."""
        ended = self.process.poll() is not None
        events = self._follower.read_events()
        for event in events:
            self.event.emit(event)
        if ended and not events:
            self._finish()

    def _finish(self) -> None:
        self._timer.stop()
        _LIVE.discard(self.process)
        with contextlib.suppress(OSError):
            self.output = (self.folder / "output.txt").read_text(encoding="utf-8")
        status = self.process.returncode
        self.end = JobEnd(status == 0, "" if status == 0 else explain(status, self.read_log()))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.ended.emit(self.end)


class Server(QObject):
    """A warm child that answers requests one after another; started when first asked.

    Attributes
    ----------
    event : Signal
        Each event of the answers; the last of an answer is `RequestEnded`.
    """

    event = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._pending: list[Request] = []
        self._count = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self._pending)

    def next_number(self) -> int:
        """Give a number for a request."""
        self._count += 1
        return self._count

    def submit(self, request: Request) -> None:
        """Ask; the answer comes as events, `RequestEnded` with the request's number last."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._pending.append(request)
        if len(self._pending) == 1:
            self._send(request)

    def end(self) -> None:
        """End the child, if there is one, and remove its files."""
        self._timer.stop()
        if self._process is not None:
            end_child(self._process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process, self._folder, self._pending = None, None, []

    def _start(self) -> None:
        pending = self._pending
        self.end()
        self._pending = pending
        self._folder = Path(tempfile.mkdtemp(prefix="pixelwise-serve-"))
        self._follower = LineFollower(self._folder / "events.jsonl")
        log = self._folder / "log.txt"
        with self._follower.path.open("wb") as out, log.open("wb") as errors:
            self._process = start_child(["serve"], stdout=out, stderr=errors, stdin=True)
        _FOLDERS.add(self._folder)
        self._timer.start(_POLL_MS)

    def _send(self, request: Request) -> None:
        assert self._process is not None  # noqa: S101  `submit` starts it
        assert self._process.stdin is not None  # noqa: S101  `_start` asks for it
        with contextlib.suppress(OSError):  # a child that is gone is found by the next look
            self._process.stdin.write(request.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def _look(self) -> None:
        """Report new events; a child that died fails its request, and the next has a new one."""
        process = self._process
        if process is None:
            return
        status = process.poll()
        events = self._follower.read_events()
        for event in events:
            self._report(event)
        if status is None or events:
            return
        self._timer.stop()
        log = ""
        if self._folder is not None:
            log = (self._folder / "log.txt").read_text("utf-8", "replace")
        pending, self._pending = self._pending, []
        self.end()
        for request in pending:
            message = explain(status, log)
            self.event.emit(RequestEnded(number=request.number, status="failed", message=message))

    def _report(self, event: Event) -> None:
        if isinstance(event, RequestEnded):
            self._pending = [r for r in self._pending if r.number != event.number]
            if self._pending:
                self._send(self._pending[0])
        self.event.emit(event)


_FOLDERS: set[Path] = set()
_server: Server | None = None


def get_server() -> Server:
    """Give the warm child's client, one for all widgets of this napari."""
    global _server
    if _server is None:
        _server = Server()
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.connect(_server.end)
    return _server


def start_child(
    arguments: Sequence[str | Path],
    *,
    stdout: IO[bytes],
    stderr: IO[bytes],
    stdin: bool = False,
    detached: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``python -m pixelwise``, as low in priority as keeps the window smooth."""
    command = [sys.executable, "-m", "pixelwise", *map(str, arguments)]
    options: dict[str, Any] = {}
    if os.name == "posix":
        options["start_new_session"] = True  # Ctrl-C in napari's terminal is not for the child
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        **options,
    )
    if not detached:
        _LIVE.add(process)
    return process


def to_options(values: dict[str, object]) -> list[str]:
    """Write a config's fields as command-line options."""
    options: list[str] = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            options.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, dict):
            options += [flag, ",".join(f"{key}={item}" for key, item in value.items())]
        elif isinstance(value, list):
            options += [flag, ",".join(str(item) for item in value)]
        elif value is not None:
            options += [flag, str(value)]
    return options


def end_child(process: subprocess.Popen[bytes]) -> None:
    """End a child now, and wait until it is gone."""
    _LIVE.discard(process)
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)


def explain(status: int, log: str) -> str:
    """Say why a child failed: its own message, or what its exit status means."""
    lines = log.strip().splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("Error:")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("Error:").strip()
    if status in (-9, 137):
        return "The process was killed from outside; often the machine ran out of memory."
    said = f" Its last words: {lines[-1]}" if lines else ""
    return f"The process ended with status {status}.{said}"


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Let Qt work until a condition holds.

    Raises
    ------
    TimeoutError
        It does not hold after `seconds`.
    """
    deadline = time.monotonic() + seconds
    loop = QEventLoop()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not done after {seconds:g} s.")
        QTimer.singleShot(20, loop.quit)
        loop.exec_() if hasattr(loop, "exec_") else loop.exec()


class _Cleaner:
    """Ends a child and removes its folder, without holding on to Qt objects that are gone."""

    def __init__(
        self,
        end: Callable[[subprocess.Popen[bytes]], None],
        process: subprocess.Popen[bytes],
        folder: Path,
    ) -> None:
        self._end, self._process, self._folder = end, process, folder

    def __call__(self, *_: object) -> None:
        self._end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


@atexit.register
def _end_all() -> None:
    """End every child that was not meant to go on, however napari ended."""
    for process in tuple(_LIVE):
        end_child(process)
    for folder in _FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)
