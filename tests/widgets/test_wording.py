"""No message of the engine tells a window's user to type an option."""

from __future__ import annotations

import re

import pytest

from pixelwise.config import (
    AugmentationConfig,
    DataConfig,
    ModelConfig,
    PatchConfig,
    PredictConfig,
    TrainingConfig,
)
from pixelwise.widgets import data_picker, evaluate, predict
from pixelwise.widgets.forms import name_field
from pixelwise.widgets.wording import for_window
from tests.messages import MESSAGES

pytestmark = pytest.mark.one_binding

# Options of SLURM, for jobs that no window starts.
FOREIGN = {"ntasks", "ntasks-per-node", "gpus-per-node", "gpus-per-task", "save-media"}
# Of commands that no window runs, and of the cluster.
COMMANDS_ONLY = {"dask", "workers", "debug", "split"}


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 25


@pytest.mark.parametrize("message", MESSAGES)
def test_options_become_fields_that_a_window_has(message: str) -> None:
    shown = for_window(message)
    left = set(re.findall(r"--([a-z][a-z0-9-]*)", shown)) - FOREIGN - COMMANDS_ONLY
    assert not left, shown
    fields = {
        DataConfig: {
            "path",
            "layout",
            *data_picker._FILES,
            *data_picker._DETAILS,
            *data_picker._SPLIT,
        },
        PatchConfig: set(PatchConfig.model_fields),
        ModelConfig: set(ModelConfig.model_fields) - {"name"},
        AugmentationConfig: set(AugmentationConfig.model_fields),
        TrainingConfig: set(TrainingConfig.model_fields),
        PredictConfig: {*predict._SETTINGS, *evaluate._SETTINGS, "axes"},
    }
    labels = {name_field(c, f) for c, names in fields.items() for f in names} | {"Network"}
    named = set(re.findall("“([^”]*)”", shown))
    assert named <= labels, named - labels


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("say --classes '0=background,1=value 1'.", "say “Classes”: 0=background,1=value 1."),
        ("Say --classes instances, or", "Say “Classes”: instances, or"),
        ("--classes instances --void 255 if", "“Classes”: instances “Void”: 255 if"),
        ("take --edge cover, or --step", "take “Patches at the edge”: cover, or “Patch step (px)”"),
        ("(--size 64) or", "(“Patch size (px)”: 64) or"),
        ("(--size, or --tile in prediction)", "(“Patch size (px)”, or “Tile (px)” in prediction)"),
        ("Give another --out.", "Give another folder for the result."),
        ("leave out smallest_object and", "leave out “Smallest object” and"),
        ("('pixelwise inspect' lists all problems)",
         "(Count in the widget Patches lists all problems)"),
        ("  pixelwise inspect '/a b' --images images --masks '*/gt 2' --mask-suffix _m",
         "  “Images”: images, “Masks”: */gt 2, “Mask suffix”: _m"),
        ("say --white 4095; or", "say “White”: 4095; or"),
        ("--monitor loss.", "“Monitor”: loss."),
    ],
)  # fmt: skip
def test_words(message: str, shown: str) -> None:
    assert for_window(message) == shown


def test_other_texts_stay_as_they_are() -> None:
    text = "/data/my_masks/a_mask.png: 3 x 4 -- (image / 255 * 1).astype('uint8')"
    assert for_window(text) == text


def test_a_text_is_escaped_and_cut() -> None:
    assert for_window("a\x1b[2J\u202eb") == "a\\u001b[2J\\u202eb"
    assert len(for_window("x" * 10**6)) < 5000
