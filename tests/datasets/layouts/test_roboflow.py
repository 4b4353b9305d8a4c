"""Files written by hand after Roboflow's export, which a service writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError
from pixelwise.images import write_picture

CLASSES = "Pixel Value, Class\n0, background\n1, leaf\n2, stem, dry\n"


def write(
    root: Path, *names: str, classes: str = CLASSES, values: tuple[int, ...] = (0, 1, 2)
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    mask = np.repeat(np.array(values, np.uint8), 4)[None].repeat(6, axis=0)
    for name in names:
        write_picture(root / f"{name}.png", np.zeros((*mask.shape, 3), np.uint8))
        write_picture(root / f"{name}_mask.png", mask)
    (root / "_classes.csv").write_text(classes)


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def test_an_export_with_splits(tmp_path: Path) -> None:
    write(tmp_path / "train", "a_jpg.rf.1f", "b_jpg.rf.2f")
    write(tmp_path / "valid", "c_jpg.rf.3f")
    write(tmp_path / "test", "d_jpg.rf.4f")
    data = load_dataset(tmp_path)
    assert data.layout == "roboflow"
    assert names(data) == ["background", "leaf", "stem, dry"]
    assert [s.split for s in data.samples] == ["test", "train", "train", "validation"]
    assert all(s.mask_path.name == f"{s.name}_mask.png" for s in data.samples)
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert [round(item.share, 3) for item in inspection.classes] == [0.333] * 3


def test_one_folder_alone(tmp_path: Path) -> None:
    write(tmp_path, "a")
    assert len(load_dataset(tmp_path).samples) == 1


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        (
            "Pixel Value,Class\r\n0,Background\r\n1,leaf\r\n2,stem\r\n",
            ["background", "leaf", "stem"],
        ),
        ("\ufeffPixel Value, Class\n0, background\n1, leaf\n2, ignore\n", ["background", "leaf"]),
        ("Pixel Value, Class\n0, soil\n1, leaf\n2, stem\n", ["soil", "leaf", "stem"]),
    ],
)
def test_tables_of_classes(tmp_path: Path, classes: str, found: list[str]) -> None:
    write(tmp_path, "a", classes=classes)
    data = load_dataset(tmp_path)
    assert names(data) == found
    assert data.background == (0 if found[0] == "background" else None)
    assert (255 in data.samples[0].read_mask()) == ("ignore" in classes)


def test_values_that_the_table_lacks_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", values=(0, 1, 3))
    with pytest.raises(DataError, match=r"not mapped to a class: 3 \(24 pixels\)"):
        load_dataset(tmp_path).samples[0].read_mask()


def test_splits_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train", "a")
    write(tmp_path / "valid", "b", classes=CLASSES.replace("leaf", "stem"))
    with pytest.raises(DataError, match=r"names the mask value 1 'stem', another .* 'leaf'"):
        load_dataset(tmp_path)


def test_a_value_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", classes=CLASSES + "1, other\n")
    with pytest.raises(DataError, match="expected one name for each mask value"):
        load_dataset(tmp_path)


def test_a_table_that_says_nothing_leaves_it_to_the_masks(tmp_path: Path) -> None:
    write(tmp_path, "a", classes="text\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "class 1", "class 2"]
    assert "its names are not used" in str(data.problems[0])


def test_what_is_left_over_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c")
    (tmp_path / "b_mask.png").unlink()
    (tmp_path / "c.png").unlink()
    text = "\n".join(map(str, load_dataset(tmp_path).problems))
    assert "b.png has no b_mask.png; left out" in text
    assert "c_mask.png has no image of its name; left out" in text


def test_the_users_values_come_first(tmp_path: Path) -> None:
    write(tmp_path, "a")
    data = load_dataset(tmp_path, classes="0=bg,1=plant,2=plant")
    assert names(data) == ["bg", "plant"]


def test_a_split_without_a_table_is_read_by_that_of_the_others(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        folder = tmp_path / split
        folder.mkdir()
        picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
        Image.fromarray(picture).save(folder / f"{split}.jpg")
        Image.fromarray(picture // 32).save(folder / f"{split}_mask.png")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cell\n")
    data = load_dataset(tmp_path)
    assert [(s.name, s.split) for s in data.samples] == [
        ("train", "train"),
        ("valid", "validation"),
    ]


def test_a_long_name_is_cut_in_the_message(tmp_path: Path) -> None:
    write(tmp_path / "train", "a")
    write(tmp_path / "valid", "b", classes=CLASSES.replace("leaf", "long" * 500))
    with pytest.raises(DataError, match="names the mask value 1") as caught:
        load_dataset(tmp_path)
    assert str(caught.value).count("long") < 60
