"""The form of a training run: data, network, patches, settings, augmentation."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from pixelwise.config import (
    MOST_AUTO_BATCH,
    AugmentationConfig,
    DataConfig,
    PatchConfig,
    TrainConfig,
    TrainingConfig,
)
from pixelwise.errors import PixelwiseError
from pixelwise.widgets.data_picker import DataPicker
from pixelwise.widgets.effort import EFFORTS, OWN, TIP, Effort, has_gpu
from pixelwise.widgets.forms import Form, lay_out
from pixelwise.widgets.models import ModelPicker, NetworkCost
from pixelwise.widgets.panel import Fold, Panel, fill_column, read_setting, stack_widgets

_FIRST = ("epochs", "batch_size", "learning_rate", "device")


class TrainSettings(QWidget):
    """All fields of a `TrainConfig`, the usual ones open and the rest folded.

    Parameters
    ----------
    panel : Panel
        The widget that holds it.

    Attributes
    ----------
    changed : Signal
        A field was changed.
    effort : magicgui ComboBox
        quick, balanced or thorough fill the other fields.
    data : DataPicker
    model : ModelPicker
    cost : NetworkCost
    patches, training, more, augmentation : Form
        `more` holds the folded fields of `TrainingConfig`.
    """

    changed = Signal()

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._is_applying = False
        self.data, self.model = DataPicker(panel, split=True), ModelPicker()
        self.cost = NetworkCost(self.model, panel)
        self.patches = Form(PatchConfig)
        self.training = Form(TrainingConfig, _FIRST)
        self.more = Form(
            TrainingConfig, [f for f in TrainingConfig.model_fields if f not in _FIRST]
        )
        self.augmentation = Form(AugmentationConfig)
        self.training.fill({"device": read_setting("general", "device", "auto")})
        self.effort = ComboBox(
            name="effort", label="Effort", choices=[*EFFORTS, OWN], value=OWN, tooltip=TIP
        )
        column = fill_column(self)
        for title, part, is_open in (
            ("Data", self.data, True),
            ("Network", stack_widgets(self.model, self.cost), False),
            ("Training", self.training.native, True),
            ("Patches", self.patches.native, False),
            ("More settings", self.more.native, False),
            ("Augmentation", self.augmentation.native, False),
        ):
            column.addWidget(Fold(title, part, is_open=is_open))
        column.insertWidget(1, lay_out([self.effort])[1])
        self._forms = (self.patches, self.training, self.more, self.augmentation)
        for changed in (self.model.changed, *(form.container.changed for form in self._forms)):
            changed.connect(self._hear_change)
        self.data.changed.connect(self._count)
        self.patches.container.changed.connect(self._count)
        self.training["batch_size"].changed.connect(self._count)
        self.data.changed.connect(self._apply_effort)
        self.data.changed.connect(self.changed)
        self.effort.changed.connect(self._apply_effort)
        self.effort.value = "balanced" if has_gpu() else "quick"

    def create(self, data: DataConfig, run: Path) -> TrainConfig:
        """Create the config that the controls show.

        Raises
        ------
        ConfigError
            A value is wrong.
        """
        return TrainConfig.create(
            data=data,
            run=run,
            patches=self.patches.create(),
            model=self.model.create(),
            augmentation=self.augmentation.create(),
            training=TrainingConfig.create(**self.training.values | self.more.values),
        )

    def fill(self, config: TrainConfig) -> None:
        """Show a config in the controls."""
        self.data.choose_folder(**config.data.model_dump(mode="json", exclude_none=True))
        self.patches.fill(config.patches)
        self.model.fill(config.model)
        self.augmentation.fill(config.augmentation)
        self.training.fill(config.training)
        self.more.fill(config.training)

    def _hear_change(self, *_: object) -> None:
        """Take note of a field that was changed by hand."""
        if not self._is_applying:
            effort = EFFORTS.get(self.effort.value)
            if effort is not None and not self._shows(effort):
                self.effort.value = OWN
        self.changed.emit()

    def _apply_effort(self, *_: object) -> None:
        """Fill in the fields of the chosen effort, for the images that are chosen."""
        effort = EFFORTS.get(self.effort.value)
        if effort is None or self._is_applying or self._shows(effort):
            return
        self._is_applying = True
        fields = self._find_fields(effort)
        self.model.fill(effort.model)
        for form in self._forms:
            form.fill(fields)
        self._is_applying = False
        self.changed.emit()

    def _find_fields(self, effort: Effort) -> dict[str, Any]:
        pixels, side = self.data.measure_images() or (None, None)
        batch = self.training["batch_size"].value
        size = int(batch) if str(batch).isdigit() else MOST_AUTO_BATCH
        return effort.fields(pixels, batch_size=size or 1, side=side)

    def _shows(self, effort: Effort) -> bool:
        """Whether the fields are those of an effort."""
        shown = {name: value for form in self._forms for name, value in form.values.items()}
        fields = {name: str(value) for name, value in self._find_fields(effort).items()}
        same = all(str(shown.get(name)) == value for name, value in fields.items())
        with suppress(PixelwiseError):  # half typed
            return same and self.model.create() == effort.model
        return False

    def _count(self, *_: object) -> None:
        """Update the sizes that the cost of the network is computed for."""
        with suppress(PixelwiseError):  # half typed; Start reports what is wrong
            asked = TrainingConfig.create(**self.training.values).batch_size
            self.cost.describe_soon(
                size=self.patches.create().size_px,
                batch_size=MOST_AUTO_BATCH if asked == "auto" else asked,
                in_channels=self.data.count_channels() or 3,
            )
