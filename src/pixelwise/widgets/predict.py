"""The widget Predict: labels of layers and folders, shown while they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import FileEdit
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QMessageBox,
    QProgressBar,
    QSizePolicy,
    QTabWidget,
)

from pixelwise.cards import Card, read_card
from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, PixelwiseError, RunError, WriteError
from pixelwise.events import Event, FilesLeftOut, ImageFailed, ImagePredicted, ImageProgressed
from pixelwise.images import SUFFIXES
from pixelwise.jobs import PredictJob
from pixelwise.outputs import Sources, plan_outputs
from pixelwise.widgets.corrections import PredictionSteps
from pixelwise.widgets.forms import Form, lay_out
from pixelwise.widgets.improve import Improvement, ImprovementEnd
from pixelwise.widgets.jobs import JobProcess, ProcessEnd, get_server
from pixelwise.widgets.layer_choice import LayerChoice
from pixelwise.widgets.layer_predictions import LayerPredictions
from pixelwise.widgets.layers import PARTIAL, find_layers
from pixelwise.widgets.model_list import ModelList, describe_training
from pixelwise.widgets.panel import (
    Fold,
    Note,
    Panel,
    create_button,
    create_row,
    create_text,
    read_setting,
    runs_folder,
    stack_widgets,
)
from pixelwise.widgets.readers import write_labels

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from qtpy.QtGui import QShowEvent

_SETTINGS = [field for field in PredictConfig.model_fields if field != "axes"]
_SHARES = 1000
_MOST_NOTES = 8


class PredictWidget(Panel):
    """Apply a model to layers or to a folder.

    Attributes
    ----------
    model : magicgui FileEdit
        Model file; `models` shows it by its name.
    models : ModelList
    choice : LayerChoice
        Which layers, and what of them; its parts `layers`, the list, and `axes` are attributes of
        this widget, too.
    settings : Form of PredictConfig
    source, out : magicgui FileEdit
        Folder of images, and folder for their labels.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.model = FileEdit(
            name="model", mode="r", label="File", filter="*.safetensors",
            tooltip="Model file that a training wrote",
        )  # fmt: skip
        self.models = ModelList(self.model, lambda: runs_folder())
        self.settings = Form(PredictConfig, _SETTINGS)
        self.settings.fill({"device": read_setting("general", "device", "auto")})
        self.choice = LayerChoice(napari_viewer, self._read_model)
        self.layers, self.axes = self.choice.layers, self.choice.axes
        self.source = FileEdit(
            name="source", mode="d", label="Images", tooltip="Folder with images"
        )
        self.out = FileEdit(name="out", mode="d", label="Labels", tooltip="Folder for the labels")
        self._predictions = LayerPredictions(napari_viewer, self)
        self.improvement = Improvement(napari_viewer, self._predictions, self)
        self._job: JobProcess | None = None
        self._failed: list[str] = []
        self._notes: list[str] = []
        self._build()

    def _build(self) -> None:
        self.card_text, self.status = create_text(), Note()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.choice, "Layers")
        self.tabs.addTab(stack_widgets(lay_out([self.source, self.out])[1]), "Folder")
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.predict_button = create_button("Predict", "Predict the chosen images", self.predict)
        self.cancel_button = create_button(
            "Cancel",
            "Stop and keep what is done: a partial layer, or files, where Predict continues",
            self.cancel,
        )
        self.save_button = create_button(
            "Save…", "Save the last labels as TIFF or OME-Zarr", self._ask_save
        )
        self.steps = PredictionSteps(self, self.improve)
        self.progress = QProgressBar()
        self.progress.setRange(0, _SHARES)
        settings = Fold("Settings", self.settings.native)
        for widget in (self.models, self.card_text, self.tabs, settings):
            self.column.addWidget(widget)
        self.column.addStretch()
        buttons = create_row(self.predict_button, self.cancel_button, self.save_button)
        self.pin(self.status, self.progress, buttons, self.steps)
        self._connect()
        self.choice.refresh()
        self._show_card()
        self._show_state()

    def _connect(self) -> None:
        for changed in (self.model, self.settings.container, self.source, self.out):
            changed.changed.connect(self.forgive)
        self.choice.changed.connect(self.forgive)
        self.model.changed.connect(self._show_card)
        self.settings.container.changed.connect(self.choice.check_soon)
        self._predictions.told.connect(self.status.setText)
        self._predictions.progress.connect(lambda d: self.progress.setValue(round(_SHARES * d)))
        self._predictions.finished.connect(self._end_layers)
        self.improvement.told.connect(self.status.setText)
        self.improvement.progress.connect(lambda d: self.progress.setValue(round(_SHARES * d)))
        self.improvement.ended.connect(self._end_improvement)

    @property
    def is_running(self) -> bool:
        """Whether a prediction is running."""
        predicting = self._predictions.is_running or self._job is not None
        return predicting or self.improvement.is_running

    @property
    def results(self) -> list[Layer]:
        """Layers that the last prediction has added."""
        return self._predictions.results

    def choose(self, *names: str) -> None:
        """Tick only these layers."""
        self.tabs.setCurrentIndex(0)
        self.choice.choose(*names)

    @property
    def understood(self) -> QLabel:
        """How the axes of the layers were read."""
        return self.choice.understood

    def choose_folder(self, source: Path, out: Path) -> None:
        """Predict a folder of images into another one."""
        self.tabs.setCurrentIndex(1)
        self.source.value, self.out.value = source, out

    def predict(self) -> None:
        """Predict what is chosen."""
        with self.complaining():
            self._require_idle()
            self.say("")
            settings = self.settings.create()
            self._read_card()
            self.progress.setValue(0)
            if self.tabs.currentIndex() == 1:
                self._predict_folder(settings)
            else:
                self._predict_layers(settings)
        self._show_state()

    def improve(self) -> None:
        """Train the model on with the corrections of the window, then predict again in place."""
        with self.complaining():
            self._require_idle()
            self.say("")
            self.progress.setValue(0)
            settings = self.settings.create()
            model, axes = self.steps.model, self.axes.value
            self.improvement.start(model, runs_folder(), settings, axes=axes)
        self._show_state()

    def _end_improvement(self, end: ImprovementEnd) -> None:
        """Say what came out, and choose the improved model."""
        self.status.setText("")
        if end.model is not None:
            self.model.value = end.model
        if end.is_failure:
            self.complain(end.message, log=end.log)
        else:
            self.say(end.message)
        self._show_state()

    def _require_idle(self) -> None:
        if self.is_running:
            raise RunError("A prediction is running: wait for it, or cancel it.")

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Choose the model of the newest run, unless the user has chosen one."""
        super().showEvent(event)
        self.models.refresh()

    def cancel(self) -> None:
        """Stop: what is done is kept as a partial layer; a model that is being improved stays."""
        if self.improvement.is_running:
            self.improvement.stop()
        self._predictions.cancel()
        if self._job is not None:
            self._job.stop()

    def save(self, folder: Path, *, replace: bool = False) -> list[Path]:
        """Save the last results, one file each, in the format of the settings: TIFF or OME-Zarr.

        Raises
        ------
        WriteError
            The folder cannot be written, or a file exists and is not to be replaced; images of open
            layers never are.
        """
        targets = self._name_files(folder)
        there = [path.name for path in targets if path.exists()]
        if there and not replace:
            raise WriteError(f"{folder} already holds {', '.join(there)}. Nothing was changed.")
        shown = [layer.source.path for layer in find_layers(self.viewer, "image")]
        images = tuple(Path(path) for path in shown if path)
        plan_outputs(targets, Sources(images), overwrite=True)
        for layer, path in zip(self.results, targets, strict=True):
            data, attributes, _ = layer.as_layer_data_tuple()
            write_labels(str(path), data, attributes)
        return targets

    def _name_files(self, folder: Path) -> list[Path]:
        """Files for the last results."""
        suffix = SUFFIXES[self.settings.create().format]
        names = [layer.name.replace("/", "_") for layer in self.results]
        return [folder / f"{name}{suffix}" for name in names]

    def _read_model(self) -> tuple[Card, float | None]:
        """Read the model's card, and the intensity of white in the settings."""
        return self._read_card(), self.settings.create().white

    def _read_card(self) -> Card:
        path = Path(self.model.value or "")
        if not path.is_file():
            raise ConfigError("Choose a model file (model.safetensors in a run folder).")
        return read_card(path)

    def _show_card(self, *_: object) -> None:
        self.choice.check_soon()
        try:
            card = self._read_card()
        except (PixelwiseError, OSError):
            self.card_text.setText(
                "There is no trained model yet: train one, or choose a file."
                if self.models.box.count() == 1 and not self.model.line_edit.value
                else ""
            )
            return
        channels = f"{card.in_channels} channel{'s' * (card.in_channels != 1)}"
        encoder = f" with {card.encoder}" if card.encoder else ""
        self.card_text.setText(
            f"{card.architecture}{encoder}, {channels}; classes: "
            f"{', '.join(card.class_names)}; {describe_training(card.training)}"
        )

    def _predict_layers(self, settings: PredictConfig) -> None:
        self._predictions.predict(
            self.choice.find_wanted(),
            Path(self.model.value),
            settings,
            with_uncertainty=self.choice.uncertainty.isChecked(),
        )

    def _end_layers(self, status: str) -> None:
        self._show_state()
        if status == "failed":
            self.status.setText("")
            self.complain("\n".join(self._predictions.failures), log=get_server().log)
        else:
            self.status.setText(_join(self._describe_end(status), self._predictions.notes))

    def _describe_end(self, status: str) -> str:
        count = len(self.results)
        if status == "done":
            return f"{count} layer{'s' * (count != 1)} predicted."
        partial = [x.name for x in self.results if x.metadata.get(PARTIAL)]
        kept = f" What is done is in {', '.join(partial)}." if partial else ""
        return f"Cancelled.{kept}"

    def _predict_folder(self, settings: PredictConfig) -> None:
        source, out = Path(self.source.value or ""), Path(self.out.value or "")
        if not self.source.value or not source.is_dir():
            raise ConfigError("Choose a folder with images.")
        if out == Path():
            raise ConfigError("Choose a folder for the labels.")
        if text := self.axes.value.strip():
            settings = PredictConfig.create(**settings.model_dump() | {"axes": text})
        job = PredictJob(model=self.model.value, images=(source,), out=out, settings=settings)
        self._failed, self._notes = [], []
        self._job = JobProcess(job, self)
        self._job.reported.connect(self._hear_folder)
        self._job.ended.connect(self._end_folder)
        self.progress.setRange(0, 0)
        self.status.setText("Loading the model…")

    def _hear_folder(self, event: Event) -> None:
        if isinstance(event, ImageProgressed):
            self.progress.setRange(0, _SHARES)
            self.progress.setValue(round(event.done * _SHARES))
            self.status.setText(f"{Path(event.source).name}…")
        elif isinstance(event, ImagePredicted):
            name = Path(event.source).name
            self._notes += [f"{name}: {note}" for note in event.notes]
            self.status.setText(_join(f"{name}: {event.axes}", event.notes))
        elif isinstance(event, FilesLeftOut):
            self._notes.append(f"left out: {', '.join(event.files)} ({event.reason})")
        elif isinstance(event, ImageFailed):
            self._failed.append(f"{event.source}: {event.message}")

    def _end_folder(self, end: ProcessEnd) -> None:
        self._job = None
        self.progress.setRange(0, _SHARES)
        self._show_state()
        if end.ok or end.stopped:
            done = f"The labels are in {self.out.value}."
            self.status.setText(_join("Cancelled." if end.stopped else done, self._notes))
        else:
            self.status.setText("")
            self.complain("\n".join(self._failed) or end.message, log=end.log)

    def _ask_save(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for the labels")
        if not folder:
            return
        with self.complaining():
            there = [path.name for path in self._name_files(Path(folder)) if path.exists()]
            if there and not self._may_replace(there):
                return
            count = len(self.save(Path(folder), replace=True))
            self.announce(f"{count} file{'s' * (count > 1)} in {folder}.")

    def _may_replace(self, names: list[str]) -> bool:
        """Ask whether files may be replaced."""
        answer = QMessageBox.question(self, "Replace?", f"Replace {', '.join(names)}?")
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _show_state(self) -> None:
        running = self.is_running
        self.predict_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.save_button.setEnabled(bool(self.results) and not running)
        self.progress.setVisible(running)
        self.steps.show_for([] if running else self.results)


def _join(text: str, notes: Sequence[str]) -> str:
    """Write the first few notes below a text."""
    more = [f"and {len(notes) - _MOST_NOTES} more"] if len(notes) > _MOST_NOTES else []
    return "\n".join([text, *notes[:_MOST_NOTES], *more])
