"""The widget Evaluate: labels against the truth, or a model against a data set."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from qtpy.QtGui import QGuiApplication, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
)

from pixelwise.atomic import write_text
from pixelwise.classes import VOID, create_classes
from pixelwise.config import DataConfig
from pixelwise.errors import ConfigError, DataError, RunError
from pixelwise.figures import draw_confusion
from pixelwise.scores import SCORE_NAMES, Scores, count_confusion, create_scores
from pixelwise.widgets.data import SPARSE
from pixelwise.widgets.forms import Form, lay_out
from pixelwise.widgets.jobs import Job, JobEnd, to_options
from pixelwise.widgets.layers import color_labels, find_layers, layer_array, read_classes
from pixelwise.widgets.panel import Fold, Panel, create_button, create_row, stack_widgets
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

_FIELDS = ["path", "layout"]
_DETAILS = ["classes", "void", "axes", "resize", "images", "masks", "mask_suffix"]
ERRORS = ("right", "missed", "too much", "wrong class")
_ERROR_COLORS = ("#000000", "#0072b2", "#d55e00", "#f0e442")
_STRIP_PX = 2**24  # so many pixels are counted at a time


class EvaluateWidget(Panel):
    """Scores per class and in total, the confusion matrix, and a map of the errors.

    Attributes
    ----------
    layers : magicgui Container
        `prediction` and `truth`, names of Labels layers, and `error_map`.
    model : magicgui FileEdit
    data, details : Form of DataConfig
    scores : Scores or None
        The last result.
    table : QTableWidget
        One row per class, then macro and micro.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.layers, self._layers = lay_out(
            [
                ComboBox(name="prediction", label="Prediction", choices=self._list_labels),
                ComboBox(name="truth", label="Truth", choices=self._list_labels),
                CheckBox(name="error_map", label="Map of the errors", value=True, text=""),
            ]
        )
        self.model = FileEdit(mode="r", label="Model", filter="*.safetensors", tooltip="Model file")
        self.data, self.details = Form(DataConfig, _FIELDS), Form(DataConfig, _DETAILS)
        self.scores: Scores | None = None
        self._job: Job | None = None
        self._busy = False
        self._build()
        for event in ("inserted", "removed", "renamed"):
            getattr(napari_viewer.layers.events, event).connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.addTab(stack_widgets(self._layers), "Layers")
        folder = stack_widgets(lay_out([self.model])[1], self.data.native)
        self.tabs.addTab(folder, "Model and folder")
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.table = QTableWidget(0, 1 + len(SCORE_NAMES))
        self.table.setHorizontalHeaderLabels(["class", *SCORE_NAMES])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(180)
        self.picture = QLabel()
        self.picture.setScaledContents(False)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.button = create_button("Evaluate", "Score what is chosen", self.evaluate)
        self.stop_button = create_button("Stop", "End the evaluation", self.stop)
        for widget in (self.tabs, Fold("Classes, axes and files", self.details.native)):
            self.column.addWidget(widget)
        self.column.addLayout(create_row(self.button, self.stop_button))
        self.column.addWidget(self.progress)
        self.column.addWidget(self.table)
        copy = create_button("Copy", "Copy the table, for a spreadsheet", self.copy)
        export = create_button("CSV…", "Save the table as CSV", self._ask_csv)
        self.column.addLayout(create_row(copy, export))
        self.column.addWidget(self.picture)
        self.column.addStretch()
        self._set_busy(False)

    @property
    def is_running(self) -> bool:
        """Whether an evaluation is going on."""
        return self._busy

    def refresh(self, *_: object) -> None:
        """List the labels layers."""
        self.layers.prediction.reset_choices()
        self.layers.truth.reset_choices()

    def evaluate(self) -> None:
        """Score what is chosen."""
        with self.complaining():
            if self._busy:
                raise RunError("An evaluation is running: wait for it, or stop it.")
            self.say("")
            if self.tabs.currentIndex() == 0:
                self._compare_layers()
            else:
                self._start_child()

    def stop(self) -> None:
        """End the evaluation of a model."""
        if self._job is not None:
            self._job.stop()

    def to_csv(self) -> str:
        """Give the table as CSV."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["class", *SCORE_NAMES])
        for row in range(self.table.rowCount()):
            cells = [self.table.item(row, column) for column in range(self.table.columnCount())]
            rows.writerow(["" if cell is None else cell.text() for cell in cells])
        return text.getvalue()

    def copy(self) -> None:
        """Copy the table, tabs between the cells."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.to_csv().replace(",", "\t"))

    def _list_labels(self, _: object) -> list[str]:
        return [layer.name for layer in find_layers(self.viewer, "labels")]

    def _compare_layers(self) -> None:
        """Count the confusion of two layers in a thread."""
        names: list[Any] = [self.layers.prediction.value, self.layers.truth.value]
        if None in names or names[0] == names[1]:
            raise DataError("Choose two labels layers: a prediction, and the truth.")
        found, truth = (self.viewer.layers[name] for name in names)
        shapes = [tuple(layer_array(layer).shape) for layer in (found, truth)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{names[0]} has shape {shapes[0]}, {names[1]} {shapes[1]}: expected the same."
            )
        sparse = bool(truth.metadata.get(SPARSE))
        self._set_busy(True)
        run_in_thread(
            partial(compare_labels, layer_array(found), layer_array(truth), sparse=sparse),
            self,
            then=lambda result: self._show_layers(result, found, truth),
            failed=self._fail,
        )

    def _show_layers(self, result: tuple[Any, Any], found: Labels, truth: Labels) -> None:
        matrix, errors = result
        self._set_busy(False)
        shift = int(bool(truth.metadata.get(SPARSE)))  # a sparse layer's classes begin at 1
        known = {str(int(v) - shift): name for v, name in read_classes([truth]).items()}
        known |= read_classes([found])
        default = {0: "background"}
        names = [known.get(str(i), default.get(i, f"class {i}")) for i in range(len(matrix))]
        self._show(create_scores(matrix, names))
        if self.layers.error_map.value:
            name = f"{found.name} errors"
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)
            layer = self.viewer.add_labels(
                errors, name=name, scale=found.scale, translate=found.translate,
                rotate=found.rotate, shear=found.shear, units=found.units,
            )  # fmt: skip
            color_labels(layer, create_classes(ERRORS, _ERROR_COLORS))

    def _start_child(self) -> None:
        """Evaluate a model on a folder, in a child process."""
        values = self.data.values | self.details.values
        if "path" not in values:
            raise ConfigError("Choose a folder with images and masks.")
        if not Path(self.model.value).is_file():
            raise ConfigError("Choose a model file (model.safetensors in a run's folder).")
        data = DataConfig.create(**values).model_dump(mode="json", exclude_defaults=True)
        path = data.pop("path")
        arguments = ["evaluate", str(self.model.value), path, "--json", *to_options(data)]
        self._set_busy(True)
        self._job = Job(arguments, self)
        self._job.ended.connect(self._show_child)

    def _show_child(self, end: JobEnd) -> None:
        output = "" if self._job is None else self._job.output
        self._job = None
        self._set_busy(False)
        if end.stopped:
            self.say("Stopped.")
            return
        if not end.ok:
            self.complain(end.message)
            return
        total = json.loads(output)["total"]
        matrix = np.array(total["confusion"], np.int64)
        self._show(create_scores(matrix, list(total["classes"]), background=total["background"]))

    def _fail(self, error: Exception) -> None:
        self._set_busy(False)
        self.complain(str(error))

    def _show(self, scores: Scores) -> None:
        """Show scores as a table and a picture."""
        self.scores = scores
        rows = scores.rows()
        self.table.setRowCount(len(rows))
        for number, (name, row) in enumerate(rows.items()):
            values = ["-" if v is None else f"{v:.4f}" for v in row.to_dict().values()]
            for column, text in enumerate([name, *values]):
                self.table.setItem(number, column, QTableWidgetItem(text))
        with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
            path = Path(folder) / "confusion.png"
            draw_confusion(scores.matrix, scores.names, path)
            picture = QPixmap(str(path))
        self.picture.setPixmap(picture.scaledToWidth(min(picture.width(), 360)))

    def _ask_csv(self) -> None:
        if path := QFileDialog.getSaveFileName(self, "Save the scores", "scores.csv", "*.csv")[0]:
            with self.complaining():
                write_text(Path(path), self.to_csv())

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.progress.setVisible(busy)
        self.button.setEnabled(not busy)
        self.stop_button.setEnabled(busy)


def compare_labels(
    found: Any, truth: Any, *, sparse: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Confusion matrix (rows are the truth) and error map of two label arrays of one shape.

    255 in the truth is void; in a sparse truth 0 is, and its classes begin at 1. The map holds 0
    where right or void, 1 missed foreground, 2 too much foreground, 3 the wrong class of
    foreground.

    Raises
    ------
    DataError
        The labels are instances (more than 255 values), not classes.
    """
    found, truth = np.asarray(found), np.asarray(truth)
    if sparse:
        truth = np.where(np.isin(truth, (0, VOID)), VOID, truth.astype(np.int64) - 1)
    top = max(int(found.max(initial=0)), int(np.where(truth == VOID, 0, truth).max(initial=0)))
    if top >= VOID:
        raise DataError(
            f"The labels go up to {top}: these are numbered objects, not classes. Evaluate the "
            "labels of classes."
        )
    count = max(top + 1, 2)
    matrix = np.zeros((count, count), np.int64)
    flat_truth, flat_found = truth.reshape(-1), found.reshape(-1)
    for start in range(0, flat_truth.size, _STRIP_PX):
        part = slice(start, start + _STRIP_PX)
        matrix += count_confusion(flat_truth[part], flat_found[part], count)
    wrong = (found != truth) & (truth != VOID)
    errors = np.zeros(truth.shape, np.uint8)
    errors[wrong & (found == 0)] = 1
    errors[wrong & (truth == 0)] = 2
    errors[wrong & (truth != 0) & (found != 0)] = 3
    return matrix, errors
