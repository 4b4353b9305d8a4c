from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.config import (
    AugmentationConfig,
    DataConfig,
    ModelConfig,
    PatchConfig,
    PredictConfig,
    TrainConfig,
    TrainingConfig,
)
from pixelwise.config_base import Config
from pixelwise.errors import ConfigError

ALL = [
    *(AugmentationConfig, DataConfig, ModelConfig, PatchConfig, PredictConfig),
    *(TrainConfig, TrainingConfig),
]
SIDES = st.integers(1, 65_536)
SIZES = st.tuples(SIDES, SIDES)
NAMES = st.text(st.characters(codec="ascii", exclude_characters=",="), min_size=1, max_size=8)


@given(
    path=st.sampled_from([Path("a"), Path("/data/b c"), Path("ü/d")]),
    classes=st.one_of(
        st.sampled_from(["auto", "instances"]),
        st.dictionaries(st.integers(0, 255).map(str), NAMES, max_size=4),
    ),
    resize=st.none() | SIZES,
    void=st.lists(st.integers(-1, 300)).map(lambda values: tuple(map(float, values))),
    size=SIZES,
    step=st.none() | SIZES,
    foreground=st.floats(0, 1),
)
def test_yaml_comes_back(
    path: Path,
    classes: Any,
    resize: tuple[int, int] | None,
    void: tuple[float, ...],
    size: tuple[int, int],
    step: tuple[int, int] | None,
    foreground: float,
) -> None:
    config = TrainConfig(
        data=DataConfig(path=path, classes=classes, resize=resize, void=void),
        run=Path("run"),
        patches=PatchConfig(size=size, step=step, min_foreground=foreground),
        model=ModelConfig(options={"depth": 4}),
    )
    assert TrainConfig.from_yaml(config.to_yaml()) == config


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[Config]) -> None:
    silent = [
        name
        for name, field in model.model_fields.items()
        if not field.description and not isinstance(field.annotation, type)
    ]
    assert not silent


def test_the_step_is_the_size_unless_given() -> None:
    assert PatchConfig(size=(8, 9)).step_px == (8, 9)
    assert PatchConfig.create(size=8, step="2x3").step_px == (2, 3)


def test_class_mappings() -> None:
    text = DataConfig.create(path="a", classes="0=background, 255=cell")
    assert text.classes == {"0": "background", "255": "cell"}
    assert DataConfig.create(path="a", classes={0: "background", 255: "cell"}) == text
    assert DataConfig.create(path="a", classes="instances").classes == "instances"
    assert DataConfig.create(path="a", void="255,11").void == (255.0, 11.0)


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (PatchConfig, {"size": 0}, "size.*greater than or equal to 1"),
        (PatchConfig, {"size": "big"}, "size"),
        (PatchConfig, {"size": "1x2x3"}, "size"),
        (PatchConfig, {"edge": "wrap"}, "edge.*'drop' or 'cover', got 'wrap'"),
        (PatchConfig, {"min_foreground": 1.5}, "min_foreground.*got 1.5"),
        (PatchConfig, {"stride": 5}, "stride"),
        (DataConfig, {}, "path.*required"),
        (DataConfig, {"path": "a", "layout": "vox"}, "layout.*'pairs'"),
        (DataConfig, {"path": "a", "validation_fraction": 1}, "validation_fraction"),
        (DataConfig, {"path": "a", "classes": "cells"}, "classes"),
        (ModelConfig, {"pretrained": True, "weights": "w.pth"}, "give one"),
        (TrainingConfig, {"learning_rate": 1e-9}, "must not exceed"),
        (TrainingConfig, {"device": "gpu"}, "device"),
        (TrainingConfig, {"monitor": "last", "patience": 3}, "patience would never"),
        (PredictConfig, {"overlap": 1}, "overlap"),
    ],
)
def test_wrong_values_are_named(model: type[Config], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        model.create(**fields)
    assert "pydantic" not in str(caught.value)


def test_a_switch_follows_the_preset_unless_set() -> None:
    assert AugmentationConfig(preset="light").strength("brightness") == 0.1
    assert AugmentationConfig(preset="light", brightness=0.5).strength("brightness") == 0.5
    assert AugmentationConfig(preset="light", flips=False).strength("flips") == 0
    assert AugmentationConfig(preset="none").strength("noise") == 0
