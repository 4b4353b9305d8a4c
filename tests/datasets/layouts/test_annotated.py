from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.annotated import find_split_word, iter_tree, resolve_inside
from pixelwise.errors import PixelwiseError
from pixelwise.images import write_picture

SQUARE = [[2, 2], [20, 2], [20, 20], [2, 20], [2, 2]]
FILES: dict[str, tuple[str, Any]] = {
    "coco": (
        "a.json",
        {
            "images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32}],
            "categories": [{"id": 1, "name": "x", "supercategory": "y"}, {"id": 2, "name": "y"}],
            "annotations": [
                {"image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]},
                {
                    "image_id": 1,
                    "category_id": 2,
                    "iscrowd": 1,
                    "segmentation": {"size": [24, 32], "counts": [5, 9, 754]},
                },
                {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "segmentation": []},
            ],
        },
    ),
    "labelme": (
        "a.json",
        {
            "version": "5",
            "shapes": [
                {"label": "x", "shape_type": "polygon", "points": SQUARE},
                {"label": "y", "shape_type": "circle", "points": SQUARE[:2]},
                {"label": "y", "shape_type": "rectangle", "points": SQUARE[1:3]},
            ],
            "imagePath": "a.png",
            "imageHeight": 24,
            "imageWidth": 32,
        },
    ),
    "qupath": (
        "a.geojson",
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {"type": kind, "coordinates": rings, "plane": {"z": 0}},
                    "properties": {"classification": {"name": "x", "color": [1, 2, 3]}},
                }
                for kind, rings in (("Polygon", [SQUARE]), ("MultiPolygon", [[SQUARE], [SQUARE]]))
            ],
        },
    ),
}
STRANGE = (
    *(None, True, 0, 1, -1, 2**70, 1e300, float("nan"), float("inf"), -1e6, 1e6, "", "x", "1"),
    *("../../x.png", "/etc/passwd", [], {}, [[]], [[[]]], {"a": 1}, [1, 2, 3], [[1, 2]], "é\0"),
)


def iter_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, dict | list):
            yield from iter_places(item, (*place, key))


def distort(value: Any, rng: random.Random) -> Any:
    """Put something strange in one or two places of a JSON value, or take something out."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2))):
        *above, last = rng.choice(list(iter_places(value)))
        owner = value
        for key in above:
            owner = owner[key]
        if rng.random() < 0.2:
            del owner[last]
        else:
            owner[last] = copy.deepcopy(rng.choice(STRANGE))
    return value


def read_all(folder: Path, layout: str) -> bool:
    """Whether a data set can be read; anything but this project's errors is raised."""
    try:
        for sample in load_dataset(folder, layout=layout).samples:
            mask = sample.read_mask()
            assert mask.shape == (1, 24, 32)
            assert set(np.unique(mask)) <= {0, 1, 2, 3, 255}
    except PixelwiseError:
        return False
    return True


@pytest.mark.parametrize("times", [60, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layout", FILES)
def test_whatever_a_file_holds_the_answer_is_pixels_or_one_error(
    tmp_path: Path, layout: str, times: int
) -> None:
    name, content = FILES[layout]
    write_picture(tmp_path / "a.png", np.zeros((24, 32), np.uint8))
    (tmp_path / name).write_text(json.dumps(content))
    assert read_all(tmp_path, layout)
    rng = random.Random(7)
    results = []
    for _ in range(times):
        (tmp_path / name).write_text(json.dumps(distort(content, rng)))
        results.append(read_all(tmp_path, layout))
    assert {True, False} == set(results)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "root/base/a.png"),
        ("sub/a.png", "root/base/sub/a.png"),
        ("sub\\a.png", "root/base/sub/a.png"),
        ("../a.png", "root/a.png"),
        ("../../a.png", None),
        ("sub/../../../a.png", None),
        ("/a.png", None),
        ("\\a.png", None),
        ("C:\\a.png", None),
        ("C:a.png", None),
        ("a\0.png", None),
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_names_are_looked_up_inside_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    expected: str | None,
    absolute: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root" if absolute else Path("root")
    found = resolve_inside(root, root / "base", name)
    assert found == (None if expected is None else root.parent / expected)


def test_the_current_folder_is_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_inside(Path(), Path(), "../a.png") is None
    assert resolve_inside(Path(), Path("b"), "../a.png") == Path("a.png")


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("instances_train2017", "train"),
        ("instances_val2017", "validation"),
        ("test-dev", None),
        ("valid", "validation"),
        ("training_data", "train"),
        ("constraints", None),
        ("annotations", None),
    ],
)
def test_splits_in_names_of_files(stem: str, split: str | None) -> None:
    assert find_split_word(stem) == split


def test_a_tree_ends_somewhere_and_a_zarr_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "x.zarr" / "0").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in iter_tree(tmp_path)]
    assert found == [".", "a", "a/b", "a/b/c"]
