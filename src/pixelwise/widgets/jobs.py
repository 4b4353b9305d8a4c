"""The one client of child processes: starts `python -m pixelwise …`, follows, stops, cleans up.

A child writes its events into a file and a timer reads what is new. Nothing here waits for a child,
and a child that dies takes nothing with it but its own work.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, Signal

from pixelwise.errors import ConfigError
from pixelwise.events import Event, RequestEnded, read_line
from pixelwise.requests import Request
from pixelwise.widgets.children import Child

_POLL_MS = 50
_LINES_PER_POLL = 2000


@dataclass(frozen=True)
class JobEnd:
    """How a child process ended.

    Attributes
    ----------
    ok : bool
        Exit status 0.
    stopped : bool
        It was asked to stop.
    message : str
        What went wrong, for the user; empty if nothing did.
    log : str
        All that it said on standard error.
    """

    ok: bool
    message: str = ""
    stopped: bool = False
    log: str = ""


class LineFollower:
    """Reads the complete lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def read(self, limit: int = _LINES_PER_POLL) -> list[bytes]:
        """Give up to `limit` new lines; a line without its end is left for the next look."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._place)
                lines = list(islice(file, limit))
        except OSError:
            return []
        whole = lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines
        self._place += sum(map(len, whole))
        return whole

    def read_events(self) -> list[Event]:
        """Give the new lines that are events."""
        return [event for line in self.read() if (event := read_line(line)) is not None]


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
    reported, ended : Signal
        Each event of the child; a `JobEnd`, once.
    output : str
        All that the child printed, once it has ended.
    """

    reported = Signal(object)
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
        self.output = ""
        self.end: JobEnd | None = None
        self._stopped = False
        self.child = Child(arguments, "job", log=log, has_input=bool(text), detached=detached)
        if text:
            self.child.write(text)
            self.child.close_input()
        self._follower = LineFollower(self.child.printed)
        parent.destroyed.connect(self.child.leave)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_POLL_MS)

    def stop(self) -> None:
        """Ask the child to end: a training saves first."""
        if self.child.status is None:
            self._stopped = True
            self.child.process.terminate()

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
        status = self.child.status
        events = self._follower.read_events()
        for event in events:
            self.reported.emit(event)
        if status is None or events:
            return
        self._timer.stop()
        with contextlib.suppress(OSError):
            self.output = self.child.printed.read_text(encoding="utf-8")
        message = "" if status == 0 else self.child.explain()
        stopped = self._stopped and status != 0
        self.end = JobEnd(status == 0, message, stopped=stopped, log=self.child.read_log())
        self.child.forget()
        self.ended.emit(self.end)


class Server(QObject):
    """A warm child that answers requests one after another; started when first asked.

    Attributes
    ----------
    reported : Signal
        Each event of the answers; the last of an answer is `RequestEnded`.
    log : str
        What the child had said on standard error when a request failed last.
    """

    reported = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.child: Child | None = None
        self.log = ""
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
        if self.child is None or self.child.status is not None:
            self._start()
        self._pending.append(request)
        if len(self._pending) == 1:
            self._send(request)

    def end(self) -> None:
        """End the child, if there is one, and remove its files."""
        self._timer.stop()
        if self.child is not None:
            self.child.end()
        self.child, self._pending = None, []

    def _start(self) -> None:
        pending = self._pending
        self.end()
        self._pending = pending
        self.child = Child(["serve"], "serve", has_input=True)
        self._follower = LineFollower(self.child.printed)
        self._timer.start(_POLL_MS)

    def _send(self, request: Request) -> None:
        assert self.child is not None  # noqa: S101  `submit` starts it
        self.child.write(request.model_dump_json() + "\n")  # one that is gone is found by a look

    def _look(self) -> None:
        """Report new events; a child that died fails its requests, and the next has a new one.

        One that ended by itself, idle, just as it was asked, is asked again.
        """
        if self.child is None:
            return
        status = self.child.status
        events = self._follower.read_events()
        for event in events:
            self._report(event)
        if status is None or events:
            return
        message, pending = self.child.explain(), self._pending
        self.log = self.child.read_log()
        self.end()
        if status == 0:
            for request in pending:
                self.submit(request)
            return
        for request in pending:
            failed = RequestEnded(number=request.number, status="failed", message=message)
            self.reported.emit(failed)

    def _report(self, event: Event) -> None:
        if isinstance(event, RequestEnded):
            if event.status == "failed" and self.child is not None:
                self.log = self.child.read_log()
            self._pending = [r for r in self._pending if r.number != event.number]
            if self._pending:
                self._send(self._pending[0])
        self.reported.emit(event)


_server: Server | None = None


def get_server() -> Server:
    """Give the warm child's client, one for all widgets of this napari."""
    global _server
    if _server is None:
        _server = Server()
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.connect(_server.end)
    return _server


def end_server() -> None:
    """End the warm child, if there is one."""
    if _server is not None:
        _server.end()


def to_options(values: dict[str, object]) -> list[str]:
    """Write a config's fields as command-line options.

    Raises
    ------
    ConfigError
        A name in a mapping, such as that of a class, has a comma or an equals sign.
    """
    options: list[str] = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            options.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, dict):
            if wrong := [n for n in map(str, value.values()) if "," in n or "=" in n]:
                raise ConfigError(f"Rename {wrong[0]!r}: a name must not have a comma or a =.")
            options += [flag, ",".join(f"{key}={item}" for key, item in value.items())]
        elif isinstance(value, list):
            options += [flag, ",".join(str(item) for item in value)]
        elif value is not None:
            options += [flag, str(value)]
    return options


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
