from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError
from pixelwise.images import write_picture, write_tiff


def paint(path: Path, value: int = 0, shape: tuple[int, ...] = (8, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(shape, value, np.uint8)
    if path.suffix == ".tif":
        write_tiff(path, pixels, axes="ZYX"[-len(shape) :])
    else:
        write_picture(path, pixels)


def write(root: Path, *cases: str, channels: int = 1, end: str = ".png") -> None:
    for case in cases:
        for channel in range(channels):
            paint(root / "imagesTr" / f"{case}_{channel:04}{end}", 10 * channel)
        labels = np.zeros((8, 12), np.uint8)
        labels[:, 4:8], labels[:, 8:] = 1, 2
        (root / "labelsTr").mkdir(parents=True, exist_ok=True)
        write_picture(root / "labelsTr" / f"{case}.png", labels)


def describe(root: Path, labels: Any, **more: Any) -> None:
    (root / "dataset.json").write_text(json.dumps({"labels": labels} | more))


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def test_an_export_holds_what_went_in(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "nnunet")
    assert (data.layout, names(data)) == ("nnunet", ["background", "tumour", "core"])
    assert data.in_channels == 2
    require_truth(data, "nnunet")
    image = data.samples[0].read_image()
    assert image.shape == (1, 2, 48, 64)
    x, y = np.arange(64), np.arange(48)
    assert np.array_equal(image[0, 0, 0], (x * 2 + 40) % 256)
    assert np.array_equal(image[0, 1, :, 0], y * 3)
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert round(inspection.void_share, 3) == round(2 / 48, 3)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "a": 1, "b": 2},
        {"0": "background", "1": "a", "2": "b"},
        {"background": "0", "a": "1", "b": "2"},
        {"b": 2, "a": 1, "background": 0},
    ],
    ids=["version-2", "version-1", "texts", "another-order"],
)
def test_labels_of_both_versions(tmp_path: Path, labels: dict[str, Any]) -> None:
    write(tmp_path, "x")
    describe(tmp_path, labels, modality={"0": "CT"})
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "a", "b"]
    assert data.samples[0].read_mask()[0, 0, ::4].tolist() == [0, 1, 2]


def test_the_label_to_ignore_is_void(tmp_path: Path) -> None:
    write(tmp_path, "x")
    describe(tmp_path, {"background": 0, "a": 1, "ignore": 2})
    assert load_dataset(tmp_path).samples[0].read_mask()[0, 0, ::4].tolist() == [0, 1, 255]


def test_regions_are_refused_and_the_remedy_works(tmp_path: Path) -> None:
    write(tmp_path, "x")
    describe(tmp_path, {"background": 0, "whole": [1, 2], "core": [2]})
    with pytest.raises(DataError, match=r"regions \(whole, core\).*--classes 0=background,1=NAME"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, classes="0=background,1=NAME,2=NAME")
    assert names(data) == ["background", "NAME"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "a": 1.5}, "a label as name: value"),
        ({"background": 0, "a": True}, "a label as name: value"),
        ({"background": 0, "a": -1}, "a label as name: value"),
        ({"background": 0, "a": 1, "b": 1}, "a value other than that of 'a'"),
        ([1, 2], "an object with keys"),
    ],
)
def test_descriptions_that_do_not_say_it(tmp_path: Path, labels: Any, message: str) -> None:
    write(tmp_path, "x")
    describe(tmp_path, labels)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize("content", [None, "{}"])
def test_without_a_description_the_masks_are_asked(tmp_path: Path, content: str | None) -> None:
    write(tmp_path, "x")
    if content:
        (tmp_path / "dataset.json").write_text(content)
    assert names(load_dataset(tmp_path)) == ["background", "class 1", "class 2"]


def test_values_that_the_description_lacks_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "x")
    describe(tmp_path, {"background": 0, "a": 1})
    with pytest.raises(DataError, match="not mapped to a class: 2"):
        load_dataset(tmp_path).samples[0].read_mask()


def test_test_images_with_labels_are_the_test_split(tmp_path: Path) -> None:
    write(tmp_path, "x", "y")
    paint(tmp_path / "imagesTs" / "u_0000.png")
    paint(tmp_path / "imagesTs" / "v_0000.png")
    paint(tmp_path / "labelsTs" / "v.png", 1)
    data = load_dataset(tmp_path)
    assert {s.name: s.split for s in data.samples} == {"x": None, "y": None, "v": "test"}
    assert "1 images have no labels in labelsTs/ and are left out, e.g. u_0000.png" in str(
        data.problems[0]
    )


def test_test_images_without_labels_are_no_data(tmp_path: Path) -> None:
    write(tmp_path, "x")
    paint(tmp_path / "imagesTs" / "u_0000.png")
    assert [s.name for s in load_dataset(tmp_path).samples] == ["x"]


def test_cases_that_begin_alike_are_not_mixed_up(tmp_path: Path) -> None:
    write(tmp_path, "img-1", "img-10", "img_1_0000", channels=2)
    pairs = {(s.image_path.name, s.mask_path.name) for s in load_dataset(tmp_path).samples}
    assert pairs == {
        ("img-1_0000.png", "img-1.png"),
        ("img-10_0000.png", "img-10.png"),
        ("img_1_0000_0000.png", "img_1_0000.png"),
    }


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    write(tmp_path, "x", "y", "z", channels=2)
    (tmp_path / "imagesTr" / "y_0001.png").unlink()
    with pytest.raises(DataError, match=r"y has the channels \[0\], most images .* \[0, 1\]"):
        load_dataset(tmp_path)
    paint(tmp_path / "imagesTr" / "y_0002.png")
    with pytest.raises(DataError, match=r"y has the channels \[0, 2\]"):
        load_dataset(tmp_path)


def test_other_channels_than_described_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "x", channels=2)
    describe(tmp_path, {"background": 0, "a": 1, "b": 2}, channel_names={"0": "T1"})
    with pytest.raises(DataError, match="names 1 channels, images have 2 files"):
        load_dataset(tmp_path)


def test_one_rgb_file_is_three_channels(tmp_path: Path) -> None:
    write(tmp_path, "x")
    write_picture(tmp_path / "imagesTr" / "x_0000.png", np.zeros((8, 12, 3), np.uint8))
    describe(
        tmp_path,
        {"background": 0, "a": 1, "b": 2},
        channel_names={"0": "R", "1": "G", "2": "B"},
        file_ending=".png",
    )
    assert load_dataset(tmp_path).in_channels == 3


def test_files_of_another_ending_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "x")
    paint(tmp_path / "imagesTr" / "x_0000.tif")
    with pytest.raises(DataError, match="are both channel 0000 of x"):
        load_dataset(tmp_path)
    describe(tmp_path, {"background": 0, "a": 1, "b": 2}, file_ending=".png")
    assert load_dataset(tmp_path).samples[0].image_path.suffix == ".png"


def test_stacks_of_several_channels(tmp_path: Path) -> None:
    for channel in (0, 1):
        paint(tmp_path / "imagesTr" / f"x_{channel:04}.tif", channel, (3, 8, 12))
    paint(tmp_path / "labelsTr" / "x.tif", 1, (3, 8, 12))
    sample = load_dataset(tmp_path).samples[0]
    assert sample.header.shape == (3, 2, 8, 12)
    assert sample.read_image().mean(axis=(0, 2, 3)).tolist() == [0, 1]


def test_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "x")
    paint(tmp_path / "imagesTr" / "y_0000.png")
    (tmp_path / "imagesTr" / "z_0000.mha").write_bytes(b"ObjectType = Image\n")
    (tmp_path / "labelsTr" / "z.mha").write_bytes(b"ObjectType = Image\n")
    with pytest.raises(DataError, match=r"z_0000\.mha"):
        load_dataset(tmp_path)


def test_the_users_folders_come_first(tmp_path: Path) -> None:
    write(tmp_path, "x")
    (tmp_path / "labelsTr").rename(tmp_path / "corrected")
    (tmp_path / "labelsTr").mkdir()
    data = load_dataset(tmp_path, layout="nnunet", images="imagesTr", masks="corrected")
    assert data.samples[0].mask_path.parent.name == "corrected"


@pytest.mark.parametrize("name", ["BRATS_001", "img_2007", "scan"])
def test_the_decathlon_numbers_no_channels(tmp_path: Path, name: str) -> None:
    paint(tmp_path / "imagesTr" / f"{name}.png")
    paint(tmp_path / "labelsTr" / f"{name}.png", 1)
    assert [s.name for s in load_dataset(tmp_path).samples] == [name]
