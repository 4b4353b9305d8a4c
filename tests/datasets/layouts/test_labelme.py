from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError, ReadError
from pixelwise.images import write_picture

SQUARE = [[2, 2], [10, 2], [10, 8], [2, 8]]


def shape(label: str = "cell", points: Any = SQUARE, kind: Any = "polygon", **more: Any) -> Any:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def write(path: Path, *shapes: Any, **fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes) or [shape()],
        "imagePath": f"{path.stem}.png",
        "imageData": None,
        "imageHeight": 16,
        "imageWidth": 20,
    }
    path.write_text(json.dumps(content | fields))


def paint(*paths: Path, height: int = 16, width: int = 20) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, np.zeros((height, width), np.uint8))


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def to_png(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_masks_are_those_that_labelme_draws(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "labelme" / "json")
    assert (data.layout, names(data)) == ("labelme", ["background", "cell", "nucleus"])
    require_truth(data, "labelme")
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert inspection.void_share > 0
    assert min(item.share for item in inspection.classes) > 0.01


@pytest.mark.parametrize(
    ("annotation", "picture", "named"),
    [
        ("a.json", "a.png", "a.png"),
        ("ann/a.json", "img/a.png", "../img/a.png"),
        ("ann/a.json", "img/a.png", "..\\img\\a.png"),
        ("ann/a.json", "img/a.png", "a.png"),
        ("ann/a.json", "img/a.png", "C:\\Users\\me\\a.png"),
        ("ann/a.json", "img/a.png", "/home/me/a.png"),
        ("train/a.json", "train/a.png", "a.png"),
        ("a.json", "b.png", "b.png"),
        ("a.json", "a.png", None),
        ("a.json", "a.png", "a.jpg"),  # converted after it was annotated
    ],
)
def test_arrangements(tmp_path: Path, annotation: str, picture: str, named: str | None) -> None:
    write(tmp_path / annotation, imagePath=named)
    paint(tmp_path / picture)
    data = load_dataset(tmp_path)
    assert data.layout == "labelme"
    assert [sample.image_path for sample in data.samples] == [tmp_path / picture]
    assert data.samples[0].read_mask().sum() == 63  # LabelMe fills the outline too
    assert not data.problems


def test_the_picture_that_is_named_comes_before_that_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path / "a.json", imagePath="b.png")
    paint(tmp_path / "a.png", tmp_path / "b.png")
    data = load_dataset(tmp_path)
    assert data.samples[0].image_path.name == "b.png"
    assert "a.png has no LabelMe JSON; left out" in str(data.problems[0])


def test_the_folder_that_is_named_comes_before_the_files_own(tmp_path: Path) -> None:
    write(tmp_path / "ann" / "a.json", imagePath="../img/a.png")
    paint(tmp_path / "ann" / "a.png", tmp_path / "img" / "a.png")
    data = load_dataset(tmp_path)
    assert data.samples[0].image_path == tmp_path / "img" / "a.png"


def test_same_names_in_two_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / "json" / split / "a.json")
        paint(tmp_path / "images" / split / "a.png")
    data = load_dataset(tmp_path)
    assert [(s.split, s.mask_path.parent.name) for s in data.samples] == [
        ("train", "train"),
        ("validation", "val"),
    ]


def test_a_picture_outside_of_the_data_folder_is_not_read(tmp_path: Path) -> None:
    paint(tmp_path / "secret.png", tmp_path / "data" / "other.png")
    write(tmp_path / "data" / "a.json", imagePath="../secret.png")
    with pytest.raises(DataError, match=r"a.json has no image \(../secret.png\)"):
        load_dataset(tmp_path / "data")


def test_two_files_of_one_picture_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json")
    write(tmp_path / "b.json", imagePath="a.png")
    paint(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.json and .*b.json are both for the image .*a.png"):
        load_dataset(tmp_path)


def test_one_file_for_two_pictures_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "json" / "a.json", imagePath="a.tif")
    paint(tmp_path / "old" / "a.png", tmp_path / "new" / "a.png")
    with pytest.raises(DataError, match="fits 2 images"):
        load_dataset(tmp_path)


def test_an_embedded_picture_comes_out_by_the_command_that_is_named(tmp_path: Path) -> None:
    data = to_png(np.zeros((16, 20), np.uint8))
    write(tmp_path / "a.json", imageData=data)
    with pytest.raises(DataError, match="It has the image embedded; extract it with") as caught:
        load_dataset(tmp_path)
    command = str(caught.value).partition("extract it with: ")[2].splitlines()[0]
    words = shlex.split(command)
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert len(load_dataset(tmp_path).samples) == 1


def test_labels_are_listed_by_a_file_or_by_name(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.json", shape("b"), shape("a"))
    assert names(load_dataset(tmp_path)) == ["background", "a", "b"]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nb\nrare\na\n")
    assert names(load_dataset(tmp_path)) == ["background", "b", "rare", "a"]
    (tmp_path / "labels.txt").write_text("b\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "b", "a"]
    assert "labels that it does not list: a" in str(data.problems[0])
    (tmp_path / "labels.txt").write_text("nothing of the kind\n")
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "a", "b"]
    assert "not used" in str(data.problems[0])


def test_later_shapes_lie_over_earlier_ones(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    inner = shape("nucleus", [[4, 4], [6, 4], [6, 6], [4, 6]])
    eraser = shape("_background_", [[2, 2], [3, 3]], "rectangle")
    ignored = shape("__ignore__", [[9, 7], [10, 8]], "rectangle")
    write(tmp_path / "a.json", shape(), inner, eraser, ignored)
    mask = load_dataset(tmp_path).samples[0].read_mask()
    assert np.bincount(mask.ravel())[[1, 2, 255]].tolist() == [63 - 9 - 4 - 4, 9, 4]


def test_points_and_lines_are_left_out_and_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    line = shape("axis", [[1, 1], [5, 5]], "line")
    write(tmp_path / "a.json", shape(), line, shape("seed", [[3, 3]], "point"))
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell"]
    assert "2 points and lines have no area and are left out (labels: axis, seed)" in str(
        data.problems[0]
    )


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_masks_in_a_box(tmp_path: Path, mode: str) -> None:
    paint(tmp_path / "a.png")
    pixels = np.eye(4, 5, dtype=np.uint8) * 255
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    write(tmp_path / "a.json", shape(points=[[3, 2], [7, 5]], kind="mask", mask=data))
    mask = load_dataset(tmp_path).samples[0].read_mask()[0]
    assert np.array_equal(mask[2:6, 3:8], pixels > 0)
    assert mask.sum() == 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (shape(points=[[1, 2], [3, 4]]), r"shapes\[0\]\.points: expected at least 3 points"),
        (shape(points=[[1, 2], [3, "4"], [5, 6]]), r"points \[x, y\]"),
        (shape(points=[[1, 2], [3, float("nan")], [5, 6]]), "finite"),
        (shape(points=[[1, 2], [3, 1e300], [5, 6]]), "finite"),
        (shape(points=[[1, 2], [3, 4], [5, 6]], kind="rectangle"), "2 points of a rectangle"),
        (shape(points=[[1, 2]], kind="circle"), "at least 2 points"),
        (shape(kind="ellipse3d"), r"shape_type: expected one of polygon"),
        (shape(label=3), r"label: expected a text"),  # type: ignore[arg-type]
        (shape(points=[[1, 1], [2, 2]], kind="mask"), "mask: expected a text"),
        (shape(points=[[1, 1], [2, 2]], kind="mask", mask="!"), "a PNG picture in base64"),
        (shape(points=[[1, 1], [2, 2]], kind="mask", mask="AAAA"), "a PNG picture in base64"),
        (
            shape(points=[[1, 1], [9, 9]], kind="mask", mask=to_png(np.ones((2, 2), np.uint8))),
            r"the mask has 2 x 2 pixels, its box is 9 x 9",
        ),
        (
            shape(points=[[19, 1], [20, 2]], kind="mask", mask=to_png(np.ones((2, 2), np.uint8))),
            "inside the image",
        ),
        (shape(points=[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]), "between 0 and 1; expected pixels"),
        (shape(points=[[90, 90], [99, 90], [99, 99]]), "is outside the image"),
    ],
)
def test_what_strangers_write_is_one_error(tmp_path: Path, entry: Any, message: str) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.json", entry)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(tmp_path).samples[0].read_mask()
    assert "a.json" in str(caught.value)


def test_another_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json", imageHeight=20, imageWidth=16)
    paint(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"20 x 16 pixels, the image has 16 x 20.*swapped"):
        load_dataset(tmp_path)
    write(tmp_path / "a.json", imageHeight=None, imageWidth=None)
    assert len(load_dataset(tmp_path).samples) == 1


def test_the_users_classes_and_folders_come_first(tmp_path: Path) -> None:
    paint(tmp_path / "one" / "a.png", tmp_path / "two" / "a.png")
    write(tmp_path / "json" / "a.json", shape("cell"), shape("dust"))
    data = load_dataset(
        tmp_path, layout="labelme", images="two", masks="json", classes="cell=x,dust=void"
    )
    assert data.samples[0].image_path.parent.name == "two"
    assert names(data) == ["background", "x"]
    assert (data.samples[0].read_mask() == 255).sum() == 63
    with pytest.raises(ReadError, match="check 'images'"):
        load_dataset(tmp_path, layout="labelme", images="three")


def test_raster_of_masks_come_first(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png")
    write(tmp_path / "images" / "a.json")
    assert load_dataset(tmp_path).layout == "pairs"
    named = load_dataset(tmp_path, layout="labelme", images="images")
    assert named.samples[0].mask_path.suffix == ".json"


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"version": "5", "shapes": [')
    with pytest.raises(ReadError, match=r"b.json is not JSON: .*truncated"):
        load_dataset(tmp_path)
