"""A folder as a project on the page Annotate: one image after another, with its strokes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import FileEdit
from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from pixelwise.cards import read_card
from pixelwise.classes import SegmentationClass
from pixelwise.config import PredictConfig
from pixelwise.errors import DataError, WriteError
from pixelwise.widgets.annotation_files import tell_saved
from pixelwise.widgets.doubt import DoubtQueue
from pixelwise.widgets.layers import MODEL, SOURCE
from pixelwise.widgets.model_list import ModelList
from pixelwise.widgets.panel import (
    Panel,
    create_button,
    create_row,
    create_table,
    read_setting,
    runs_folder,
)
from pixelwise.widgets.project_files import LABELS, Project, read_doubt
from pixelwise.widgets.project_layers import (
    add_layers,
    close_layers,
    list_additions,
    merge_strokes,
    read_pixels,
    read_stamp,
)
from pixelwise.widgets.readers import write_labels
from pixelwise.widgets.wheel import calm_wheel

if TYPE_CHECKING:
    from napari.layers import Labels
    from qtpy.QtGui import QHideEvent

_BY_NAME, _BY_DOUBT = "by name", "least sure first"
_MEASURING = "Measuring how sure the model is:"


class ProjectList(QWidget):
    """The images of a folder with their state; one is open, and its strokes are saved on leaving.

    Parameters
    ----------
    panel : Panel
        The page Annotate.
    list_classes : callable
        Classes of new labels.
    show_labels : callable
        Called with the labels of the image that was opened.

    Attributes
    ----------
    project : Project or None
    image : Path or None
        The image that is open.
    opened : Signal
        Whether a folder is open now.
    """

    opened = Signal(bool)

    def __init__(
        self,
        panel: Panel,
        *,
        list_classes: Callable[[], tuple[SegmentationClass, ...]],
        show_labels: Callable[[Labels], None],
    ) -> None:
        super().__init__()
        self._panel, self._list_classes, self._show_labels = panel, list_classes, show_labels
        self.project: Project | None = None
        self.image: Path | None = None
        self._labels: Labels | None = None
        self._stamp: int | None = None  # when the open image's labels were written
        self._images: list[Path] = []
        self._doubts = DoubtQueue(self)
        self._doubts.started.connect(self._say_progress)
        self._doubts.measured.connect(self._note_doubt)
        self._doubts.ended.connect(self._end_doubts)
        self.open_button = create_button(
            "Folder of images…", "Annotate the images of a folder one by one", self._ask_folder
        )
        self.table = create_table(["image", "state", "unsure"], height=110)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(lambda row, _: self.go(self._images[row]))
        self.order = QComboBox()
        self.order.addItems([_BY_NAME, _BY_DOUBT])
        self.order.setToolTip("What the model is least sure of teaches it most")
        self.order.currentTextChanged.connect(self._sort)
        calm_wheel(self.order)
        self.model = FileEdit(name="model", mode="r", label="File", filter="*.safetensors")
        self.models = ModelList(self.model, lambda: runs_folder())
        self.model.changed.connect(self._hear_model)
        self._is_asking = False
        self.previous_button = create_button(
            "◀", "Previous image (Alt+Left)", lambda: self.step(-1)
        )
        self.next_button = create_button("▶", "Next image (Alt+Right)", lambda: self.step(1))
        self.done = QCheckBox("Done")
        self.done.setToolTip("Nothing is left to annotate on this image")
        self.done.clicked.connect(self._mark_done)
        self.train_button = create_button(
            "Train on all", "Open Train with all images that have strokes", self.train
        )
        for keys, by in (("Alt+Left", -1), ("Alt+Right", 1)):
            QShortcut(QKeySequence(keys), self).activated.connect(partial(self.step, by))
        self._inside = QWidget()
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.table)
        inside.addLayout(create_row(QLabel("Order"), self.order))
        inside.addWidget(self.models)
        inside.addLayout(
            create_row(self.previous_button, self.next_button, self.done, self.train_button)
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.close_button = create_button(
            "Close folder", "Save the strokes and close the image", self.close_folder
        )
        self.close_button.hide()
        layout.addLayout(create_row(self.open_button, self.close_button))
        layout.addWidget(self._inside)
        self._inside.hide()
        self.models.hide()

    def open(self, folder: Path) -> None:
        """Open a folder, and its first image that is not done."""
        with self._panel.complaining():
            if not self.save():
                return
            project = Project(folder)
            self._images = project.list_images()
            self._close_layers()
            self.project, self.image, self._labels = project, None, None
            self._show_inside(True)
            self._sort()
            notes = project.read_notes()
            states = [project.find_state(image, notes) for image in self._images]
            left = [i for i, state in zip(self._images, states, strict=True) if state != "done"]
            self.go((left or self._images)[0])
            if lost := project.list_lost():
                names = ", ".join(lost[:3]) + ", …" * (len(lost) > 3)
                self._panel.say(
                    f"{len(lost)} files in {LABELS} belong to images that were renamed or removed: "
                    f"{names}. They stay as they are."
                )

    def close_folder(self) -> None:
        """Save the strokes, and close the folder and its image."""
        if self.save():
            self._doubts.stop()
            self._close_layers()
            self.project = self.image = self._labels = None
            self._show_inside(False)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802  Qt's name
        """Save when another page is shown, or the window closes."""
        super().hideEvent(event)
        self.save()

    def take_restored(self, layers: Sequence[Labels]) -> Labels:
        """Merge strokes that a crash left into the labels of the open image; give what to draw on.

        Corrections of a prediction stay layers: `save` merges them. Later layers lie on top.
        """
        labels, name = self._labels, None if self.image is None else self.image.name
        own = [layer for layer in layers if layer.metadata.get(SOURCE) == name]
        if labels is None or not own:
            return layers[-1]
        strokes = [layer for layer in own if MODEL not in layer.metadata]
        labels.data = merge_strokes(labels, strokes)
        if self.save():
            for layer in strokes:
                self._panel.viewer.layers.remove(layer)
        self._fill()
        return labels

    def _show_inside(self, on: bool) -> None:
        self._inside.setVisible(on)
        self.close_button.setVisible(on)
        self.opened.emit(on)

    def go(self, image: Path) -> None:
        """Save the strokes of the open image, and open another one."""
        if self.project is None or image == self.image or not self.save():
            return
        with self._panel.complaining():
            pixels, axes = read_pixels(image)
            self._close_layers()
            self.image, path = image, self.project.find_labels(image)
            self._stamp = read_stamp(path)
            self._labels = add_layers(
                self._panel.viewer,
                image,
                pixels,
                axes=axes,
                path=path,
                classes=self._list_classes(),
            )
            self._show_labels(self._labels)
        self._fill()

    def step(self, by: int) -> None:
        """Open the next image in the order of the list, or the one before."""
        if self.image in self._images:
            row = self._images.index(self.image) + by
            if 0 <= row < len(self._images):
                self.go(self._images[row])

    def save(self) -> bool:
        """Save the strokes of the open image; False, and a message, if that failed."""
        labels, image, project = self._labels, self.image, self.project
        if project is None or image is None or labels is None:
            return True
        if labels not in self._panel.viewer.layers:  # closed by the user
            self._labels = self.image = None
            return True
        additions = list_additions(self._panel.viewer, labels, image.name)
        path = project.find_labels(image)
        try:
            pixels = merge_strokes(labels, additions)
            if not pixels.any() and not path.exists():
                return True
            self._require_unchanged(path)
            path.parent.mkdir(exist_ok=True)
            data, attributes, _ = labels.as_layer_data_tuple()
            write_labels(str(path), pixels if additions else data, attributes)
            tell_saved(data)  # also where it is saved with additions
            self._stamp = read_stamp(path)
            if any(MODEL in layer.metadata for layer in additions):
                project.note(image, corrected=True)
        except (DataError, WriteError, OSError) as error:
            self._panel.complain(str(error))
            return False
        return True

    def _require_unchanged(self, path: Path) -> None:
        """Refuse to replace labels that another window, or program, has written meanwhile."""
        if read_stamp(path) != self._stamp:
            raise WriteError(
                f"{path} was changed by another program since its image was opened here. Nothing "
                "was changed: save the layer under another name, then remove it."
            )

    def train(self) -> None:
        """Open Train with all annotated images of the folder."""
        with self._panel.complaining():
            if self.project is None or not self.save():
                return
            self._fill()
            if not any(self.project.find_labels(image).exists() for image in self._images):
                raise DataError("No image of the folder has strokes yet.")
            classes = {str(n): item.name for n, item in enumerate(self._list_classes(), start=1)}
            page: Any = self._panel.open_page("Train")
            page.data.choose_folder(
                self.project.folder, layout="pairs", images=".", masks=LABELS, sparse=True,
                classes=classes,
            )  # fmt: skip

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder of images"):
            self.open(Path(folder))

    def _close_layers(self) -> None:
        """Remove the layers of the open image."""
        if self.image is not None:
            close_layers(self._panel.viewer, self.image.name)

    def _mark_done(self, on: bool) -> None:
        with self._panel.complaining():
            if self.project is not None and self.image is not None and self.save():
                self.project.note(self.image, done=on)
        self._fill()

    def _fill(self) -> None:
        """Show names, states and values; the open image is selected."""
        if self.project is None:
            return
        notes, model = self.project.read_notes(), str(self.model.value)
        self.table.setRowCount(len(self._images))
        for row, image in enumerate(self._images):
            value = read_doubt(image, notes, model)
            state = self.project.find_state(image, notes)
            shown = "" if value is None else f"{value:.3f}"
            for column, text in enumerate((image.name, state, shown)):
                self.table.setItem(row, column, QTableWidgetItem(text))
            if image == self.image:
                self.table.selectRow(row)
                self.done.setChecked(state == "done")
        self.table.setColumnHidden(2, self.order.currentText() != _BY_DOUBT)

    def _sort(self, *_: object) -> None:
        """Put the images in order; values that are not known are asked of the model."""
        if self.project is None:
            return
        by_doubt = self.order.currentText() == _BY_DOUBT
        self.models.setVisible(by_doubt)
        self._images.sort()
        if by_doubt:
            self._ask_doubts()
            notes, model = self.project.read_notes(), str(self.model.value)
            self._images.sort(key=lambda image: -(read_doubt(image, notes, model) or 0.0))
        else:
            self._doubts.stop()
        self._fill()

    def _hear_model(self, *_: object) -> None:
        if not self._is_asking and self.order.currentText() == _BY_DOUBT:
            self._sort()

    def _ask_doubts(self) -> None:
        """Measure the images that were not measured with the chosen model."""
        assert self.project is not None  # noqa: S101  only called with one
        with self._panel.complaining():
            self._is_asking = True
            self.models.refresh()
            self._is_asking = False
            model = Path(self.model.value or "")
            if not model.is_file():
                raise DataError("There is no model yet: train one first.")
            read_card(model)
            notes = self.project.read_notes()
            asked = [i for i in self._images if read_doubt(i, notes, str(model)) is None]
            device = read_setting("general", "device", "auto")
            self._doubts.start(asked, model, PredictConfig.create(device=device))

    def _say_progress(self, number: int, total: int) -> None:
        self._panel.say(f"{_MEASURING} image {number} of {total}…")

    def _note_doubt(self, image: Path, value: float, model: Path) -> None:
        with self._panel.complaining():
            if self.project is not None and image.parent == self.project.folder:
                self.project.note(image, doubt=round(value, 4), model=str(model))
        self._fill()

    def _end_doubts(self, message: str) -> None:
        if self.project is not None and self.order.currentText() == _BY_DOUBT:
            notes, model = self.project.read_notes(), str(self.model.value)
            self._images.sort(key=lambda image: -(read_doubt(image, notes, model) or 0.0))
            self._fill()
        if message:
            self._panel.complain(message)
        elif self._panel.message.startswith(_MEASURING):
            self._panel.say("")
