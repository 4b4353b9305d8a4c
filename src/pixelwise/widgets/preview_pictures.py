"""Previews of a training run as pictures: the fixed validation images, with a slider of epochs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QSlider, QWidget

from pixelwise.errors import PixelwiseError
from pixelwise.images import open_image
from pixelwise.runs import RunFolder
from pixelwise.widgets.label_comparison import create_legend
from pixelwise.widgets.panel import create_button, create_row, create_text, fill_column
from pixelwise.widgets.preview_layers import PreviewLayers
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari

PARTS: Final = ("input", "truth", "prediction", "errors")
_NOTHING: Final = "There are no previews yet: they come with the first epoch."
_TITLE_PX: Final = 18


@dataclass(frozen=True)
class PreviewPicture:
    """A picture of one epoch: a row for each image, with its parts side by side.

    Attributes
    ----------
    pixels : QImage
    rows, parts : int
        Number of images; 4 parts, or 3 in runs of older versions, which have no errors.
    """

    pixels: QImage
    rows: int
    parts: int

    def place(self, row: int, part: int) -> QRectF:
        """Find where a part of an image is in the picture."""
        width, height = self.pixels.width() / self.parts, self.pixels.height() / self.rows
        return QRectF(part * width, row * height, width, height)


class PreviewPictures(QWidget):
    """The previews of a run: a picture as high as the dock, and a slider over its epochs.

    Attributes
    ----------
    view : PictureView
    slider : QSlider
        Its position is that of `epochs`; it follows the newest unless the user has moved it.
    epochs : list of Path
        The pictures of the run.
    layers_button : QPushButton
        Shows the newest previews as layers, too.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.epochs: list[Path] = []
        self.run: RunFolder | None = None
        self._layers = PreviewLayers(viewer, self)
        self._listing = self._again = False
        self._pictures = 0  # that are being read
        self.view = PictureView()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._choose)
        self.caption, self._legend = create_text(_NOTHING), create_legend()
        self.layers_button = create_button(
            "As layers",
            "Show them as layers, too, new ones with every epoch",
            self._toggle,
        )
        self.layers_button.setCheckable(True)
        row = create_row(self.caption, self.slider, self.layers_button)
        row.setStretch(1, 1)
        self.caption.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        fill_column(self, self.view, self._legend, row).setStretch(0, 1)
        self._show_state()

    @property
    def is_done(self) -> bool:
        """Whether all requested pictures and layers are shown."""
        return not self._listing and not self._pictures and self._layers.is_done

    def begin(self, run: RunFolder) -> None:
        """Show the previews of another run."""
        self.run, self.epochs = run, []
        self.view.show_picture(None)
        if self.layers_button.isChecked():
            self._layers.begin(run)
        else:
            self._layers.leave()
        self._show_state()
        self.refresh()

    def refresh(self) -> None:
        """Look for new previews, in a thread."""
        if self.run is None:
            return
        if self.layers_button.isChecked():
            self._layers.show(self.run)
        self._again = self._listing
        if not self._listing:
            self._listing = True
            run = self.run
            run_in_thread(
                lambda: sorted(run.previews.glob("epoch-*.png")),
                self,
                then=partial(self._list, run),
                failed=lambda _: self._list(run, []),
            )

    def end(self) -> None:
        """Remove layers that never showed a preview: the run has ended."""
        self._layers.remove(only_empty=True)

    def _list(self, run: RunFolder, epochs: list[Path]) -> None:
        """Show the newest epoch, unless the user looks at an older one."""
        self._listing = False
        if run == self.run and epochs != self.epochs:
            follows = self.slider.value() >= len(self.epochs) - 1
            self.epochs = epochs
            self.slider.blockSignals(True)
            self.slider.setRange(0, max(len(epochs) - 1, 0))
            if follows:
                self.slider.setValue(len(epochs) - 1)
            self.slider.blockSignals(False)
            self._choose()
        if self._again:
            self.refresh()

    def _choose(self, *_: object) -> None:
        """Show the epoch of the slider."""
        self._show_state()
        if not self.epochs or self.run is None:
            return
        path, folder = self.epochs[self.slider.value()], self.run.previews
        self._pictures += 1
        run_in_thread(
            partial(_read, path, folder),
            self,
            then=partial(self._show, path),
            failed=lambda _: self._show(path, None),
        )

    def _show(self, path: Path, picture: PreviewPicture | None) -> None:
        self._pictures -= 1
        if self.epochs and path == self.epochs[self.slider.value()]:
            self.view.show_picture(picture)

    def _toggle(self) -> None:
        """Show the previews as layers, or remove them."""
        if self.run is None or not self.layers_button.isChecked():
            self._layers.remove()
        else:
            self._layers.begin(self.run)
            self._layers.show(self.run)

    def _show_state(self) -> None:
        there = bool(self.epochs)
        self.caption.setWordWrap(not there)  # the number of an epoch stands beside the slider
        if there:
            number = self.epochs[self.slider.value()].stem.removeprefix("epoch-")
            self.caption.setText(f"epoch {int(number)}")
        else:
            self.caption.setText(_NOTHING)
        self.slider.setVisible(there)
        self._legend.setVisible(there)
        self.layers_button.setVisible(there)


class PictureView(QWidget):
    """Draws a picture as large as it fits; a click on an image shows it alone, another all of them.

    Attributes
    ----------
    picture : PreviewPicture or None
    row : int or None
        The image that is shown alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture: PreviewPicture | None = None
        self.row: int | None = None
        self.setMinimumHeight(120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Click on an image to enlarge it; click again to see all")

    def show_picture(self, picture: PreviewPicture | None) -> None:
        """Show another picture, or none."""
        self.picture = picture
        if picture is None or self.row is None or self.row >= picture.rows:
            self.row = None
        self.update()

    def list_places(self) -> list[tuple[QRectF, int, int]]:
        """Where each part of each image is drawn: the place, its row and its part."""
        picture = self.picture
        if picture is None:
            return []
        rows = range(picture.rows) if self.row is None else [self.row]
        across = picture.parts if self.row is None else 2
        parts = [(row, part) for row in rows for part in range(picture.parts)]
        down = -(-len(parts) // across)
        one = picture.place(0, 0)
        titles = _TITLE_PX * (1 if self.row is None else down)
        scale = min(
            self.width() / (one.width() * across),
            max(self.height() - titles, 1) / (one.height() * down),
        )
        width, height = one.width() * scale, one.height() * scale
        left, places = (self.width() - across * width) / 2, []
        for number, (row, part) in enumerate(parts):
            line, column = divmod(number, across)
            top = _TITLE_PX * (1 if self.row is None else line + 1) + line * height
            places.append((QRectF(left + column * width, top, width - 2, height - 2), row, part))
        return places

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802  Qt's name
        """Enlarge the image under the mouse, or show all again."""
        where = event.position() if hasattr(event, "position") else QPointF(event.pos())
        hit = [row for place, row, _ in self.list_places() if place.contains(where)]
        self.row = hit[0] if hit and self.row is None else None
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802  Qt's name
        """Draw the parts, and their names above."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().color(self.foregroundRole()))
        places = self.list_places()
        for number, (place, row, part) in enumerate(places):
            assert self.picture is not None  # noqa: S101  else there are no places
            painter.drawImage(place, self.picture.pixels, self.picture.place(row, part))
            if self.row is not None or number < self.picture.parts:
                title = QRectF(place.x(), place.y() - _TITLE_PX, place.width(), _TITLE_PX)
                painter.drawText(title, Qt.AlignmentFlag.AlignCenter, PARTS[part])
        painter.end()


def _read(path: Path, folder: Path) -> PreviewPicture | None:
    """Read a picture, and how many images are in it; None if it is gone or damaged."""
    pixels = QImage(str(path))
    rows = len(list(folder.glob("image-*.tif")))
    if pixels.isNull() or not rows:
        return None
    try:
        width = open_image(folder / "image-0.tif").shape[-1]
    except (PixelwiseError, OSError):
        return None
    return PreviewPicture(pixels, rows, max(round(pixels.width() / width), 1))
