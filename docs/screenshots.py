"""Take a picture of every widget at work on real data.

    xvfb-run -s "-screen 0 2560x1440x24" python docs/screenshots.py docs/images
    xvfb-run -s "-screen 0 2560x1440x24" python docs/screenshots.py docs/images --all pictures

Trains for a few epochs on the shipped nuclei; some minutes on two cores. The pictures of the docs
have 1366 x 768 pixels and the dark theme. With --all, each page is also taken in both themes at
1366 x 768 and 2560 x 1440, into another folder, to be looked at: ``train-light-2560.png``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from pixelwise.images import read_image
from pixelwise.samples import samples_path
from pixelwise.widgets.jobs import wait_until

PAGES = ("Annotate", "Train", "Predict", "Evaluate")
CLASSES = {"0": "background", "255": "nucleus"}
EPOCHS = 30
SIZES = ((1366, 768), (2560, 1440))  # a small laptop, where everything must fit; a large screen
THEMES = ("dark", "light")


class Camera:
    """A napari window, and pictures of it."""

    def __init__(self, folder: Path, every: Path | None = None) -> None:
        self.folder, self.every = folder, every
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self._show(*SIZES[0], "dark")

    def open(self, name: str) -> Any:
        """Open a widget alone, or a page of Segment."""
        self.viewer.window.remove_dock_widget("all")
        menu = "Segment" if name in PAGES else name
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-pixelwise", menu)
        return widget.open_page(name) if name in PAGES else widget

    def take(self, name: str) -> None:
        """Write a picture for the docs, and one of each size and theme if they are wanted."""
        self._grab(self.folder / f"{name}.png")
        if self.every is None:
            return
        for theme in THEMES:
            for width, height in SIZES:
                self._show(width, height, theme)
                self._grab(self.every / f"{name}-{theme}-{width}.png")
        self._show(*SIZES[0], "dark")

    def _show(self, width: int, height: int, theme: str) -> None:
        """Set the size and the theme of the window."""
        self.viewer.theme = theme
        self.window.resize(width, height)

    def _grab(self, path: Path) -> None:
        """Write a picture, with what notifications there are out of sight."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for note in self.window.findChildren(NapariQtNotification):
            note.hide()
        for _ in range(20):
            QApplication.processEvents()
            time.sleep(0.02)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.window.grab().save(str(path))
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main(folder: Path, every: Path | None = None) -> None:
    """Open each widget, let it work, and take its picture."""
    camera = Camera(folder, every)
    with tempfile.TemporaryDirectory() as work:
        camera.viewer.open_sample("napari-pixelwise", "nuclei")
        camera.viewer.reset_view()
        take_patches(camera, Path(work))
        take_annotate(camera)
        take_models(camera)
        model = take_train(camera, Path(work))
        take_predict(camera, model)
        take_evaluate(camera)
        camera.viewer.close()


def take_patches(camera: Camera, work: Path) -> None:
    """Count patches, with the grid on the image."""
    widget = camera.open("Patches")
    widget.windows.fill({"size": 128, "step": 96})
    widget.out.value = work / "patches"
    widget.grid.setChecked(True)
    widget.count()
    widget.wait()
    camera.take("patches")
    widget.grid.setChecked(False)


def take_annotate(camera: Camera) -> None:
    """Draw a few strokes of sparse annotation."""
    widget = camera.open("Annotate")
    widget.add_class()
    widget.table.item(1, 0).setText("nucleus")
    widget.table.item(2, 0).setText("debris")
    widget.sparse.setChecked(True)
    layer = widget.create()
    truth = camera.viewer.layers[1].data
    for layer_ in camera.viewer.layers:
        layer_.visible = layer_ in (layer, camera.viewer.layers[0])
    layer.data[120:126, 20:300] = truth[120:126, 20:300] + 1
    layer.data[40:46, 20:300] = truth[40:46, 20:300] + 1
    layer.refresh()
    camera.take("annotate")
    camera.viewer.layers.remove(layer)


def take_models(camera: Camera) -> None:
    """Describe a network."""
    widget = camera.open("Models")
    widget.picker.name.value = "unetplusplus"
    widget.picker.encoder.native.setCurrentText("resnet18")
    widget.cost.describe()
    widget.cost.wait()
    camera.take("models")


def take_train(camera: Camera, work: Path) -> Path:
    """Train on the samples; the picture is taken while it runs."""
    widget = camera.open("Train")
    widget.data.choose_folder(samples_path(), classes=CLASSES)
    widget.place["folder"].value, widget.place["name"].value = work, "nuclei"
    widget.patches["size"].value = "128"
    widget.training.fill({"epochs": EPOCHS})
    widget.more.fill({"monitor": "last"})
    widget.model.options.fill({"base_channels": 12, "up": "transposed"})
    widget.start()
    path = str(work / "nuclei")
    wait_until(lambda: path in widget.plot.runs, 60)
    wait_until(lambda: widget.plot.runs[path]["validation"].count >= EPOCHS - 3, 600)
    camera.viewer.reset_view()
    camera.take("train")
    widget.wait()
    wait_until(lambda: widget.previews.is_done, 60)
    widget.tabs.setCurrentWidget(widget.previews)
    camera.take("previews")
    model: Path = widget.run.model
    return model


def take_predict(camera: Camera, model: Path) -> None:
    """Predict an image that was not trained on."""
    camera.viewer.layers.clear()
    test = samples_path() / "test"
    name = sorted(path.name for path in (test / "images").iterdir())[1]
    camera.viewer.add_image(read_image(test / "images" / name)[0], name="nuclei", rgb=True)
    widget = camera.open("Predict")
    widget.model.value = model
    widget.choose("nuclei")
    widget.predict()
    widget.wait()
    camera.take("predict")
    mask = (read_image(test / "masks" / name)[0] > 0).astype("uint8")
    camera.viewer.add_labels(mask, name="truth", visible=False)


def take_evaluate(camera: Camera) -> None:
    """Score the labels, with a map of the errors."""
    widget = camera.open("Evaluate")
    widget.layers["prediction"].value = "nuclei prediction"
    widget.layers["truth"].value = "truth"
    widget.evaluate()
    widget.wait()
    camera.viewer.layers["nuclei prediction"].visible = False
    camera.take("evaluate")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", type=Path, default=None, dest="every")
    given = parser.parse_args()
    main(given.folder, given.every)
