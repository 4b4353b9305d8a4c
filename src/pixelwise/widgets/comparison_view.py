"""A comparison of networks in a window: its table, its curves, and each image's predictions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from pixelwise.comparison_summary import FEWEST, ComparisonSummary, average_dice
from pixelwise.errors import DataError, RunError
from pixelwise.events import EpochEnded
from pixelwise.images import read_image
from pixelwise.summaries import read_epochs
from pixelwise.widgets.curve_plot import CurvePlot
from pixelwise.widgets.layers import remove_layers
from pixelwise.widgets.panel import Panel, create_table, create_text, fill_column, fill_table
from pixelwise.widgets.readers import LayerData, read_known_pair
from pixelwise.widgets.threads import run_in_thread

_CURVES_PX = 330  # without a line of the legend for each run
_MOST_CLEAR = 6  # differences that are named


class ComparisonView(QWidget):
    """Results of ``pixelwise compare``; hidden until a folder is opened.

    Parameters
    ----------
    panel : Panel
        The widget that holds it.

    Attributes
    ----------
    opened : Signal
        Results were read, and can be shown.
    summary : ComparisonSummary or None
        What is shown.
    models : QTableWidget
        One row per model, the best first.
    curves : CurvePlot
        Those of all runs over one another.
    images : QTableWidget
        Images with their mean Dice, the worst first; a click shows one with all predictions.
    """

    opened = Signal()

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._folder = Path()
        self._is_reading = False
        self._added: dict[str, list[Any]] = {}  # layers by the name of their image
        self.summary: ComparisonSummary | None = None
        self.headline, self.differences = create_text(), create_text()
        self.models = create_table(["model", "Dice", "95 %", "IoU"], height=215)
        self.models.setToolTip("Means over the foreground classes, the best model first")
        self.images = create_table(["image", "mean Dice"], height=160)
        self.images.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.images.setToolTip("The worst image first; click one to see what each model predicts")
        self.images.cellClicked.connect(self.show_image)
        for table in (self.models, self.images):
            table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.curves = CurvePlot(self)
        fill_column(self, self.headline, self.models, self.differences, self.images, self.curves)
        self.hide()

    @property
    def is_reading(self) -> bool:
        """Whether a folder or an image is being read."""
        return self._is_reading

    def open_folder(self, folder: Path) -> None:
        """Read the results in a folder of ``pixelwise compare``, and show them."""
        self._read(partial(_read_results, folder), then=partial(self._show, folder))

    def show_image(self, row: int, _column: int = 0) -> None:
        """Show an image of the list with its truth and the labels of each model."""
        item = self.images.item(row, 0)
        if item is None or self.summary is None or self._is_reading:
            return
        read = partial(_read_layers, self._folder, self.summary, item.text())
        self._read(read, then=self._add_layers)

    def _read(self, read: Any, *, then: Any) -> None:
        """Read in a thread; one thing at a time."""
        if self._is_reading:
            raise RunError("The comparison is being read: wait a moment.")
        self._is_reading = True
        run_in_thread(read, self, then=partial(self._end, then), failed=self._fail)

    def _end(self, then: Any, found: Any) -> None:
        self._is_reading = False
        then(found)

    def _fail(self, error: Exception) -> None:
        self._is_reading = False
        self._panel.complain(str(error))

    def _show(self, folder: Path, found: tuple[ComparisonSummary, dict[str, Any]]) -> None:
        """Fill the tables and draw the curves."""
        self._folder, (summary, epochs) = folder, found
        self.headline.setText(summary.headline)
        rows = []
        for name, model in summary.models.items():
            dice, iou = model.foreground["dice"], model.foreground["iou"]
            rows.append([name, dice.short, dice.interval, iou.short])
        fill_table(self.models, rows)
        self.differences.setText(describe_differences(summary))
        images = [(name, f"{average_dice(dice):.3f}") for name, dice in summary.worst_first()]
        fill_table(self.images, images)
        for run in list(self.curves.runs):
            self.curves.remove_run(run)
        for run, events in epochs.items():
            self.curves.add_events(run, events)
        self.curves.setFixedHeight(_CURVES_PX + len(epochs) * self.fontMetrics().lineSpacing())
        self.summary = summary
        self.opened.emit()

    def _add_layers(self, found: tuple[list[LayerData], dict[str, Any]]) -> None:
        """Add an image, its mask, and the labels of each model; those added before are replaced."""
        layers, labels = found
        (image, options, _), (mask, mask_options, _) = layers
        viewer, name = self._panel.viewer, options["name"]
        remove_layers(viewer, self._added.pop(name, []))
        added = [
            viewer.add_image(image, **options),
            viewer.add_labels(mask, **mask_options, visible=False),
        ]
        for number, (model, planes) in enumerate(labels.items()):
            shown = {"features": mask_options["features"], "visible": number == 0}
            added.append(viewer.add_labels(planes, name=f"{name} {model}", **shown))
        self._added[name] = added


def describe_differences(summary: ComparisonSummary) -> str:
    """Say in a few lines which differences of Dice are larger than chance explains."""
    if len(summary.models) < 2:
        return ""
    if summary.sources < FEWEST:
        return (
            f"Differences are not judged: {summary.sources} source images are too few, it takes "
            f"{FEWEST}."
        )
    clear = [pair for pair in summary.differences if pair.clear]
    if not clear:
        return "No difference is larger than chance explains."
    pairs = [f"{one} over {other}" for one, other in (pair.models for pair in clear[:_MOST_CLEAR])]
    more = len(clear) - len(pairs)
    ending = f", and {more} more" if more else ""
    return f"Larger than chance explains: {', '.join(pairs)}{ending}."


def _read_results(folder: Path) -> tuple[ComparisonSummary, dict[str, list[EpochEnded]]]:
    """Results, and the epochs of each run that is there, by its path."""
    summary = ComparisonSummary.load(folder)
    runs = [run for run in summary.list_runs(folder) if run.is_there]
    return summary, {str(run.path): read_epochs(run) for run in runs}


def _read_layers(
    folder: Path, summary: ComparisonSummary, name: str
) -> tuple[list[LayerData], dict[str, Any]]:
    """Image and mask of a sample, and the labels that each model predicted."""
    labels = {
        model: file
        for model, result in summary.models.items()
        for run in result.runs
        if (file := folder / "labels" / run.name / f"{name}_labels.tif").is_file()
    }
    runs = summary.list_runs(folder)
    run = next((run for run in runs if run.is_there and run.model.is_file()), None)
    if run is None or not labels:
        raise DataError(f"The runs and the labels of {name} are not in {folder} any more.")
    layers = read_known_pair(run.read_config().data, run.model, name)
    shape = layers[1][0].shape
    return layers, {model: read_image(file)[0].reshape(shape) for model, file in labels.items()}
