"""Jobs in child processes: start `python -m pixelwise run -`, follow its events, stop it, clean up.

A child writes its events to a file, and a timer reads the new lines. Nothing here blocks on a
child, and a crash loses only the child's own work.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, Signal

from pixelwise.events import Event, JobEnded, read_line
from pixelwise.jobs import Job, ServedJob
from pixelwise.widgets.child_process import ChildProcess

_POLL_MS = 50
_LINES_PER_POLL = 2000


@dataclass(frozen=True)
class ProcessEnd:
    """How a child process ended.

    Attributes
    ----------
    ok : bool
        Exit status 0.
    stopped : bool
        It was asked to stop.
    message : str
        Error message for the user; empty if there was none.
    log : str
        Its standard error.
    """

    ok: bool
    message: str = ""
    stopped: bool = False
    log: str = ""


class LineFollower:
    """Reads the complete lines added to a file since the last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def read(self, limit: int = _LINES_PER_POLL) -> list[bytes]:
        """Return up to `limit` new lines; an incomplete line is left for the next read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._place)
                lines = list(islice(file, limit))
        except OSError:
            return []
        whole = lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines
        self._place += sum(map(len, whole))
        return whole

    def read_events(self, limit: int = _LINES_PER_POLL) -> list[Event]:
        """Return the events among up to `limit` new lines."""
        return [event for line in self.read(limit) if (event := read_line(line)) is not None]


class JobProcess(QObject):
    """A job in a child process.

    Parameters
    ----------
    job : Job
        What to run.
    parent : QObject
        Ends the child when it is destroyed, unless that is `detached`.
    log : Path, optional
        File for the child's standard error; a temporary one if not given.
    detached : bool
        The child keeps running when napari is closed.

    Attributes
    ----------
    reported, ended : Signal
        Each event of the child; a `ProcessEnd`, once.
    output : str
        Standard output of the child, once it has ended.
    """

    reported = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        job: Job,
        parent: QObject,
        *,
        log: Path | None = None,
        detached: bool = False,
    ) -> None:
        super().__init__(parent)
        self.output = ""
        self.end: ProcessEnd | None = None
        self._stopped = False
        self.child = ChildProcess(["run", "-"], "job", log=log, has_input=True, detached=detached)
        self.child.write(job.model_dump_json())
        self.child.close_input()
        self._follower = LineFollower(self.child.printed)
        parent.destroyed.connect(self.child.leave)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_POLL_MS)

    def stop(self) -> None:
        """Ask the child to end; a training run saves first."""
        if self.child.status is None:
            self._stopped = True
            self.child.process.terminate()

    def wait(self, seconds: float = 600.0) -> ProcessEnd:
        """Run Qt's event loop until the child has ended.

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
        self.end = ProcessEnd(status == 0, message, stopped=stopped, log=self.child.read_log())
        self.child.forget()
        self.ended.emit(self.end)


class Server(QObject):
    """Client of a warm child that does one small job after another; started on demand.

    Attributes
    ----------
    reported : Signal
        Each event of a job; the last one is `JobEnded`.
    log : str
        Standard error of the child when a job last failed.
    """

    reported = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.child: ChildProcess | None = None
        self.log = ""
        self._pending: list[ServedJob] = []
        self._count = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether a job is pending."""
        return bool(self._pending)

    def next_number(self) -> int:
        """Return a new job number."""
        self._count += 1
        return self._count

    def submit(self, job: ServedJob) -> None:
        """Queue a job; its events are reported, `JobEnded` with its number last."""
        if self.child is None or self.child.status is not None:
            self._start()
        self._pending.append(job)
        if len(self._pending) == 1:
            self._send(job)

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
        self.child = ChildProcess(["serve"], "serve", has_input=True)
        self._follower = LineFollower(self.child.printed)
        self._timer.start(_POLL_MS)

    def _send(self, job: ServedJob) -> None:
        assert self.child is not None  # noqa: S101  `submit` starts it
        self.child.write(job.model_dump_json() + "\n")  # `_look` finds out if it has died

    def _look(self) -> None:
        """Report new events; if the child crashed, its jobs fail, and the next starts a new child.

        A child that ended because it was idle may have missed a job, which is submitted again.
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
            for job in pending:
                self.submit(job)
            return
        for job in pending:
            failed = JobEnded(number=job.number, status="failed", message=message)
            self.reported.emit(failed)

    def _report(self, event: Event) -> None:
        if isinstance(event, JobEnded):
            if event.status == "failed" and self.child is not None:
                self.log = self.child.read_log()
            self._pending = [r for r in self._pending if r.number != event.number]
            if self._pending:
                self._send(self._pending[0])
        self.reported.emit(event)


_server: Server | None = None


def get_server() -> Server:
    """Return the client of the warm child, shared by all widgets."""
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


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Run Qt's event loop until a condition holds.

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
