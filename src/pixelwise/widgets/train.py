"""The widget Train: configure, start, follow, stop and resume training runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import FileEdit, LineEdit
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QTabWidget

from pixelwise.config import DataConfig
from pixelwise.errors import RunError
from pixelwise.events import Event, PreviewsWritten, RunEnded, RunFailed, RunStarted, Warned
from pixelwise.jobs import ResumeJob, TrainJob
from pixelwise.runs import RunFolder, is_training, open_run, request_stop
from pixelwise.widgets.close_guard import CloseGuard
from pixelwise.widgets.curve_plot import CurvePlot
from pixelwise.widgets.forms import lay_out
from pixelwise.widgets.gc_pause import GcPause
from pixelwise.widgets.jobs import JobProcess, ProcessEnd
from pixelwise.widgets.panel import (
    Fold,
    Panel,
    create_button,
    create_page,
    create_row,
    create_scroll,
    runs_folder,
    stack_widgets,
    write_setting,
)
from pixelwise.widgets.preview_pictures import PreviewPictures
from pixelwise.widgets.questions import SecondAnswer, ask_second
from pixelwise.widgets.runs import (
    DrawnRuns,
    RunsTable,
    RunWatch,
    discard_run,
    new_run_name,
    require_free_run,
)
from pixelwise.widgets.training_settings import TrainSettings
from pixelwise.widgets.training_status import TrainingStatus

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QShowEvent

_LIST_MS = 3000
_CURVES = 1  # tab
_STOPPING = "Stopping after this step…"


class TrainWidget(Panel):
    """Train a network in a child process, and follow it.

    Attributes
    ----------
    settings : TrainSettings
        The form; its parts `data`, `model`, `patches`, `training`, `more` and `augmentation`
        are attributes of this widget too: ``widget.training["epochs"].value = 20``.
    fill, create_config : callable
        Show a config, and create the one that is shown.
    place : magicgui Container
        `folder` (of all runs) and `name` (of this one).
    plot : CurvePlot
    previews : PreviewPictures
    runs : RunsTable
    run : RunFolder or None
        The run that is followed.
    ask_second : callable
        Gives "after", "beside" or "cancel"; a dialog, unless a script puts something else here.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.settings = settings = TrainSettings(self)
        self.data, self.model, self.patches = settings.data, settings.model, settings.patches
        self.training, self.more = settings.training, settings.more
        self.augmentation = settings.augmentation
        self.fill, self.create_config = settings.fill, settings.create
        self.plot, self.runs = CurvePlot(), RunsTable()
        self.run: RunFolder | None = None
        name = LineEdit(name="name", label="Run", value=new_run_name(), tooltip="Name of the run")
        folder = FileEdit(name="folder", mode="d", label="in", value=runs_folder())
        self.place, self._place = lay_out([name, folder])
        self.previews = PreviewPictures(napari_viewer)
        self._gc_pause = GcPause(napari_viewer)
        self.destroyed.connect(self._gc_pause.end)
        self._job: JobProcess | None = None
        self._watch: RunWatch | None = None
        self._saving = self._cancelled = self._is_queued = False
        self.ask_second: Callable[[], SecondAnswer] = partial(ask_second, self)
        self._began_here: Path | None = None  # its folder was made here, and may be removed
        self._looks = DrawnRuns(self.plot, self)
        self._build()
        self.guard = CloseGuard(
            self,
            is_running=lambda: self.is_running,
            stop=self._stop_now,
            is_alone=lambda: self._saving,
        )
        self.guard.replaced.connect(self._leave_run)
        self.runs.listed.connect(self._find_running)
        self.refresh_runs()
        self._look_again = QTimer(self)
        self._look_again.timeout.connect(self._refresh_shown)
        self._look_again.start(_LIST_MS)

    def _build(self) -> None:
        self.start_button = create_button("Start", "Start a new training run", self.start)
        self.stop_button = create_button("Stop", "Finish the step, save and stop", self.stop)
        self.resume_button = create_button(
            "Resume", "Continue the selected run, or the last one", self.resume
        )
        self.log_button = create_button("Log…", "Output of the process", self.show_log)
        self.status = TrainingStatus()
        self.runs.ticked.connect(self._draw_run)
        follow = create_button("Follow", "Show the selected run as it trains", self.follow_selected)
        self.tabs = QTabWidget()
        self.tabs.addTab(create_scroll(stack_widgets(self.settings, self._place)), "Settings")
        about = Fold("About the run", self.status.understood)
        self.tabs.addTab(create_page(self.plot, about), "Curves")
        self.tabs.addTab(self.previews, "Previews")
        self.tabs.addTab(create_page(self.runs, follow), "Runs")
        self.column.addWidget(self.tabs)
        self.predict_button = create_button(
            "Predict with it", "Open Predict with the model of this run", self.predict
        )
        buttons = create_row(
            self.start_button, self.stop_button, self.resume_button, self.log_button
        )
        self.pin(self.status, buttons, self.predict_button)
        self.settings.changed.connect(self.forgive)
        self.place.changed.connect(self.forgive)
        self._show_state()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Guard the window that the widget is shown in."""
        super().showEvent(event)
        self.guard.watch()

    @property
    def is_running(self) -> bool:
        """Whether the followed run is training, here or elsewhere."""
        watching = self._watch is not None and not self._watch.is_over
        return self._saving or self._job is not None or watching

    def start(self) -> None:
        """Start a new run; layers are saved into its folder first."""
        with self.complaining():
            if self._saving:
                raise RunError("A training is about to start: wait until its layers are saved.")
            if self.is_running and not self._may_start_now():
                return
            run = require_free_run(self.place["folder"].value, self.place["name"].value)
            self.create_config(DataConfig(path=run.data), run.path)  # refuses wrong settings now
            self.say("Reading the data…")
            self._saving, self._cancelled = True, False
            self._show_state()
            try:
                self.data.prepare(
                    run.data,
                    then=lambda data: self._launch(data, run),
                    failed=partial(self._fail, run),
                    abandoned=partial(discard_run, run),
                )
            except Exception:
                self._saving = False
                self._show_state()
                raise

    def _may_start_now(self) -> bool:
        """Ask what to do while a training is running; leave it if both are to run."""
        answer = self.ask_second()
        if answer == "cancel":
            return False
        if self.run is not None and self.place["name"].value == self.run.path.name:
            self.place["name"].value = new_run_name()
        if answer == "after":
            self._is_queued = True
            self.say("The next training starts when this one has ended. Stop takes that back.")
            return False
        if self._job is not None:  # it is detached, and its run folder tells how it ends
            self._job.ended.disconnect(self._end_job)
            self._job = None
        return True

    def _start_queued(self) -> None:
        """Start the training that was asked for while another one was running."""
        if self._is_queued and not self.is_running:
            self._is_queued = False
            self.start()

    def stop(self) -> None:
        """Ask the followed run to end its step, save and stop, whoever trains it."""
        self._is_queued = False
        with self.complaining():
            if not self.is_running:
                raise RunError("There is no followed training to stop.")
            self.say(_STOPPING)
            self._stop_now()

    def resume(self) -> None:
        """Continue the selected run, or the one followed last."""
        with self.complaining():
            self._require_idle()
            selected = self.runs.selected
            run = self.run if selected is None else RunFolder(selected.path)
            if run is None:
                raise RunError("Select a run in the list first.")
            open_run(run.path)
            self._follow(run)
            self._run_child(ResumeJob(run=run.path), run)

    def follow_selected(self) -> None:
        """Show the selected run: its curves, and its progress if it trains."""
        with self.complaining():
            self._require_idle()
            if self.runs.selected is None:
                raise RunError("Select a run in the list first.")
            self._follow(open_run(self.runs.selected.path))

    def predict(self) -> None:
        """Open Predict with the model of the run that has ended."""
        if self.run is not None:
            page: Any = self.open_page("Predict")
            page.model.value = self.run.model

    def refresh_runs(self) -> None:
        """Read the folder of all runs again, in a thread; ``runs.wait()`` waits for it."""
        self.runs.refresh(Path(self.place["folder"].value).expanduser(), list(self.plot.runs))

    def show_log(self) -> None:
        """Show the output of the followed run's process, or of the one that failed."""
        if self.run is not None and self.run.log.exists():
            self.log = self.run.log.read_text("utf-8", "replace")
        super().show_log()

    def _refresh_shown(self) -> None:
        if self.isVisible():
            self.refresh_runs()

    def _require_idle(self) -> None:
        if self._saving or self._job is not None:
            raise RunError("A training is running: stop it first, or wait until it ends.")

    def _launch(self, data: DataConfig, run: RunFolder) -> None:
        """Start the child on a config, unless Stop was pressed while layers were saved."""
        self._saving = False
        if self._cancelled:
            discard_run(run)
            self.say("Stopped.")
            self._show_state()
            return
        with self.complaining():
            config = self.create_config(data, run.path)
            run.path.mkdir(parents=True, exist_ok=True)
            self.plot.remove_run(str(run.path))
            self._began_here = run.path
            write_setting("general", "runs_folder", str(run.path.parent))  # where to look next time
            self._follow(run)
            self._run_child(TrainJob(config=config), run)
            self.say("")
        if self._job is None:  # refused: a setting was changed while layers were saved
            discard_run(run)
        self._show_state()

    def _run_child(self, job: TrainJob | ResumeJob, run: RunFolder) -> None:
        self._job = JobProcess(job, self, log=run.log, detached=True)
        self._job.ended.connect(self._end_job)
        self._show_state()

    def _follow(self, run: RunFolder) -> None:
        """Follow a run from its first event on."""
        if self._watch is not None:
            left = None if self._watch.is_over else str(self._watch.run.path)
            self._watch.stop()
            self._watch.deleteLater()
            if left is not None and left != str(run.path) and left in self.plot.runs:
                self._looks.show(left)  # it may still train
        self._looks.stop(str(run.path))
        self.run = run
        self.plot.add_run(str(run.path))
        self.previews.begin(run)
        self._gc_pause.begin()
        self._watch = RunWatch(run, self, has_child=lambda: self._job is not None)
        self._watch.events.connect(self._hear)
        self._watch.ended.connect(self._end_watch)
        self.status.begin()
        self.tabs.setCurrentIndex(_CURVES)
        self._show_state()

    def _leave_run(self) -> None:
        """Stop following: a newer widget of this window takes over."""
        if self._watch is not None:
            self._watch.stop()
            self._gc_pause.end()

    def _find_running(self) -> None:
        """Reattach to a run that is training, e.g. after napari was reopened."""
        self.runs.listed.disconnect(self._find_running)  # only once
        if self.run is not None:
            return
        if (run := self.runs.find_running()) is not None:
            self._follow(run)
            self.say(f"{run.path.name} is still training; its curves are shown from the start.")

    def _hear(self, events: list[Event]) -> None:
        """Show what the run reports."""
        assert self.run is not None  # noqa: S101  `_follow` sets it
        self.plot.add_events(str(self.run.path), events)
        self.status.show_events(events)
        for event in events:
            if isinstance(event, RunStarted):
                self.refresh_runs()
            elif isinstance(event, Warned):
                self.say(event.message)
        if any(isinstance(event, PreviewsWritten) for event in events):
            self.previews.refresh()

    def _end_job(self, end: ProcessEnd) -> None:
        """Handle the end of the child; a run that never began leaves no folder."""
        self._gc_pause.end()
        self._job = None
        run, watch = self.run, self._watch
        assert run is not None  # noqa: S101  `_follow` sets both before a child starts
        assert watch is not None  # noqa: S101
        if run.path == self._began_here and not run.config.exists():
            watch.stop()
            self.plot.remove_run(str(run.path))
            discard_run(run)
            self.run = None
            self.status.clear()
            self.refresh_runs()
        elif not end.ok and not is_training(run):  # an earlier end does not count
            watch.stop()
            self.status.end(watch.last)
            self.refresh_runs()
        else:
            watch.look()
        self.previews.end()
        if end.stopped:
            self.say("Stopped.")
        elif not end.ok:
            self.complain(end.message, log=end.log)
        self._show_state()
        self._start_queued()

    def _end_watch(self, last: RunEnded | RunFailed | None) -> None:
        """Show how the run ended, here or elsewhere."""
        self._gc_pause.end()
        self.status.end(last)
        if self.message == _STOPPING:
            self.say("")
        if self.run is not None and self.place["name"].value == self.run.path.name:
            self.place["name"].value = new_run_name()  # else it is the name of the next one
        self.previews.end()
        ours = self.run is not None and self.run.path == self._began_here
        if ours and isinstance(last, RunEnded) and last.reason == "finished":
            self.announce("The training is finished.")
        self.refresh_runs()
        self._show_state()
        self._start_queued()

    def _fail(self, run: RunFolder, error: Exception) -> None:
        """Show why the layers could not be saved."""
        self._saving = False
        discard_run(run)
        self.complain(str(error))
        self._show_state()

    def _stop_now(self) -> None:
        """Stop without a message; the child saves and ends by itself, even after napari."""
        if self._saving:
            self._cancelled = True
        elif self.run is not None and self.run.events.exists():
            request_stop(self.run)
        elif self._job is not None:
            self._job.stop()

    def _draw_run(self, path: str, ticked: bool) -> None:
        """Draw the curves of a run that is not followed, or remove them."""
        if self.run is not None and path == str(self.run.path) and self.is_running:
            return
        self._looks.show(path) if ticked else self._looks.hide(path)

    def _show_state(self) -> None:
        self.start_button.setEnabled(not self._saving)
        self.resume_button.setEnabled(not self._saving and self._job is None)
        self.stop_button.setEnabled(self.is_running)
        curves = self.plot.runs.get(str(self.run.path), {}) if self.run is not None else {}
        has_model = not self.is_running and bool(curves) and curves["validation"].count > 0
        self.predict_button.setVisible(has_model)
