"""Run folders in the widgets: follow one, list all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from pixelwise.errors import ConfigError, PixelwiseError, RunError
from pixelwise.events import RunEnded, RunFailed
from pixelwise.runs import RunFolder, is_training, require_new_run
from pixelwise.summaries import RunStory, RunSummary, list_runs
from pixelwise.widgets.curve_plot import CurvePlot
from pixelwise.widgets.jobs import LineFollower, wait_until
from pixelwise.widgets.panel import write_tip
from pixelwise.widgets.threads import run_in_thread

_POLL_MS = 100
_CATCH_UP_MS = 30  # while there is more to read
_LINES = 500  # at a time, 25 ms: a long history must not hold the window up
_LOST_LOOKS = 20


def require_free_run(folder: Path, name: str) -> RunFolder:
    """Give the folder of a new run, which is not made yet.

    Raises
    ------
    ConfigError
        The name cannot be that of a folder.
    RunError
        The folder holds something.
    """
    name = name.strip()
    if Path(name).name != name or name in ("", ".", ".."):
        raise ConfigError(f"Give the run a name that a folder can have, got {name!r}.")
    run = require_new_run(Path(folder).expanduser() / name)
    if run.path.exists() and any(run.path.iterdir()):
        raise RunError(f"{run.path} is not empty: give the run another name.")
    return run


def discard_run(run: RunFolder) -> None:
    """Remove what was saved for a run that did not begin; its folder was empty before."""
    shutil.rmtree(run.path, ignore_errors=True)


class RunWatch(QObject):
    """Follows the events of a run folder from the first on, whichever process writes them.

    Parameters
    ----------
    run : RunFolder
    parent : QObject
    has_child : callable
        Whether a child of this process writes the run, or is about to.

    Attributes
    ----------
    events : Signal
        A list of new events.
    ended : Signal
        The run ended, or its process is gone: `RunEnded`, `RunFailed` or None.
    """

    events = Signal(list)
    ended = Signal(object)

    def __init__(
        self, run: RunFolder, parent: QObject, *, has_child: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(parent)
        self.run = run
        self._has_child = has_child
        self.is_over = False
        self._follower = LineFollower(run.events)
        self.last: RunEnded | RunFailed | None = None
        self._quiet = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(_POLL_MS)

    def look(self) -> None:
        """Report new events, or the end."""
        found = self._follower.read_events(_LINES)
        self._timer.setInterval(_CATCH_UP_MS if found else _POLL_MS)
        if found:
            self._quiet = 0
            self.last = next(
                (e for e in reversed(found) if isinstance(e, RunEnded | RunFailed)), None
            )
            self.events.emit(found)
            return
        self._quiet += 1
        if self._has_child():
            return
        if self.last is not None or (self._quiet % _LOST_LOOKS == 0 and not is_training(self.run)):
            self.stop()
            self.ended.emit(self.last)

    def stop(self) -> None:
        """Stop following the run."""
        self.is_over = True
        self._timer.stop()


class RunsTable(QTableWidget):
    """The runs of a folder, newest first; the curves of ticked ones are drawn.

    Attributes
    ----------
    ticked : Signal
        A run's path and whether it is ticked now.
    listed : Signal
        A thread has read the folder.
    summaries : list of RunSummary
        The listed runs.
    """

    ticked = Signal(str, bool)
    listed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self.summaries: list[RunSummary] = []
        self._stories: dict[Path, RunStory] = {}
        self._next: tuple[Path, Sequence[str]] | None = None
        self._reading = False
        self.setHorizontalHeaderLabels(["run", "state", "epoch", "best"])
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(110)
        self.itemChanged.connect(self._tell)

    def refresh(self, folder: Path, drawn: Sequence[str]) -> None:
        """Start listing the runs in a folder; those in `drawn` (paths) are ticked."""
        self._next = folder, drawn
        if not self._reading:
            self._read()

    def find_running(self) -> RunFolder | None:
        """Give the newest listed run that is training, in whatever process."""
        listed = (RunFolder(item.path) for item in self.summaries if item.state == "training")
        return next((run for run in listed if is_training(run)), None)

    def wait(self, seconds: float = 30.0) -> None:
        """Run Qt's event loop until the folder is read."""
        wait_until(lambda: not self._reading, seconds)

    def _read(self) -> None:
        """Read the folder requested last."""
        assert self._next is not None  # noqa: S101  only called after a request
        (folder, drawn), self._next = self._next, None
        self._reading = True
        run_in_thread(
            partial(_read_runs, folder, self._stories),
            self,
            then=partial(self._take, drawn),
            failed=lambda _: self._take(drawn, []),
        )

    def _take(self, drawn: Sequence[str], summaries: list[RunSummary]) -> None:
        self._reading = False
        if self._next is not None:  # requested again meanwhile: outdated
            self._read()
            return
        if summaries != self.summaries or drawn != self._list_ticked():
            self._show(summaries, drawn)
        self.listed.emit()

    def _list_ticked(self) -> list[str]:
        rows = [(self.item(row, 0), s) for row, s in enumerate(self.summaries)]
        ticked = Qt.CheckState.Checked
        return [str(s.path) for item, s in rows if item is not None and item.checkState() == ticked]

    def _show(self, summaries: list[RunSummary], drawn: Sequence[str]) -> None:
        """Fill the table; the selected run stays selected."""
        chosen = self.selected
        self.summaries = summaries
        self.blockSignals(True)
        self.setRowCount(len(self.summaries))
        for row, summary in enumerate(self.summaries):
            best = (
                "" if summary.best_score is None else f"{summary.monitor} {summary.best_score:.3f}"
            )
            epoch = f"{summary.epoch}/{summary.epochs}"
            for column, text in enumerate((summary.path.name, summary.state, epoch, best)):
                item = QTableWidgetItem(text)
                if column == 0:
                    item.setToolTip(write_tip(f"{summary.path}\n{summary.architecture}"))
                    ticked = str(summary.path) in drawn
                    item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
                self.setItem(row, column, item)
            if chosen is not None and summary.path == chosen.path:
                self.selectRow(row)
        self.blockSignals(False)

    @property
    def selected(self) -> RunSummary | None:
        """The run whose row is selected."""
        rows = {index.row() for index in self.selectedIndexes()}
        return self.summaries[rows.pop()] if len(rows) == 1 else None

    def select(self, path: Path) -> None:
        """Select a run by its path."""
        for row, summary in enumerate(self.summaries):
            if summary.path == path:
                self.selectRow(row)

    def _tell(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            path = str(self.summaries[item.row()].path)
            self.ticked.emit(path, item.checkState() == Qt.CheckState.Checked)


class DrawnRuns(QObject):
    """Draws the curves of runs that are not followed.

    Parameters
    ----------
    plot : CurvePlot
    parent : QObject
    """

    def __init__(self, plot: CurvePlot, parent: QObject) -> None:
        super().__init__(parent)
        self._plot = plot
        self._watches: dict[str, RunWatch] = {}

    def show(self, path: str) -> None:
        """Draw a run from its first event on."""
        self.stop(path)
        self._plot.add_run(path)
        watch = RunWatch(RunFolder(Path(path)), self)
        self._watches[path] = watch
        watch.events.connect(lambda events: self._plot.add_events(path, events))

    def hide(self, path: str) -> None:
        """Remove the curves of a run."""
        self.stop(path)
        self._plot.remove_run(path)

    def stop(self, path: str) -> None:
        """Stop following a run; its curves stay."""
        if (watch := self._watches.pop(path, None)) is not None:
            watch.stop()
            watch.deleteLater()


def _read_runs(folder: Path, stories: dict[Path, RunStory]) -> list[RunSummary]:
    """List the runs of a folder, newest first; none if there is no such folder."""
    try:
        found = list_runs(folder, stories=stories)
    except PixelwiseError:
        return []
    return sorted(found, key=lambda s: s.path.stat().st_mtime, reverse=True)


def new_run_name() -> str:
    """Name for a run that sorts by time."""
    return datetime.now().astimezone().strftime("run-%Y%m%d-%H%M%S")
