"""The form of a training run: data, network, patches, settings, augmentation."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

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
from pixelwise.widgets.forms import Form
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
    data : DataPicker
    model : ModelPicker
    cost : NetworkCost
    patches, training, more, augmentation : Form
        `more` holds the folded fields of `TrainingConfig`.
    """

    changed = Signal()

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self.data, self.model = DataPicker(panel, split=True), ModelPicker()
        self.cost = NetworkCost(self.model, panel)
        self.patches = Form(PatchConfig)
        self.training = Form(TrainingConfig, _FIRST)
        self.more = Form(
            TrainingConfig, [f for f in TrainingConfig.model_fields if f not in _FIRST]
        )
        self.augmentation = Form(AugmentationConfig)
        self.training.fill({"device": read_setting("general", "device", "auto")})
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
        forms = (self.patches, self.training, self.more, self.augmentation)
        for changed in (
            self.data.changed,
            self.model.changed,
            *(form.container.changed for form in forms),
        ):
            changed.connect(lambda *_: self.changed.emit())
        self.data.changed.connect(self._count)
        self.patches.container.changed.connect(self._count)
        self.training["batch_size"].changed.connect(self._count)

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

    def _count(self, *_: object) -> None:
        """Update the sizes that the cost of the network is computed for."""
        with suppress(PixelwiseError):  # half typed; Start reports what is wrong
            asked = TrainingConfig.create(**self.training.values).batch_size
            self.cost.describe_soon(
                size=self.patches.create().size_px,
                batch_size=MOST_AUTO_BATCH if asked == "auto" else asked,
                in_channels=self.data.count_channels() or 3,
            )
