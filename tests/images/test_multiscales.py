from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.axes import Calibration
from pixelwise.classes import create_classes
from pixelwise.errors import DataError
from pixelwise.images.multiscales import (
    create_multiscales,
    describe_channels,
    describe_labels,
    parse_dimension_names,
    parse_multiscale,
)

SIZES = st.floats(1e-3, 1e3)


@given(
    axes=st.sets(st.sampled_from("TZC")).map(lambda kept: "".join(sorted(kept, reverse=True))),
    data=st.data(),
)
def test_what_is_written_is_read_back(axes: str, data: st.DataObject) -> None:
    axes = "".join(letter for letter in "TCZYX" if letter in axes + "YX")
    units = [st.sampled_from(["second", None] if x == "T" else ["nm", "µm", None]) for x in axes]
    count = len(axes)
    calibration = Calibration.create(
        data.draw(st.lists(SIZES, min_size=count, max_size=count)),
        [data.draw(unit) for unit in units],
        data.draw(st.lists(SIZES, min_size=count, max_size=count)),
    )
    ome = create_multiscales(axes, [1, 2, 4], name="a", calibration=calibration)
    found = parse_multiscale(json.loads(json.dumps({"ome": ome})))
    assert found is not None
    assert (found.path, found.letters, found.version) == ("0", axes, "0.5")
    assert found.calibration == calibration


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (None, "TCZYX"),
        (["z", "y", "x"], "ZYX"),
        ([{"name": "time", "type": "time"}, {"name": "y"}, {"name": "x"}], "TYX"),
        ([{"name": "stain", "type": "channel"}, {"name": "Y"}, {"name": "X"}], "CYX"),
        ([{"name": "a", "type": "space"}, {"name": "y"}, {"name": "x"}], None),
        ([{"name": "y"}, {"name": "y"}, {"name": "x"}], None),
        ("tczyx" * 10**7, None),
    ],
    ids=["0.1", "0.3", "time by type", "channel by type", "unknown", "twice", "millions"],
)
def test_axes_of_all_versions(axes: Any, expected: str | None) -> None:
    image = {"datasets": [{"path": "s0"}]} | ({} if axes is None else {"axes": axes})
    found = parse_multiscale({"multiscales": [image]})
    assert found is not None
    assert (found.path, found.letters, found.calibration) == ("s0", expected, None)
    assert len(found.names) < 20


def parse_steps(*steps: dict[str, Any], outer: Any = ()) -> Calibration | None:
    level = {"path": "0", "coordinateTransformations": list(steps)}
    image = {
        "axes": ["y", "x"],
        "datasets": [level],
        "coordinateTransformations": list(outer),
    }
    found = parse_multiscale({"multiscales": [image]})
    assert found is not None
    return found.calibration


def test_transforms_of_the_level_come_before_those_of_the_image() -> None:
    found = parse_steps(
        {"type": "scale", "scale": [2, 3]},
        {"type": "translation", "translation": [1, 1]},
        outer=[{"type": "scale", "scale": [10, 100]}],
    )
    assert found == Calibration.create([20, 300], None, [10, 100])


@pytest.mark.parametrize(
    "step",
    [
        {"type": "scale", "scale": [1, 2, 3]},
        {"type": "scale", "scale": [0, 1]},
        {"type": "scale", "path": "somewhere"},
        {"type": "rotation", "rotation": [1]},
    ],
    ids=["too many", "zero", "in a file", "rotation"],
)
def test_transforms_that_cannot_be_used_are_left_out(step: dict[str, Any]) -> None:
    assert parse_steps(step) is None


@pytest.mark.parametrize("attributes", [{}, {"ome": {}}, {"multiscales": []}, {"ome": 3}])
def test_what_describes_no_image(attributes: dict[str, Any]) -> None:
    assert parse_multiscale(attributes) is None


def test_metadata_without_levels_are_refused() -> None:
    with pytest.raises(DataError, match="incomplete"):
        parse_multiscale({"multiscales": [{"axes": ["y", "x"]}]})


def test_dimension_names() -> None:
    assert parse_dimension_names(("t", "c", "Y", "X")) == "TCYX"
    assert parse_dimension_names(("row", "column")) is None
    assert parse_dimension_names(None) is None


def test_classes_are_described_by_value() -> None:
    classes = create_classes(["none", "cell"], ["#000000", "#102030"])
    labels = describe_labels(classes)["image-label"]
    assert labels["colors"][1] == {"label-value": 1, "rgba": [16, 32, 48, 255]}
    assert labels["colors"][0]["rgba"] == [0, 0, 0, 0]
    assert labels["properties"][1] == {"label-value": 1, "class": "cell"}
    channels = describe_channels(classes)["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["none", "cell"]
    assert channels[1]["color"] == "102030"
