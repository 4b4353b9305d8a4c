"""Files written by hand after QuPath's documentation: there is no Python library of QuPath."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError, ReadError
from pixelwise.images import write_picture, write_tiff


def ring(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(
    name: str | None = "Tumor",
    rings: Any = None,
    kind: str = "Polygon",
    *,
    classification: Any = None,
    **more: Any,
) -> dict[str, Any]:
    rings = [ring(2, 3, 12, 9)] if rings is None else rings
    properties: dict[str, Any] = {"objectType": "annotation", "isLocked": False}
    if name is not None or classification is not None:
        properties["classification"] = classification or {"name": name, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "7f1e6fd6-0d1f-4a0c-8b5a-000000000000",
        "geometry": {"type": kind, "coordinates": rings} | more.pop("geometry", {}),
        "properties": properties,
    } | more


def write(path: Path, *features: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))


def paint(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, np.zeros((16, 20), np.uint8))


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def read(tmp_path: Path, *features: Any) -> np.ndarray:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.geojson", *features)
    return load_dataset(tmp_path).samples[0].read_mask()[0]


def test_a_rectangle_holds_the_pixels_between_its_sides(tmp_path: Path) -> None:
    expected = np.zeros((16, 20), np.uint8)
    expected[3:9, 2:12] = 1  # a rectangle from 2 to 12 is 10 pixels wide
    assert np.array_equal(read(tmp_path, feature()), expected)


def test_holes_and_several_parts(tmp_path: Path) -> None:
    hole = [ring(0, 0, 10, 10), ring(2, 2, 6, 6)]
    mask = read(tmp_path, feature(rings=hole))
    assert mask.sum() == 100 - 16
    assert not mask[2:6, 2:6].any()
    parts = [[ring(0, 0, 10, 10), ring(2, 2, 6, 6)], [ring(3, 3, 5, 5)], [ring(12, 0, 14, 2)]]
    mask = read(tmp_path, feature(rings=parts, kind="MultiPolygon"))
    assert mask.sum() == 84 + 4 + 4  # an island in the hole
    overlapping = [[ring(0, 0, 4, 4)], [ring(2, 2, 6, 6)]]
    assert read(tmp_path, feature(rings=overlapping, kind="MultiPolygon")).sum() == 28


def test_smaller_objects_lie_on_top_whatever_the_order(tmp_path: Path) -> None:
    tissue = feature("Stroma", [ring(0, 0, 20, 16)])
    cell = feature("Tumor", [ring(4, 4, 8, 8)])
    for order in ((tissue, cell), (cell, tissue)):
        assert np.bincount(read(tmp_path, *order).ravel()).tolist() == [0, 320 - 16, 16]


@pytest.mark.parametrize(
    ("classification", "name", "color"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor", "#c80000"),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor", "#c80000"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive", "#010203"),
        ({"name": "Tumor", "color": ["x"]}, "Tumor", "#e69f00"),
        ({"name": "Tumor", "color": [300, 0, 0]}, "Tumor", "#e69f00"),
        ("Tumor", "Tumor", "#e69f00"),
    ],
)
def test_classes_of_all_versions(
    tmp_path: Path, classification: Any, name: str, color: str
) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.geojson", feature(classification=classification))
    data = load_dataset(tmp_path)
    assert (data.classes[1].name, data.classes[1].color) == (name, color)


def test_objects_without_a_class(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.geojson", feature(None, [ring(0, 0, 20, 16)]), feature("Tumor"))
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "Tumor", "unclassified"]
    assert "objects without a class" in str(data.problems[0])
    data = load_dataset(tmp_path, classes="Tumor=tumor,unclassified=background")
    assert names(data) == ["background", "tumor"]
    assert data.samples[0].read_mask().sum() == 60


def test_what_only_marks_where_to_train_or_to_ignore(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    region = feature("Region*", [ring(0, 0, 20, 16)])
    ignored = feature("Ignore*", [ring(14, 10, 16, 12)])
    write(tmp_path / "a.geojson", region, feature(), ignored)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "Tumor"]
    mask = data.samples[0].read_mask()
    assert ((mask == 1).sum(), (mask == 255).sum()) == (60, 4)
    assert "1 regions of the class Region* only mark where to train" in str(data.problems[0])


def test_points_lines_and_nuclei_are_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    cell = feature(nucleusGeometry={"type": "Polygon", "coordinates": [ring(5, 5, 7, 7)]})
    point = feature(rings=[1, 1], kind="Point")
    line = feature(rings=[[1, 1], [2, 2]], kind="LineString")
    write(tmp_path / "a.geojson", cell, point, line, feature() | {"geometry": None})
    data = load_dataset(tmp_path)
    assert data.samples[0].read_mask().sum() == 60
    text = "\n".join(map(str, data.problems))
    assert "2 points and lines have no area" in text
    assert "1 cells have a nucleus of their own, which is not drawn" in text
    assert "1 objects have no outline" in text


@pytest.mark.parametrize(
    ("annotation", "image"),
    [
        ("a.geojson", "a.png"),
        ("a.png.geojson", "a.png"),
        ("geojson/a.geojson", "a.png"),
        ("geojson/a.geojson", "images/a.png"),
        ("a.json", "a.png"),
        ("train/a.geojson", "train/a.png"),
        ("geojson/train/a.geojson", "images/train/a.png"),
        ("a.GEOJSON", "a.png"),
    ],
)
def test_arrangements(tmp_path: Path, annotation: str, image: str) -> None:
    paint(tmp_path / image)
    write(tmp_path / annotation, feature())
    data = load_dataset(tmp_path)
    assert data.layout == "qupath"
    assert data.samples[0].mask_path == tmp_path / annotation
    assert data.samples[0].split == ("train" if "train" in image else None)
    assert not data.problems


@pytest.mark.parametrize("name", ["slide.ome.tif.geojson", "slide.ome.geojson", "slide.geojson"])
def test_names_with_two_suffixes(tmp_path: Path, name: str) -> None:
    write_tiff(tmp_path / "slide.ome.tif", np.zeros((16, 20), np.uint8), axes="YX")
    write(tmp_path / name, feature())
    assert len(load_dataset(tmp_path).samples) == 1


@pytest.mark.parametrize("wrap", [lambda f: [f], lambda f: f], ids=["list", "one"])
def test_exports_without_a_collection(tmp_path: Path, wrap: Any) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "a.geojson").write_text(json.dumps(wrap(feature())))
    assert load_dataset(tmp_path).samples[0].read_mask().sum() == 60


def test_two_images_of_one_annotation_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "a.bmp")
    write(tmp_path / "a.geojson", feature())
    with pytest.raises(DataError, match="fits 2 images"):
        load_dataset(tmp_path)


def test_what_is_left_over_is_said(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "a.geojson", feature())
    write(tmp_path / "c.geojson", feature("Other"))
    (tmp_path / "d.geojson.gz").write_bytes(b"\x1f\x8b")
    data = load_dataset(tmp_path)
    text = "\n".join(map(str, data.problems))
    assert "b.png has no annotation of its name; left out" in text
    assert "c.geojson has no image of its name; left out" in text
    assert "d.geojson.gz is compressed; unpack it first" in text
    assert names(data) == ["background", "Tumor"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (feature(rings=[[[1, 1], [2, 2]]]), "at least 4 points"),
        (feature(rings=[[[1, 1], [2, "2"], [3, 3], [1, 1]]]), "points"),
        (feature(rings=[[[1, 1], [2, float("inf")], [3, 3], [1, 1]]]), "finite"),
        (feature(rings=[]), "at least one ring"),
        (feature(rings=None, kind="GeometryCollection"), "Polygon or MultiPolygon"),
        (feature(rings=[ring(100, 100, 120, 120)]), "is outside the image of 16 x 20"),
        (feature(rings=[ring(100, 2, 120, 9)]), "is outside the image of 16 x 20"),
        (feature(rings=[ring(2, -9, 12, -1)]), "is outside the image of 16 x 20"),
        (feature(rings=[ring(0.1, 0.1, 0.9, 0.9)]), "between 0 and 1"),
        (feature(geometry={"plane": {"c": -1, "z": 3, "t": 0}}), "outlines of stacks are not read"),
        (feature(classification={"name": 3}), "expected a text"),
        ({"type": "Feature"}, "no class|at least two classes"),
        (3, "an object with keys"),
    ],
)
def test_what_strangers_write_is_one_error(tmp_path: Path, entry: Any, message: str) -> None:
    paint(tmp_path / "a.png")
    write(tmp_path / "a.geojson", entry)
    with pytest.raises(DataError, match=message):
        inspection = inspect_dataset(load_dataset(tmp_path))
        raise DataError(inspection.text())


def test_plane_0_is_the_plane(tmp_path: Path) -> None:
    plane = {"plane": {"c": -1, "z": 0, "t": 0}}
    assert read(tmp_path, feature(geometry=plane)).sum() == 60


def test_stacks_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((3, 16, 20), np.uint8), axes="ZYX")
    write(tmp_path / "a.geojson", feature())
    with pytest.raises(DataError, match="its image has 3 planes"):
        load_dataset(tmp_path)


def test_a_packed_file_is_no_geojson(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(ReadError, match="is not JSON"):
        load_dataset(tmp_path)


def test_the_whole_is_inspected(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "a.geojson", feature("Tumor"))
    write(tmp_path / "b.geojson", feature("Stroma"))
    inspection = inspect_dataset(load_dataset(tmp_path))
    assert inspection.sound
    assert [(c.name, c.pixels, c.images) for c in inspection.classes] == [
        ("background", 520, 2),
        ("Stroma", 60, 1),
        ("Tumor", 60, 1),
    ]
