"""Forms generated from the configs, so that widgets and command line have the same fields.

Types, bounds, choices, defaults and help texts all come from the config's own JSON schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

from pixelwise.architectures import Architecture
from pixelwise.architectures.options import Option
from pixelwise.config_base import Config

AnyConfig = TypeVar("AnyConfig", bound=Config)

_INT_LIMIT = 2**31 - 1
_FOLDERS = ("path", "validation", "test", "corrections", "run")
# Fields whose name is unclear outside of its section.
_LABELS = {
    ("PatchConfig", "size"): "Patch size (px)",
    ("PatchConfig", "step"): "Patch step (px)",
    ("PatchConfig", "edge"): "Patches at the edge",
    ("PatchConfig", "min_foreground"): "Minimum foreground",
    ("DataConfig", "path"): "Folder",
    ("PredictConfig", "tile"): "Tile (px)",
    ("PredictConfig", "format"): "File format",
    ("PredictConfig", "table"): "Object table",
    ("PredictConfig", "border"): "Padding at the border",
    ("PredictConfig", "probability_dtype"): "Probabilities as",
    ("PredictConfig", "fold"): "Fold batch norms",
    ("ModelConfig", "start_from"): "Start from model",
    ("AugmentationConfig", "rotate90"): "Rotate by 90",
}


class Form(Generic[AnyConfig]):
    """Fields of a config, one control each, labelled and explained by the config itself.

    Parameters
    ----------
    config : type of Config
    fields : sequence of str, optional
        Which fields, in this order; all of them if not given.

    Attributes
    ----------
    container : magicgui Container
        The controls; ``form["epochs"].value = 20`` sets one.
    native : QWidget
        The controls with their labels, to be put into a layout.
    """

    def __init__(self, config: type[AnyConfig], fields: Sequence[str] | None = None) -> None:
        self.config = config
        schema = config.model_json_schema()["properties"]
        self.fields = tuple(fields or schema)
        controls = [_create_control(name, schema[name]) for name in self.fields]
        for control in controls:
            control.label = name_field(config, control.name)
            if isinstance(control, CheckBox):
                control.text = control.label
        self.container, self.native = lay_out(controls)

    def __getitem__(self, field: str) -> ValueWidget[Any]:
        """Control of a field."""
        return self.container[field]

    @property
    def values(self) -> dict[str, Any]:
        """Values of the controls; empty text means the default and is left out."""
        return dict(self._iter_values())

    def create(self, **others: Any) -> AnyConfig:
        """Create the config; fields that are not in the form are given as `others`.

        Raises
        ------
        ConfigError
            A value is wrong; the message names the field and its limits.
        """
        return self.config.create(**self.values | others)

    def fill(self, values: Mapping[str, Any] | AnyConfig) -> None:
        """Show a config's values, or some of them."""
        given = values.model_dump(mode="json") if isinstance(values, Config) else values
        for name in self.fields:
            if name in given:
                _show(self[name], given[name])

    def _iter_values(self) -> Iterator[tuple[str, Any]]:
        for name in self.fields:
            value = self[name].value
            if isinstance(value, str):
                value = value.strip()
            if value not in ("", None, Path()):
                yield name, value


class OptionForm:
    """Options of one architecture, one control each.

    Attributes
    ----------
    container : magicgui Container
    native : QWidget
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        controls = [_create_option(option) for option in architecture.options]
        self.container, self.native = lay_out(controls)

    @property
    def values(self) -> dict[str, Any]:
        """Options that differ from their defaults; empty text is the default."""
        found = {}
        for option in self.architecture.options:
            value = self.container[option.name].value
            if value not in ("", option.default, _option_text(option.default)):
                found[option.name] = value
        return found

    def fill(self, options: Mapping[str, Any]) -> None:
        """Show options."""
        for name, value in options.items():
            control = self.container[name]
            control.value = _option_text(value) if isinstance(control, LineEdit) else value


def name_field(config: type[Config], field: str) -> str:
    """Label of a field, as every form of its config shows it."""
    return _LABELS.get((config.__name__, field), _label(field))


def lay_out(controls: Sequence[ValueWidget[Any]]) -> tuple[Container[Any], QWidget]:
    """Put controls into a container, for access by name, and a widget with aligned labels."""
    container = Container(widgets=controls, labels=False)
    native = QWidget()
    rows = QFormLayout(native)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setVerticalSpacing(4)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for control in controls:
        says_it_itself = isinstance(control, CheckBox) and control.text
        label = QLabel("" if says_it_itself else control.label)
        label.setToolTip(control.tooltip or "")
        rows.addRow(label, control.native)
    native.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
    native.container = container  # keeps the Python side of the controls alive
    return container, native


def _create_control(name: str, schema: Mapping[str, Any]) -> ValueWidget[Any]:
    """Control for one field of a config."""
    branches = schema.get("anyOf", [schema])
    optional = any(branch.get("type") == "null" for branch in branches)
    kinds = [branch for branch in branches if branch.get("type") != "null"]
    default = schema.get("default")
    common = {"name": name, "label": _label(name), "tooltip": schema.get("description", "")}
    kind = kinds[0] if len(kinds) == 1 else {}
    if kind.get("format") == "path":
        mode = "d" if name in _FOLDERS else "r"
        return FileEdit(mode=mode, nullable=True, value=default, **common)
    if "enum" in kind:
        return ComboBox(choices=kind["enum"], value=default, **common)
    if kind.get("type") == "boolean":
        if optional:
            switch = [("as preset", None), ("on", True), ("off", False)]
            return ComboBox(choices=switch, value=default, **common)
        return CheckBox(value=bool(default), **common | {"text": ""})
    if kind.get("type") == "integer" and not optional:
        low, high = kind.get("minimum", 0), kind.get("maximum", _INT_LIMIT)
        return SpinBox(value=default, min=low, max=high, **common)
    return LineEdit(value=_text(default), **common)


def _create_option(option: Option) -> ValueWidget[Any]:
    """Control for one option of an architecture."""
    common = {"name": option.name, "label": _label(option.name)}
    tooltip = f"{option.help} ({option.expectation})"
    if option.choices:
        choices = [(str(choice).lower(), choice) for choice in option.choices]
        return ComboBox(choices=choices, value=option.default, tooltip=tooltip, **common)
    if isinstance(option.default, bool):
        return CheckBox(value=option.default, text="", tooltip=tooltip, **common)
    if isinstance(option.default, int):
        low, high = int(option.low or 0), int(option.high or _INT_LIMIT)
        return SpinBox(value=option.default, min=low, max=high, tooltip=tooltip, **common)
    return LineEdit(value=_option_text(option.default), tooltip=tooltip, **common)


def _show(control: ValueWidget[Any], value: Any) -> None:
    """Put a value into a control."""
    control.value = _text(value) if isinstance(control, LineEdit) else value


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    """Value as a person would type it: 256, 256x320, 0=background,255=cell."""
    if value is None or value in ((), [], {}):
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, tuple | list):
        is_size = len(value) == 2 and all(isinstance(side, int) for side in value)
        return ("x" if is_size else ",").join(f"{number:.15g}" for number in value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _option_text(value: Any) -> str:
    """Value of an option as a person would type it: 3+4 for several numbers."""
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else _text(value)
