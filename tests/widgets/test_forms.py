"""Every field of every config has a control that reaches the config."""

from __future__ import annotations

from typing import Any

import pytest

from pixelwise.architectures import list_architectures
from pixelwise.config import (
    AugmentationConfig,
    DataConfig,
    ModelConfig,
    PatchConfig,
    PredictConfig,
    TrainingConfig,
)
from pixelwise.config_base import Config
from pixelwise.errors import ConfigError
from pixelwise.widgets.forms import Form, OptionForm

pytestmark = pytest.mark.usefixtures("qapp")

# One value per field that differs from its default.
CHANGED: dict[type[Config], dict[str, Any]] = {
    DataConfig: {
        "skip_unreadable": True,
        "path": "/data", "layout": "pairs", "images": "raw", "masks": "gt", "mask_suffix": "_m",
        "classes": {"0": "background", "7": "cell"}, "void": (255.0, 3.0), "sparse": True,
        "axes": "ZYX", "resize": (128, 96), "validation": "/validation", "test": "/test",
        "corrections": "/corrections",
        "validation_fraction": 0.3, "split_seed": 4, "folds": 5,
    },
    PatchConfig: {"size": (64, 96), "step": (32, 32), "edge": "drop", "min_foreground": 0.25},
    AugmentationConfig: {
        "preset": "histology", "shift": False, "flips": True, "rotate90": False, "rotate": 12.5,
        "scale": 0.3, "brightness": 0.4, "contrast": 0.1, "stain": 0.05, "noise": 0.2, "blur": 2.0,
    },
    TrainingConfig: {
        "epochs": 7, "batch_size": 3, "loss": "focal", "class_weights": (1.0, 1.0),
        "save_minutes": 2.5, "minutes": 9.5, "epoch_steps": "all",
        "weight_average": 0.9, "keep_start": 0.5,
        "optimizer": "sgd", "learning_rate": 0.02, "min_learning_rate": 1e-05,
        "weight_decay": 0.01, "momentum": 0.5, "schedule": "plateau", "warmup_epochs": 2.0,
        "cycle_epochs": 3.0, "plateau_epochs": 2, "patience": 9, "monitor": "iou",
        "normalization": "percentile", "device": "cuda:1", "precision": "fp32", "seed": 5,
        "deterministic": True, "compile": True, "sync_batch_norm": True, "keep_every": 10,
        "previews": 0, "tensorboard": True,
    },
    PredictConfig: {
        "tile": (128, 256), "overlap": 0.5, "window": "flat", "batch_size": 2, "flips": True,
        "rotations": True, "probabilities": True, "instances": False, "format": "zarr",
        "smallest_object": 12, "largest_hole": 34, "border": "mirror", "table": True, "fold": False,
        "probability_dtype": "uint8",
        "axes": "YX", "device": "cpu", "precision": "fp32", "white": 4095.0,
    },
}  # fmt: skip
CONFIGS = list(CHANGED)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__name__)
def test_an_untouched_form_is_the_default(config: type[Config]) -> None:
    others = {"path": "/data"} if config is DataConfig else {}
    form = Form(config)
    assert form.create(**others) == config.create(**others)


CASES = [
    (config, name)
    for config in CONFIGS
    for name in config.model_fields
    if (config, name) != (DataConfig, "fold")  # needs folds
]


@pytest.mark.parametrize(("config", "name"), CASES, ids=lambda c: getattr(c, "__name__", c))
def test_every_control_reaches_the_config(config: type[Config], name: str) -> None:
    form, value = Form(config), CHANGED[config][name]
    form.fill({name: value})
    base = {"path": "/data"} if config is DataConfig else {}
    made = form.create(**base | ({} if name != "path" else {"path": form.values["path"]}))
    assert made == config.create(**base | {name: value})
    if not (config is PredictConfig and name == "instances"):
        default = config.model_fields[name].get_default(call_default_factory=True)
        assert getattr(made, name) != default


def test_a_form_shows_a_whole_config() -> None:
    config = TrainingConfig.create(**CHANGED[TrainingConfig])
    form = Form(TrainingConfig)
    form.fill(config)
    assert form.create() == config


@pytest.mark.parametrize(
    ("field", "text"),
    [("learning_rate", "fast"), ("learning_rate", "-1"), ("device", "tpu"), ("patience", "0")],
)
def test_a_wrong_text_is_refused_by_the_field_s_name(field: str, text: str) -> None:
    form = Form(TrainingConfig)
    form[field].value = text
    with pytest.raises(ConfigError, match=field):
        form.create()


def test_bounds_are_the_config_s() -> None:
    form = Form(TrainingConfig)
    assert (form["epochs"].min, form["epochs"].max) == (1, 100_000)
    assert form["epochs"].tooltip == TrainingConfig.model_fields["epochs"].description


@pytest.mark.parametrize("name", [item.name for item in list_architectures()])
def test_options_of_every_architecture_reach_the_config(name: str) -> None:
    architecture = next(item for item in list_architectures() if item.name == name)
    form = OptionForm(architecture)
    assert form.values == {}
    for option in architecture.options:
        other = {
            bool: lambda d: not d,
            int: lambda d: d + 1,
            float: lambda d: d / 2 + 0.1,
            tuple: lambda d: (*d, 1),
        }.get(type(option.default))
        choices = [choice for choice in option.choices if choice != option.default]
        value = choices[0] if choices else other(option.default) if other else 1
        form.fill({option.name: value})
        made = ModelConfig.create(name=name, options=form.values)
        assert architecture.parse_options(made.options)[option.name] == value
        form.fill({option.name: option.default})
    assert form.values == {}
