"""Choice of a network and its cost: the widget Models, and a part of Train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QDialog, QVBoxLayout, QWidget

from pixelwise.architectures import find_architecture, list_architectures
from pixelwise.config import ModelConfig
from pixelwise.events import Event, JobEnded, NetworkDescribed
from pixelwise.jobs import DescribeJob
from pixelwise.widgets.architecture_diagram import DiagramView
from pixelwise.widgets.forms import Form, OptionForm, lay_out
from pixelwise.widgets.jobs import get_server, wait_until
from pixelwise.widgets.panel import (
    Fold,
    Panel,
    create_button,
    create_row,
    create_table,
    create_text,
    fill_column,
    fill_table,
)
from pixelwise.widgets.wheel import calm_wheel

if TYPE_CHECKING:
    import napari

OWN = "none"
_DELAY_MS = 400


class ModelPicker(QWidget):
    """Architecture, encoder, initial weights and options of a network.

    Attributes
    ----------
    changed : Signal
        A field or choice has changed.
    name, encoder : magicgui ComboBox
        Names from the registry; an encoder's name can also be typed.
    start : Form of ModelConfig
        pretrained, weights, start_from, freeze_encoder.
    options : OptionForm
        Of the chosen architecture.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        titles = [(item.title, item.name) for item in list_architectures()]
        self.name = ComboBox(choices=titles, label="Network", tooltip="Architecture")
        self.encoder = ComboBox(
            choices=[OWN],
            label="Encoder",
            tooltip="Any encoder of segmentation-models-pytorch, or of timm as tu-NAME",
        )
        self.encoder.native.setEditable(True)
        self.start = Form(ModelConfig, ["pretrained", "weights", "start_from", "freeze_encoder"])
        self.options = OptionForm(find_architecture("unet"))
        self.sentence, self.diagram = create_text(), DiagramView()
        self._options_inside = QWidget()
        self._options_column = fill_column(self._options_inside)
        head = lay_out([self.name, self.encoder])[1]
        options = Fold("Network options", self._options_inside)
        weights = Fold("Initial weights", self.start.native)
        fill_column(self, head, self.sentence, self.diagram, options, weights)
        self.name.changed.connect(self._show_architecture)
        self.encoder.native.currentTextChanged.connect(lambda *_: self.changed.emit())
        self.start.container.changed.connect(lambda *_: self.changed.emit())
        self._show_architecture(self.name.value)

    @property
    def values(self) -> dict[str, Any]:
        """Fields of `ModelConfig`."""
        encoder = self.encoder.native.currentText().strip()
        chosen = {} if encoder in ("", OWN) else {"encoder": encoder}
        return {
            "name": self.name.value,
            "options": self.options.values,
            **chosen,
            **self.start.values,
        }

    def create(self) -> ModelConfig:
        """Create the config.

        Raises
        ------
        ConfigError
            A value is wrong.
        """
        return ModelConfig.create(**self.values)

    def fill(self, config: ModelConfig) -> None:
        """Show a config."""
        self.name.value = config.name
        self.encoder.native.setCurrentText(config.encoder or self.encoder.choices[0])
        self.start.fill(config)
        usual = {option.name: option.default for option in self.options.architecture.options}
        self.options.fill(usual | config.options)

    def _show_architecture(self, name: str) -> None:
        architecture = find_architecture(name)
        self.sentence.setText(f"{architecture.sentence}\n{architecture.source}")
        self.diagram.show_architecture(name)
        own = [OWN] if architecture.default_encoder is None else []
        self.encoder.choices = [*own, *architecture.encoders] or [OWN]
        self.encoder.native.setCurrentText(architecture.default_encoder or OWN)
        self.encoder.enabled = architecture.takes_encoder
        self.options.native.setParent(None)
        self.options = OptionForm(architecture)
        self.options.container.changed.connect(lambda *_: self.changed.emit())
        self._options_column.addWidget(self.options.native)
        calm_wheel(self.options.native)
        self.changed.emit()


class NetworkCost(QWidget):
    """Parameters, memory and receptive field of a chosen network, measured by the warm child.

    Attributes
    ----------
    summary : dict
        Output of ``pixelwise info --model … --json``; empty until it arrives.
    """

    def __init__(self, picker: ModelPicker, panel: Panel) -> None:
        super().__init__()
        self.summary: dict[str, Any] = {}
        self.sizes: dict[str, Any] = {}
        self._picker, self._panel, self._number = picker, panel, -1
        self._pending: dict[str, Any] = {}
        self.text = create_text("Describe shows parameters, memory and receptive field.")
        self.layers_button = create_button("Layers…", "List every layer", self.show_layers)
        self.layers_button.setEnabled(False)
        self.button = create_button("Describe", "Build the network and measure it", self.describe)
        fill_column(self, self.text, create_row(self.button, self.layers_button))
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(self.describe)
        picker.changed.connect(self._forget)
        get_server().reported.connect(self._hear)

    def describe(self) -> None:
        """Ask the warm child; `summary` is filled when it answers."""
        with self._panel.complaining():
            server = get_server()
            request = DescribeJob.create(
                number=server.next_number(), model=self._picker.create(), **self.sizes
            )
            self._number, self.summary = request.number, {}
            self.text.setText("Building the network…")
            self.button.setEnabled(False)
            server.submit(request)

    def wait(self, seconds: float = 120.0) -> None:
        """Run Qt's event loop until the description has arrived or failed."""
        wait_until(lambda: self._number < 0, seconds)

    def describe_soon(
        self, *, in_channels: int, size: tuple[int, int], batch_size: int, classes: int = 2
    ) -> None:
        """Describe again with these sizes, if it was described before."""
        self.sizes = {"in_channels": in_channels, "classes": classes}
        self.sizes |= {"size": size, "batch_size": batch_size}
        self._forget()

    def _forget(self) -> None:
        """Describe again after a change, if it was described before."""
        if self.summary or self._number >= 0:
            self._delay.start(_DELAY_MS)

    def _hear(self, event: Event) -> None:
        """Handle the events of the last request."""
        if self._number < 0:
            return
        if isinstance(event, NetworkDescribed):
            self._pending = event.summary
        elif isinstance(event, JobEnded) and event.number == self._number:
            self._number = -1
            self.button.setEnabled(True)
            self.layers_button.setEnabled(event.status == "done")
            if event.status == "done":
                self.summary = self._pending
                self.text.setText(describe_summary(self.summary))
            else:
                self.text.setText("")
                self._panel.complain(event.message, log=get_server().log)

    def show_layers(self) -> None:
        """Show every layer in a separate window."""
        create_layer_table(self.summary, self).show()


def describe_summary(summary: dict[str, Any]) -> str:
    """Describe the cost and the receptive field of a network."""
    reach = summary["receptive_field_px"]
    height, width = summary["input_size"]
    channels = summary["in_channels"]
    return (
        f"{summary['parameters']:,} parameters, {summary['multiply_adds'] / 1e9:.1f} G "
        f"multiply-adds for a patch of {height} x {width} px, {channels} channels\n"
        f"{summary['activation_bytes'] / 2**20:,.0f} MiB of activations for a training step with "
        f"{summary['batch_size']} patches\n"
        f"receptive field {'the whole image' if reach is None else f'{reach} x {reach} px'}"
    )


def create_layer_table(summary: dict[str, Any], parent: QWidget) -> QDialog:
    """Table of a network's layers."""
    dialog = QDialog(parent)
    dialog.setWindowTitle("Layers")
    dialog.resize(560, 640)
    table = create_table(["layer", "type", "output (C, Y, X)", "parameters"], height=140)
    table.verticalHeader().show()
    rows = []
    for layer in summary["layers"]:
        shape = " x ".join(map(str, layer["output_shape"]))
        rows.append((layer["name"], layer["kind"], shape, f"{layer['parameters']:,}"))
    fill_table(table, rows)
    QVBoxLayout(dialog).addWidget(table)
    return dialog


class ModelsWidget(Panel):
    """Browse the networks: what each one is and what it costs.

    Attributes
    ----------
    picker : ModelPicker
    cost : NetworkCost
    sizes : magicgui Container
        channels, classes, patch and batch_size that the cost is computed for.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.picker = ModelPicker()
        self.cost = NetworkCost(self.picker, self)
        self.sizes, sizes = lay_out(
            [
                SpinBox(name="channels", value=3, min=1, max=1000, label="Channels"),
                SpinBox(name="classes", value=2, min=2, max=255, label="Classes"),
                SpinBox(name="patch", value=256, min=32, max=4096, label="Patch (px)"),
                SpinBox(name="batch_size", value=8, min=1, max=4096, label="Patches per step"),
            ]
        )
        self.sizes.changed.connect(self._count)
        for widget in (self.picker, sizes, self.cost):
            self.column.addWidget(widget)
        self.column.addStretch()
        self._count()

    def _count(self, *_: object) -> None:
        self.cost.describe_soon(
            in_channels=self.sizes.channels.value,
            classes=self.sizes.classes.value,
            size=(self.sizes.patch.value,) * 2,
            batch_size=self.sizes.batch_size.value,
        )
