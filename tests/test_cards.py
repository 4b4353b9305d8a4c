from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pixelwise.cards import METADATA_KEY, Card, TrainingSummary, read_card
from pixelwise.classes import MaskValues, create_classes
from pixelwise.errors import ModelFileError, ReadError
from pixelwise.normalization import create_percentile

CARD = Card(
    architecture="unet",
    options={"base_channels": 8, "up": "bilinear"},
    in_channels=1,
    classes=create_classes(["background", "cell"]),
    normalization=create_percentile(),
    axes="YX",
    dtype="uint8",
    patch_size=(64, 96),
    training=TrainingSummary(data="d", images=3, patches=9, epochs=2, scores={"dice": None}),
    versions={"torch": "1"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.ones(50)}, path, metadata={METADATA_KEY: CARD.model_dump_json()})
    return path


def test_is_read_back_equal(path: Path) -> None:
    assert read_card(path) == CARD


def test_values_and_intensities_of_the_training_are_kept(path: Path) -> None:
    values = MaskValues(table=((0, 0), (128, 1), (-1, 255)), rest=None)
    card = CARD.model_copy(update={"mask_values": values, "intensities": (0.0, 221.0)})
    save_file({"w": np.ones(50)}, path, metadata={METADATA_KEY: card.model_dump_json()})
    assert read_card(path) == card


def test_cards_of_older_versions_are_read(path: Path) -> None:
    older = CARD.model_dump(mode="json", exclude={"mask_values", "intensities"})
    save_file({"w": np.ones(50)}, path, metadata={METADATA_KEY: json.dumps(older)})
    assert read_card(path) == CARD


def test_is_read_without_torch(path: Path) -> None:
    code = (
        "import sys; from pixelwise.cards import read_card; "
        f"read_card({str(path)!r}); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids=["empty", "length", "header", "last byte"])
def test_a_file_cut_off_is_recognised(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        read_card(path)


def test_a_foreign_file_is_recognised(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"w": np.ones(5)}, other)
    with pytest.raises(ModelFileError, match="without a pixelwise card"):
        read_card(other)
    picture = tmp_path / "image.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" * 50)
    with pytest.raises(ModelFileError, match="is not a model file"):
        read_card(picture)


def test_a_newer_card_is_recognised(path: Path) -> None:
    text = CARD.model_dump_json().replace('"axes"', '"axis"')
    save_file({"w": np.ones(5)}, path, metadata={METADATA_KEY: text})
    with pytest.raises(ModelFileError, match="newer version"):
        read_card(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.safetensors"):
        read_card(tmp_path / "none.safetensors")


@pytest.mark.parametrize("background", [-1, 2, 2**40])
def test_a_background_that_is_no_class(path: Path, background: int) -> None:
    fields = json.loads(CARD.model_dump_json()) | {"background": background}
    save_file({"w": np.ones(50)}, path, metadata={METADATA_KEY: json.dumps(fields)})
    with pytest.raises(ModelFileError, match="is none of 2 classes"):
        read_card(path)
