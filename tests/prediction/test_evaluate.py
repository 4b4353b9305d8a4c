from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.classes import MaskValues, create_classes
from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError
from pixelwise.models.files import Model, create_network
from pixelwise.prediction.evaluate import evaluate
from tests.disks import disks, write_set
from tests.test_input_check import create_model

Array = np.ndarray


def with_classes(model: Model, *names: str, values: MaskValues | None = None) -> Model:
    update: dict[str, Any] = {"classes": create_classes(names), "mask_values": values}
    card = model.card.model_copy(update=update)
    return Model(create_network(card).eval(), card)


def binary() -> Model:
    return with_classes(create_model(), "background", "foreground")


def test_classes_are_matched_by_value(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: m.astype("u1") * 255, count=2)
    values = MaskValues(table=((0, 0), (128, 1), (255, 2)))
    model = with_classes(create_model(), "background", "value 128", "value 255", values=values)
    total = evaluate(model, load_dataset(root)).total
    truth = [int(disks(seed).sum()) for seed in range(2)]
    assert total.matrix.sum(axis=1).tolist() == [2 * 96 * 96 - sum(truth), 0, sum(truth)]


def test_a_class_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: m.astype("u1") * 2 + (~m & np.roll(m, 9)), count=2)
    with pytest.raises(DataError, match=r"expected no class .*--classes 0=background,1="):
        evaluate(binary(), load_dataset(root))


def test_images_of_another_dtype_are_refused_by_name(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: m.astype("u1") * 255, count=2)
    for path in (root / "images").iterdir():
        pixels = np.asarray(Image.open(path)).astype("u2") * 16
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), pixels)
    with pytest.raises(DataError, match=r"images/0\.tif: .*--white 4095"):
        evaluate(binary(), load_dataset(root))
    assert len(evaluate(binary(), load_dataset(root), white=4095).images) == 2


def test_notes_on_the_data_and_on_images(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: m.astype("u1") * 255, suffix=".jpg", count=3)
    for path in (root / "images").iterdir():
        grey = Image.open(path)
        Image.merge("LA", (grey, Image.new("L", grey.size, 9))).save(path)
    result = evaluate(binary(), load_dataset(root))
    assert "over 127" in result.notes[0]
    assert any("3 images, e.g. 0: " in note and "alpha" in note for note in result.notes)
    assert result.to_dict()["notes"] == list(result.notes)


def test_tri_maps_count_all_classes(tmp_path: Path) -> None:
    def draw(_: int, mask: Array) -> Array:
        return np.where(np.roll(mask, 1, 0) ^ mask, 3, np.where(mask, 1, 2)).astype("u1")

    data = load_dataset(write_set(tmp_path, draw, count=2))
    model = with_classes(create_model(), "value 1", "value 2", "value 3")
    card = model.card.model_copy(update={"background": data.background})
    total = evaluate(Model(model.network, card), data).total
    assert total.macro(foreground=True).dice == total.macro().dice
