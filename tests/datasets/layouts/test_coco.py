from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.datasets.annotations import coco as coco_files
from pixelwise.datasets.layouts.coco import recognise
from pixelwise.errors import ConfigError, DataError, ReadError
from pixelwise.images import write_picture

SQUARE = [[2.0, 2, 10, 2, 10, 8, 2, 8]]
CATEGORIES = [{"id": 1, "name": "cell", "supercategory": ""}]


def annotate(segmentation: Any = SQUARE, image: Any = 1, category: Any = 1, **more: Any) -> Any:
    return {
        "id": 1,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "bbox": [2, 2, 8, 6],
        **more,
    }


def image(name: str = "a.png", number: Any = 1, height: int = 16, width: int = 20) -> Any:
    return {"id": number, "file_name": name, "height": height, "width": width}


def write(
    path: Path,
    annotations: list[Any],
    images: list[Any] | None = None,
    categories: list[Any] | None = None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [image()] if images is None else images,
        "annotations": annotations,
        "categories": CATEGORIES if categories is None else categories,
    }
    path.write_text(json.dumps(content))


def paint(*paths: Path, height: int = 16, width: int = 20) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, np.zeros((height, width), np.uint8))


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


@pytest.mark.parametrize("name", ["coco", "supervision"])
def test_masks_are_those_that_pycocotools_draws(
    exports: Path, require_truth: Callable[[Dataset, str], None], name: str
) -> None:
    data = load_dataset(exports / name)
    assert data.layout == "coco"
    require_truth(data, name)
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert min(item.share for item in inspection.classes) > 0.01


def test_categories_are_classes_in_the_order_of_their_ids(exports: Path) -> None:
    data = load_dataset(exports / "coco")
    assert names(data) == ["background", "cell", "nucleus"]  # ids 3 and 7, listed the other way
    assert [sample.split for sample in data.samples] == ["train"] * 3
    assert "crowds = void" in data.mapping
    assert "1 of 3 images have no annotation: all background" in str(data.problems[0])


@pytest.mark.parametrize(
    ("json_file", "picture", "file_name", "split"),
    [
        ("annotations.json", "a.png", "a.png", None),
        ("annotations.json", "images/a.png", "a.png", None),
        ("annotations.json", "images/a.png", "images/a.png", None),
        ("annotations.json", "images/a.png", "images\\a.png", None),
        ("annotations.json", "images/a/b/a.png", "a/b/a.png", None),
        ("annotations/instances_default.json", "images/default/a.png", "a.png", None),
        ("annotations/instances_train2017.json", "train2017/a.png", "a.png", "train"),
        ("annotations/instances_val2017.json", "images/val2017/a.png", "a.png", "validation"),
        ("annotations/instances_test.json", "images/test/a.png", "a.png", "test"),
        ("annotations/instances_val.json", "images/a.png", "a.png", "validation"),
        ("train/_annotations.coco.json", "train/a.png", "a.png", "train"),
        ("valid/_annotations.coco.json", "valid/a.png", "a.png", "validation"),
        ("result.json", "images/1f2e-a.png", "images/1f2e-a.png", None),
    ],
)
def test_arrangements(
    tmp_path: Path, json_file: str, picture: str, file_name: str, split: str | None
) -> None:
    write(tmp_path / json_file, [annotate()], [image(file_name)])
    paint(tmp_path / picture)
    data = load_dataset(tmp_path)
    assert data.layout == "coco"
    assert json_file in data.reason
    assert [(s.image_path, s.split) for s in data.samples] == [(tmp_path / picture, split)]
    assert data.samples[0].read_mask().sum() == 48
    assert not data.problems


def test_same_names_in_two_splits_are_not_mixed_up(tmp_path: Path) -> None:
    for split, x in (("train", 0), ("val", 6)):
        outline = [[x, 0, x + 4, 0, x + 4, 4, x, 4]]
        write(tmp_path / "annotations" / f"instances_{split}.json", [annotate(outline)])
        paint(tmp_path / "images" / split / "a.png")
    data = load_dataset(tmp_path)
    assert [(s.split, s.image_path.parent.name) for s in data.samples] == [
        ("train", "train"),
        ("validation", "val"),
    ]
    columns = [int(np.flatnonzero(s.read_mask()[0].any(axis=0))[0]) for s in data.samples]
    assert columns == [0, 6]


def test_an_annotation_file_of_a_split_is_not_paired_with_another_one(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "instances_train.json", [annotate()])
    paint(tmp_path / "images" / "val" / "a.png")
    with pytest.raises(DataError, match=r"lists 'a.png', which is missing"):
        load_dataset(tmp_path)


def test_images_in_two_folders_must_be_named(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", [annotate()])
    paint(tmp_path / "raw" / "a.png", tmp_path / "enhanced" / "a.png")
    with pytest.raises(DataError, match=r"are in .*enhanced and .*raw: name .* 'images'"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, images="raw")
    assert data.samples[0].image_path == tmp_path / "raw" / "a.png"


def test_splits_may_number_their_categories_differently(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "a.png", tmp_path / "valid" / "a.png")
    first = [{"id": 1, "name": "cell"}, {"id": 2, "name": "dust"}]
    second = [{"id": 1, "name": "dust"}, {"id": 5, "name": "cell"}]
    write(tmp_path / "train" / "x.json", [annotate(category=2)], categories=first)
    write(tmp_path / "valid" / "x.json", [annotate(category=1)], categories=second)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell", "dust"]
    assert [int(s.read_mask().max()) for s in data.samples] == [2, 2]


def test_roboflows_first_category_only_groups_the_others(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "a.png")
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "live", "supercategory": "cells"},
        {"id": 2, "name": "dead", "supercategory": "cells"},
    ]
    write(tmp_path / "train" / "_annotations.coco.json", [annotate()], categories=categories)
    assert names(load_dataset(tmp_path)) == ["background", "live", "dead"]
    used = [annotate(), annotate(category=0)]
    write(tmp_path / "train" / "_annotations.coco.json", used, categories=categories)
    assert names(load_dataset(tmp_path)) == ["background", "cells", "live", "dead"]


def test_a_group_of_the_name_of_its_category_is_one_class(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    categories = [
        {"id": 0, "name": "cell", "supercategory": "none"},
        {"id": 1, "name": "cell", "supercategory": "cell"},
    ]
    write(tmp_path / "x.json", [annotate()], categories=categories)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "cell"]
    assert data.samples[0].read_mask().sum() == 48


def test_smaller_objects_lie_on_top_whatever_the_order(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    small = annotate([[4.0, 4, 8, 4, 8, 6, 4, 6]], category=2)
    categories = [*CATEGORIES, {"id": 2, "name": "nucleus"}]
    for order in ([small, annotate()], [annotate(), small]):
        write(tmp_path / "x.json", order, categories=categories)
        mask = load_dataset(tmp_path).samples[0].read_mask()
        assert np.bincount(mask.ravel()).tolist() == [320 - 48, 40, 8]


def test_crowds_and_boxes_are_void_below_everything(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    runs = {"size": [16, 20], "counts": [0, 160, 160]}
    inside = annotate([[1.0, 1, 3, 1, 3, 3, 1, 3]])
    boxed = annotate([], bbox=[12, 2, 4, 3])
    write(tmp_path / "x.json", [inside, annotate(runs, iscrowd=1), boxed])
    data = load_dataset(tmp_path)
    mask = data.samples[0].read_mask()[0]
    assert (mask == 255).sum() == 160 - 4 + 12
    assert (mask == 1).sum() == 4
    assert (mask[2:5, 12:16] == 255).all()
    assert "1 annotations have no outline, their boxes are void" in str(data.problems[0])


def test_parts_without_an_area_are_left_out_and_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate([*SQUARE, [1, 1, 5, 5]])])
    data = load_dataset(tmp_path)
    assert data.samples[0].read_mask().sum() == 48  # pycocotools takes two points for a box
    assert "fewer than three points: left out" in str(data.problems[0])


def test_several_polygons_are_one_object_and_lie_partly_beyond_the_image(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate([*SQUARE, [15, 10, 30, 10, 30, 30, 15, 30]])])
    assert load_dataset(tmp_path).samples[0].read_mask().sum() == 48 + 30


@pytest.mark.parametrize(
    "name", ["../secret.png", "../../secret.png", "a/../../secret.png", "..\\secret.png"]
)
def test_names_never_lead_out_of_the_data_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    paint(tmp_path / "secret.png", root / "a" / "b.png")
    write(root / "x.json", [annotate()], [image(name)])
    with pytest.raises(DataError, match="is outside the data folder and is not read"):
        load_dataset(root)


@pytest.mark.parametrize("name", ["/etc/passwd", "C:\\data\\a.png", "//server/a.png", "a\0.png"])
def test_absolute_names_are_not_read(tmp_path: Path, name: str) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate()], [image(name)])
    with pytest.raises(DataError, match="outside the data folder"):
        load_dataset(tmp_path)


def test_the_absolute_path_of_the_image_itself_is_not_read_either(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate()], [image(str(tmp_path / "a.png"))])
    with pytest.raises(DataError, match="use names relative to the folder of the images"):
        load_dataset(tmp_path)


def test_a_name_that_goes_up_but_stays_inside_is_read(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "x.json", [annotate()], [image("../images/a.png")])
    paint(tmp_path / "images" / "a.png")
    assert len(load_dataset(tmp_path).samples) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (annotate([[1, 2, "3", 4, 5, 6]]), r"annotations\[0\]\.segmentation\[0\]: .* numbers"),
        (annotate([[1, 2, float("nan"), 4, 5, 6]]), "finite coordinates"),
        (annotate([[1, 2, float("inf"), 4, 5, 6]]), "finite coordinates"),
        (annotate([[1, 2, 3, 4, 5, 6, 7]]), "an even count of numbers"),
        (annotate([1, 2, 3, 4, 5, 6]), r"polygons \[\[x, y"),
        (annotate("RLE"), "expected a list"),
        (annotate({"size": [16, 20]}), "run lengths"),
        (annotate({"size": [16], "counts": [320]}), r"\[height, width\]"),
        (annotate({"size": [16, 20], "counts": [1.5]}), "whole numbers"),
        (annotate({"size": [16, 20], "counts": [10**30]}), "run lengths that fit"),
        (annotate({"size": [16, 20], "counts": "é"}), "compressed runs"),
        (annotate({"size": [16, 20], "counts": [100]}), "cover 100 pixels"),
        (annotate({"size": [16, 20], "counts": "!!"}), "contain invalid characters"),
        (annotate({"size": [16, 20], "counts": "PPPPPPPPPPPPP0"}), "more than 32 bits"),
        (annotate({"size": [20, 16], "counts": [320]}), "the sides are swapped"),
        (annotate([[0, 0, 9e5, 0, 9e5, 9e5]]), "far outside the image"),
        (annotate([[0.1, 0.2, 0.9, 0.2, 0.9, 0.8]]), "between 0 and 1; expected pixels"),
        (annotate([[0, 0, 20, 15] * 200_000]), "outline is .* px long"),
        (annotate(category=9), "one of the categories"),
        (annotate(image=[1]), "an id"),
        (annotate(iscrowd=2), "0 or 1"),
        (annotate([], bbox=[1, 2, 3]), "a box"),
        (annotate([], bbox=[1, 2, -3, 4]), "a box"),
    ],
)
def test_what_strangers_write_is_one_error(tmp_path: Path, entry: Any, message: str) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [entry])
    with pytest.raises((DataError, ReadError), match=message) as caught:
        load_dataset(tmp_path).samples[0].read_mask()
    assert "x.json" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": [image(), image("b.png")]}, "the id 1 is given to two images"),
        ({"images": [image(), image(number=2)]}, "is listed 2 times"),
        ({"images": [image(number=None)]}, "an id"),
        ({"images": [image(3)]}, r"images\[0\]\.file_name: expected a text"),  # type: ignore[arg-type]
        ({"images": [image(height=0)]}, "whole number of pixels"),
        ({"categories": [CATEGORIES[0], CATEGORIES[0]]}, "given to two categories"),
        ({"categories": [{"id": 1, "name": ""}]}, "a text"),
        ({"categories": []}, "one of the categories"),
    ],
)
def test_lists_that_contradict_themselves(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "x.json", [annotate()], **fields)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize(("height", "width", "swapped"), [(20, 16, True), (8, 10, False)])
def test_another_size_is_refused(tmp_path: Path, height: int, width: int, swapped: bool) -> None:
    paint(tmp_path / "a.png", height=height, width=width)
    write(tmp_path / "x.json", [annotate()])
    with pytest.raises(DataError, match=rf"16 x 20 pixels, the image has {height} x {width}") as e:
        load_dataset(tmp_path)
    assert ("sides are swapped" in str(e.value)) == swapped


def test_stacks_are_refused(tmp_path: Path) -> None:
    from pixelwise.images import write_tiff

    write_tiff(tmp_path / "a.tif", np.zeros((3, 16, 20), np.uint8), axes="ZYX")
    write(tmp_path / "x.json", [annotate()], [image("a.tif")])
    with pytest.raises(DataError, match="outlines for one plane, its image has 3 planes"):
        load_dataset(tmp_path)


def test_what_is_missing_on_either_side_is_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "unlisted.png")
    write(
        tmp_path / "x.json",
        [annotate(), annotate(image=7)],
        [image(), image("gone.png", 2)],
    )
    text = "\n".join(map(str, load_dataset(tmp_path).problems))
    assert "lists 'gone.png', which is missing; left out" in text
    assert "unlisted.png is not listed in x.json; left out" in text
    assert "1 annotations are of images that the file does not list" in text


def test_boxes_alone_teach_nothing(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate([])])
    inspection = inspect_dataset(load_dataset(tmp_path))
    assert not inspection.sound
    assert "no class but background or void" in inspection.text()


def test_the_users_classes_come_first(exports: Path) -> None:
    data = load_dataset(exports / "coco", classes="nucleus=core,*=background")
    assert names(data) == ["background", "core"]
    full = load_dataset(exports / "coco")
    for sample, other in zip(data.samples, full.samples, strict=True):
        assert np.array_equal(sample.read_mask() == 1, other.read_mask() == 2)
    with pytest.raises(ConfigError, match="does not name 1 of the exported classes: cell"):
        load_dataset(exports / "coco", classes="nucleus=core")
    sparse = load_dataset(exports / "coco", sparse=True)
    assert names(sparse) == ["cell", "nucleus"]
    assert (sparse.samples[0].read_mask() == 255).any()


def test_a_validation_folder_is_read_by_the_same_names(tmp_path: Path) -> None:
    for folder, ids in (("one", (1, 2)), ("two", (2, 1))):
        paint(tmp_path / folder / "a.png")
        categories = [{"id": n, "name": name} for n, name in zip(ids, ("x", "y"), strict=True)]
        write(tmp_path / folder / "x.json", [annotate(category=ids[1])], categories=categories)
    with pytest.raises(DataError, match="expected the same, in the same order"):
        load_dataset(tmp_path / "one", validation=tmp_path / "two")
    data = load_dataset(tmp_path / "one", validation=tmp_path / "two", classes="x=a,y=b")
    assert [int(sample.read_mask().max()) for sample in data.samples] == [2, 2]


def test_the_json_file_can_be_named(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "first.json", [annotate()])
    write(tmp_path / "second.json", [annotate([[0, 0, 4, 0, 4, 4, 0, 4]])])
    with pytest.raises(DataError, match=r"listed 2 times, in .*first.json and .*second.json"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, layout="coco", masks="second.json")
    assert data.samples[0].read_mask().sum() == 16
    with pytest.raises(ReadError, match="check 'masks'"):
        load_dataset(tmp_path, layout="coco", masks="third.json")


def test_files_of_other_tasks_are_left_alone(tmp_path: Path) -> None:
    paint(tmp_path / "train2017" / "a.png")
    write(tmp_path / "annotations" / "instances_train2017.json", [annotate()])
    for task in ("captions", "person_keypoints"):
        write(tmp_path / "annotations" / f"{task}_train2017.json", [annotate()])
    assert len(load_dataset(tmp_path).samples) == 1


def test_captions_are_no_masks(tmp_path: Path) -> None:
    paint(tmp_path / "train2017" / "a.png")
    path = tmp_path / "annotations" / "captions_train2017.json"
    path.parent.mkdir()
    caption = {"id": 1, "image_id": 1, "caption": "a cell"}
    path.write_text(json.dumps({"images": [image()], "annotations": [caption]}))
    with pytest.raises(DataError, match="expected a COCO file of instances"):
        load_dataset(tmp_path)


def test_raster_of_masks_come_first(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png")
    write(tmp_path / "annotations.json", [annotate()])
    assert load_dataset(tmp_path).layout == "pairs"
    named = load_dataset(tmp_path, layout="coco", images="images")
    assert named.samples[0].mask_path.suffix == ".json"


@pytest.mark.parametrize("content", ["{}", "[]", '{"images": 3}', "no JSON", ""])
def test_other_json_is_not_taken_for_annotations(tmp_path: Path, content: str) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "settings.json").write_text(content)
    assert recognise(tmp_path) is None


def test_a_file_is_parsed_once_for_all_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 300
    paint(*(tmp_path / f"{n}.png" for n in range(count)))
    images = [image(f"{n}.png", n) for n in range(count)]
    write(tmp_path / "x.json", [annotate(image=n) for n in range(count)], images)
    parsed = []
    original = coco_files.read_json
    monkeypatch.setattr(coco_files, "read_json", lambda p: (parsed.append(p), original(p))[1])
    data = load_dataset(tmp_path)
    for sample in data.samples:
        assert sample.read_mask().sum() == 48
    assert len(parsed) == 1
    assert len(pickle.dumps(data.samples[0].mask)) < 1000
    copy = pickle.loads(pickle.dumps(data.samples[0]))
    assert copy.read_mask().sum() == 48


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "x.json", [annotate()])
    data = load_dataset(tmp_path)
    write(tmp_path / "x.json", [annotate([[0, 0, 4, 0, 4, 4, 0, 4]])])
    assert data.samples[0].read_mask().sum() == 16
    write(tmp_path / "x.json", [], [image(number=3)])
    with pytest.raises(DataError, match="no longer lists the image 1"):
        data.samples[0].read_mask()
    shutil.rmtree(tmp_path)
    with pytest.raises(ReadError, match="Cannot read the annotation"):
        data.samples[0].read_mask()
