"""Take a picture of every widget at work on real data.

    xvfb-run -s "-screen 0 1600x1200x24" python docs/screenshots.py docs/images

Trains for a few epochs on the shipped nuclei; about two minutes on two cores.
"""

from __future__ import annotations

import sys
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


class Camera:
    """A napari window, and pictures of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(1366, 768)  # a small laptop: everything must fit

    def open(self, name: str) -> Any:
        """Open a widget alone, or a page of Segment."""
        self.viewer.window.remove_dock_widget("all")
        menu = "Segment" if name in PAGES else name
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-pixelwise", menu)
        return widget.open_page(name) if name in PAGES else widget

    def take(self, name: str) -> None:
        """Write a picture, with what notifications there are out of sight."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for note in self.window.findChildren(NapariQtNotification):
            note.hide()
        for _ in range(20):
            QApplication.processEvents()
            time.sleep(0.02)
        path = self.folder / f"{name}.png"
        self.window.grab().save(str(path))
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main(folder: Path) -> None:
    """Open each widget, let it work, and take its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder)
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
    model: Path = widget.run.model
    for layer in [x for x in camera.viewer.layers if x.name.startswith("preview")]:
        camera.viewer.layers.remove(layer)
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
    main(Path(sys.argv[1]))
