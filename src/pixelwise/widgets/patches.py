"""The widget Patches: images and masks cut into a folder of patches."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import FileEdit
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QProgressBar

from pixelwise.atomic import remove_temps
from pixelwise.config import DataConfig, PatchConfig
from pixelwise.errors import ConfigError, PixelwiseError
from pixelwise.jobs import PatchesJob
from pixelwise.patches import iter_windows
from pixelwise.widgets.data_picker import DataPicker
from pixelwise.widgets.forms import Form, lay_out
from pixelwise.widgets.jobs import JobProcess, ProcessEnd
from pixelwise.widgets.layers import image_shape, read_axes
from pixelwise.widgets.panel import Panel, create_button, create_row, create_text, remove_folders

if TYPE_CHECKING:
    import napari

GRID = "patch grid"
_MOST_LINES = 5000
_GRID_MS = 300
_MOST_PROBLEMS = 8


class PatchesWidget(Panel):
    """Cut open layers or a folder into patches.

    Attributes
    ----------
    data : DataPicker
    windows : Form of PatchConfig
        size, step, edge, min_foreground.
    out : FileEdit
        New folder to write.
    result : Path or None
        The last folder that was written.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.data = DataPicker(self)
        self.windows = Form(PatchConfig)
        self.out = FileEdit(
            name="out", mode="d", label="Write to", tooltip="New folder for the patches"
        )
        self.result: Path | None = None
        self._job: JobProcess | None = None
        self._temps: list[Path] = []  # folders of saved layers
        self._writes = False
        self._target: Path | None = None
        self._busy = False
        self._build()
        self.destroyed.connect(partial(remove_folders, self._temps))

    def _build(self) -> None:
        self.summary = create_text()
        self.grid = QCheckBox("Show the grid on the image")
        self.grid.setToolTip("Draws every patch as a rectangle on the first image")
        self.grid.toggled.connect(self.show_grid)
        self._later = QTimer(self)  # no new grid on every keystroke
        self._later.setSingleShot(True)
        self._later.setInterval(_GRID_MS)
        self._later.timeout.connect(self.show_grid)
        self.windows.container.changed.connect(lambda *_: self._later.start())
        self.data.changed.connect(lambda *_: self._later.start())
        self.count_button = create_button(
            "Count", "Count patches and class shares, list problems of the data", self.count
        )
        self.write_button = create_button("Write", "Write the patches into the folder", self.write)
        self.stop_button = create_button("Stop", "Stop, and leave nothing behind", self.stop)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.column.addWidget(self.data)
        self.column.addWidget(self.windows.native)
        self.column.addWidget(lay_out([self.out])[1])
        self.column.addWidget(self.grid)
        self.column.addWidget(self.summary)
        self.column.addStretch()
        self.pin(create_row(self.count_button, self.write_button, self.stop_button), self.progress)
        for changed in (self.windows.container.changed, self.data.changed, self.out.changed):
            changed.connect(self.forgive)
        self._set_busy(False)

    @property
    def is_running(self) -> bool:
        """Whether patches are being counted or written."""
        return self._busy

    def count(self) -> None:
        """Count patches and class shares without writing."""
        self._start(writes=False)

    def write(self) -> None:
        """Write the patches, and open them as a stack."""
        self._start(writes=True)

    def stop(self) -> None:
        """Stop; nothing is left under the final name."""
        if self._job is not None:
            self._job.stop()

    def show_grid(self, *_: object) -> None:
        """Draw the patches on the first image, or remove them."""
        if GRID in self.viewer.layers and not self.grid.isChecked():
            self.viewer.layers.remove(GRID)
        pairs = self.data.pairs if self.data.uses_layers else []
        if not self.grid.isChecked() or not pairs:
            return
        image = pairs[0][0]
        try:
            axes = read_axes(image, self.data.axes.text()).names
            height, width = image_shape(image, axes)[-2:]
            found = iter_windows((height, width), self.windows.create())
            windows = list(islice(found, _MOST_LINES))
        except PixelwiseError as error:
            self.say(str(error))
            return
        more = next(found, None) is not None
        self.say(f"The grid shows the first {_MOST_LINES} patches." if more else "")
        corners = np.array([[(w.y, w.x), (w.y + w.height, w.x + w.width)] for w in windows])
        if GRID in self.viewer.layers:
            self.viewer.layers.remove(GRID)
        axes = axes.replace("C", "")
        selected = set(self.viewer.layers.selection)
        self.viewer.add_shapes(
            list(corners - 0.5),
            shape_type="rectangle",
            edge_color="#e69f00",
            edge_width=max(1, min(height, width) / 400),
            face_color="transparent",
            scale=np.asarray(image.scale)[-2:] if axes.endswith("YX") else None,
            translate=np.asarray(image.translate)[-2:] if axes.endswith("YX") else None,
            name=GRID,
        )
        if selected := {layer for layer in selected if layer in self.viewer.layers}:
            self.viewer.layers.selection = selected
        self._later.stop()  # the grid's own layer started it

    def _start(self, *, writes: bool) -> None:
        """Save layers if necessary, then start the child."""
        if self._busy:
            self.complain("Patches are being cut: wait for them, or stop.")
            return
        self.say("")
        self._writes = writes
        temp = Path(tempfile.mkdtemp(prefix="pixelwise-patches-"))
        self._temps.append(temp)
        try:
            self.windows.create()
            if writes:
                self._require_out()
            self._set_busy(True)
            self.data.prepare(
                temp,
                then=self._run,
                failed=self._fail,
                abandoned=partial(shutil.rmtree, temp, ignore_errors=True),
            )
        except (PixelwiseError, OSError) as error:
            self._fail(error)

    def _require_out(self) -> Path:
        text = str(self.out.value)
        if text in ("", "."):
            raise ConfigError("Choose a new folder to write the patches to.")
        return Path(text)

    def _run(self, data: DataConfig) -> None:
        """Start the child on a data set."""
        try:
            self._start_child(data)
        except (PixelwiseError, OSError) as error:
            self._fail(error)

    def _start_child(self, data: DataConfig) -> None:
        self._target = self._require_out() if self._writes else None
        job = PatchesJob(data=data, windows=self.windows.create(), out=self._target)
        self._job = JobProcess(job, self)
        self._job.ended.connect(self._show)

    def _fail(self, error: Exception) -> None:
        self.complain(str(error))
        self._clean()

    def _show(self, end: ProcessEnd) -> None:
        """Show what was counted or written."""
        output = "" if self._job is None else self._job.output
        self._clean()
        if self._target is not None and not end.ok:
            remove_temps(self._target)
        if end.stopped:
            self.say("Stopped.")
            return
        if not end.ok:
            self.complain(_list_problems(output, fatal=True) or end.message, log=end.log)
            return
        found = json.loads(output)
        shares = ", ".join(f"{name} {share:.1%}" for name, share in found["class_shares"].items())
        skipped = f", {found['skipped']} with too little foreground" if found["skipped"] else ""
        text = f"{found['patches']} patches from {len(found['sources'])} images{skipped}\n{shares}"
        text += f"\n{notes}" if (notes := _list_problems(output, fatal=False)) else ""
        self.summary.setText(text)
        if self._writes:
            self.result = Path(found["path"])
            self.announce(f"{found['patches']} patches are in {self.result}.")
            self.viewer.open(str(self.result), plugin="napari-pixelwise")

    def _clean(self) -> None:
        """Forget the job and remove the layers saved for it."""
        self._job = None
        remove_folders(self._temps)
        self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.progress.setVisible(busy)
        self.stop_button.setEnabled(busy)
        self.count_button.setEnabled(not busy)
        self.write_button.setEnabled(not busy)


def _list_problems(output: str, *, fatal: bool) -> str:
    """Problems of the data that a dry run found, one line each; empty for other output."""
    try:
        problems = json.loads(output).get("problems", [])
    except ValueError:
        return ""
    lines = [problem["message"] for problem in problems if problem["fatal"] == fatal]
    more = [f"and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    return "\n".join([*lines[:_MOST_PROBLEMS], *more])
