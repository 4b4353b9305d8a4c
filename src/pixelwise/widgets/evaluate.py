"""The widget Evaluate: labels against the ground truth, or a model against a data set."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QProgressBar, QSizePolicy, QTabWidget, QWidget

from pixelwise.atomic import write_text
from pixelwise.config import DataConfig, PredictConfig
from pixelwise.errors import ConfigError, DataError, RunError
from pixelwise.figures import draw_confusion
from pixelwise.jobs import EvaluateJob
from pixelwise.scores import SCORE_NAMES, Scores, create_scores
from pixelwise.widgets.comparison_view import ComparisonView
from pixelwise.widgets.confusion_table import ConfusionTable
from pixelwise.widgets.forms import Form, lay_out
from pixelwise.widgets.image_scores import ImageScores
from pixelwise.widgets.jobs import JobProcess, ProcessEnd
from pixelwise.widgets.label_comparison import add_errors, compare_labels, create_legend
from pixelwise.widgets.layers import SPARSE, connect_layers, find_layers, layer_array, read_classes
from pixelwise.widgets.panel import (
    Fold,
    Panel,
    create_button,
    create_row,
    create_text,
    fill_column,
    read_setting,
    stack_widgets,
)
from pixelwise.widgets.score_table import Headline, ScoreTable
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

_MOST_NOTES = 8
_FIELDS = ["path", "layout"]
_DETAILS = ["classes", "void", "axes", "resize", "images", "masks", "mask_suffix"]
_SETTINGS = ["device", "tile", "overlap", "batch_size", "flips", "rotations", "precision", "white"]


class EvaluateWidget(Panel):
    """Scores per class and in total, the confusion matrix, and an error map.

    Attributes
    ----------
    layers : magicgui Container
        `prediction` and `truth`, names of Labels layers, and `error_map`.
    model : magicgui FileEdit
    data, details : Form of DataConfig
    settings : Form of PredictConfig
        device, batch size, ...
    images : ImageScores
        Score of each image of a folder.
    compared : magicgui FileEdit
        Folder of a comparison.
    comparison : ComparisonView
        Its results.
    scores : Scores or None
        The last result.
    headline : Headline
        The one score that sums it up.
    table : ScoreTable
        One row per class, then macro and micro.
    confusion : ConfusionTable
    legend : QLabel
        Which colour of the map is which error.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.layers, self._layers = lay_out(
            [
                ComboBox(name="prediction", label="Prediction", choices=self._list_labels),
                ComboBox(name="truth", label="Truth", choices=self._list_labels),
                CheckBox(name="error_map", text="Error map", value=True),
            ]
        )
        self.model = FileEdit(mode="r", label="Model", filter="*.safetensors", tooltip="Model file")
        tip = "Folder that 'pixelwise compare' wrote"
        self.compared = FileEdit(mode="d", label="Folder", tooltip=tip)
        self.data, self.details = Form(DataConfig, _FIELDS), Form(DataConfig, _DETAILS)
        self.settings = Form(PredictConfig, _SETTINGS)
        self.settings.fill({"device": read_setting("general", "device", "auto")})
        self.images = ImageScores(self)
        self.comparison = ComparisonView(self)
        self.scores: Scores | None = None
        self._job: JobProcess | None = None
        self._busy = False
        self._build()
        connect_layers(napari_viewer, self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.addTab(stack_widgets(self._layers), "Layers")
        folder = stack_widgets(
            lay_out([self.model])[1],
            self.data.native,
            Fold("Classes, axes and files", self.details.native),
            Fold("Settings", self.settings.native),
        )
        self.tabs.addTab(folder, "Model and folder")
        about = create_text(
            "Shows what the command 'pixelwise compare' found: the scores of several networks, "
            "their curves, and what each predicts."
        )
        self.tabs.addTab(stack_widgets(lay_out([self.compared])[1], about), "Comparison")
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.headline, self.table, self.confusion = Headline(), ScoreTable(), ConfusionTable()
        self._about = create_text(
            "Confusion matrix: the share of each true class (row) that was predicted as each class "
            "(column). Pixels are in the tool tips."
        )
        self.legend = create_legend()
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.button = create_button("Evaluate", "Score what is chosen", self.evaluate)
        self.stop_button = create_button("Stop", "Stop the evaluation", self.stop)
        self.column.addWidget(self.tabs)
        self.pin(create_row(self.button, self.stop_button), self.progress)
        forms = (self.data, self.details, self.settings)
        self.tabs.currentChanged.connect(self._choose_action)
        self.comparison.opened.connect(lambda: self._choose_action(self.tabs.currentIndex()))
        for each in (self.layers, self.model, self.compared, *(form.container for form in forms)):
            each.changed.connect(self.forgive)
        copy = create_button("Copy", "Copy the table, for a spreadsheet", self.copy)
        export = create_button("CSV…", "Save the table as CSV", self._ask_csv)
        draw = create_button("PNG…", "Save the confusion matrix as a picture", self._ask_png)
        self._results = stack_widgets(
            self.headline, self.table, self._about, self.confusion, self.legend
        )
        self._scored = QWidget()
        fill_column(self._scored, self._results, create_row(copy, export, draw), self.images)
        self.column.addWidget(self._scored)
        self.column.addWidget(self.comparison)
        self.column.addStretch()
        self._results.hide()
        self._set_busy(False)

    @property
    def is_running(self) -> bool:
        """Whether an evaluation is running, or one of its images is being opened."""
        return self._busy or self.images.is_reading or self.comparison.is_reading

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
            (self._compare_layers, self._start_child, self._open_comparison)[
                self.tabs.currentIndex()
            ]()

    def _open_comparison(self) -> None:
        """Show the results in the chosen folder."""
        if self.compared.value == Path():
            raise ConfigError("Choose the folder of a comparison.")
        self.comparison.open_folder(Path(self.compared.value))

    def _choose_action(self, tab: int) -> None:
        """Show what belongs to a tab: the scores of one model, or a comparison of several."""
        is_comparison = tab == self.tabs.count() - 1
        self._scored.setVisible(not is_comparison)
        self.comparison.setVisible(is_comparison and self.comparison.summary is not None)
        self.button.setText("Open" if is_comparison else "Evaluate")

    def stop(self) -> None:
        """Stop the evaluation of a model."""
        if self._job is not None:
            self._job.stop()

    def to_csv(self) -> str:
        """Return the table as CSV."""
        return self._write_table(",")

    def copy(self) -> None:
        """Copy the table as tab-separated text."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._write_table("\t"))

    def _write_table(self, delimiter: str) -> str:
        """Return the scores as delimited text."""
        text = io.StringIO()
        rows = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        rows.writerow(["class", *SCORE_NAMES])
        for name, row in ({} if self.scores is None else self.scores.rows()).items():
            values = row.to_dict().values()
            rows.writerow([name, *("" if v is None else f"{v:.6f}" for v in values)])
        return text.getvalue()

    def _list_labels(self, _: object) -> list[str]:
        return [layer.name for layer in find_layers(self.viewer, "labels")]

    def _compare_layers(self) -> None:
        """Compute the confusion matrix of two layers in a thread."""
        names: list[Any] = [self.layers.prediction.value, self.layers.truth.value]
        if None in names or names[0] == names[1]:
            raise DataError("Choose two labels layers: a prediction and the ground truth.")
        found, truth = (self.viewer.layers[name] for name in names)
        shapes = [tuple(layer_array(layer).shape) for layer in (found, truth)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{names[0]} has shape {shapes[0]}, {names[1]} {shapes[1]}: expected the same."
            )
        known = {"sparse": bool(truth.metadata.get(SPARSE)), "named": bool(read_classes([truth]))}
        self._set_busy(True)
        run_in_thread(
            partial(compare_labels, layer_array(found), layer_array(truth), **known),
            self,
            then=lambda result: self._show_layers(result, found, truth),
            failed=self._fail,
        )

    def _show_layers(self, result: tuple[Any, Any], found: Labels, truth: Labels) -> None:
        matrix, errors = result
        self._set_busy(False)
        self.images.clear()
        shift = int(bool(truth.metadata.get(SPARSE)))  # a sparse layer's classes begin at 1
        known = {str(int(v) - shift): name for v, name in read_classes([truth]).items()}
        known |= read_classes([found])
        default = {0: "background"}
        names = [known.get(str(i), default.get(i, f"class {i}")) for i in range(len(matrix))]
        self._show(create_scores(matrix, names), _describe_pixels(matrix, truth))
        self.legend.setVisible(bool(self.layers.error_map.value))
        if self.layers.error_map.value:
            add_errors(
                self.viewer, errors, name=f"{found.name} errors", scale=found.scale,
                translate=found.translate, rotate=found.rotate, shear=found.shear,
                units=found.units,
            )  # fmt: skip

    def _start_child(self) -> None:
        """Evaluate a model on a folder, in a child process."""
        values = self.data.values | self.details.values
        if "path" not in values:
            raise ConfigError("Choose a folder with images and masks.")
        if not Path(self.model.value).is_file():
            raise ConfigError("Choose a model file (model.safetensors in a run folder).")
        data, model = DataConfig.create(**values), Path(self.model.value)
        settings = self.settings.create().model_copy(update={"axes": data.axes})
        labels = self.images.begin(data, model)
        job = EvaluateJob(model=model, data=data, settings=settings, labels=labels)
        self._job = JobProcess(job, self)
        self._set_busy(True)
        self._job.ended.connect(self._show_child)

    def _show_child(self, end: ProcessEnd) -> None:
        output = "" if self._job is None else self._job.output
        self._job = None
        self._set_busy(False)
        if not end.ok:
            self.images.clear()
        if end.stopped:
            self.say("Stopped.")
            return
        if not end.ok:
            self.complain(end.message, log=end.log)
            return
        found = json.loads(output)
        total = found["total"]
        self.images.show_scores(found["images"])
        self.legend.show()
        self.say("\n".join(found["notes"][:_MOST_NOTES]))
        matrix = np.array(total["confusion"], np.int64)
        scores = create_scores(matrix, list(total["classes"]), background=total["background"])
        count = len(found["images"])
        images = "the image" if count == 1 else f"all {count} images together"
        self._show(scores, f"all annotated pixels of {images}")

    def _fail(self, error: Exception) -> None:
        self._set_busy(False)
        self.complain(str(error))

    def _show(self, scores: Scores, counted: str) -> None:
        """Show scores as a headline, a table and a confusion matrix."""
        self.scores = scores
        self.headline.show_scores(scores, counted)
        self.table.show_scores(scores)
        self.confusion.show_matrix(scores.matrix, scores.names)
        self._results.show()

    def _ask_csv(self) -> None:
        if path := QFileDialog.getSaveFileName(self, "Save the scores", "scores.csv", "*.csv")[0]:
            with self.complaining():
                write_text(Path(path), self.to_csv())

    def _ask_png(self) -> None:
        if self.scores is None:
            return
        path = QFileDialog.getSaveFileName(self, "Save the matrix", "confusion.png", "*.png")[0]
        if path:
            with self.complaining():
                draw_confusion(self.scores.matrix, self.scores.names, Path(path))

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.progress.setVisible(busy)
        self.button.setEnabled(not busy)
        self.stop_button.setEnabled(busy)


def _describe_pixels(matrix: Any, truth: Labels) -> str:
    """Say which pixels of two layers were counted."""
    left_out = layer_array(truth).size - int(matrix.sum())
    if truth.metadata.get(SPARSE):
        return "on annotated pixels only"
    void = f", without {left_out:,} void pixel{'s' * (left_out != 1)}" if left_out else ""
    return f"all pixels of both layers together{void}"
