from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from pixelwise.errors import BudgetError, DataError, PixelwiseError, ReadError
from pixelwise.images import open_image
from pixelwise.images.zarr_metadata import list_members, read_node


def write(path: Path, zarr_format: Any, changes: dict[str, Any]) -> Path:
    """An array of ones whose metadata are changed afterwards."""
    array = zarr.create_array(
        path, shape=(64, 64), dtype="u1", chunks=(32, 32), zarr_format=zarr_format
    )
    array[...] = 1
    file = path / ("zarr.json" if zarr_format == 3 else ".zarray")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return path


def regular(*sides: object) -> dict[str, Any]:
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(sides)}}}


SHARDS = {"chunk_shape": [8, 8], "codecs": [{"name": "bytes"}], "index_codecs": []}


@pytest.mark.parametrize(
    ("zarr_format", "changes", "error"),
    [
        (2, {"shape": [-1, 4]}, ReadError),
        (2, {"shape": "ab"}, ReadError),
        (2, {"shape": [1] * 40, "chunks": [1] * 40}, ReadError),
        (2, {"shape": [2**40, 2**40]}, ReadError),
        (2, {"chunks": [0, 4]}, ReadError),
        (2, {"chunks": [4]}, ReadError),
        (2, {"chunks": [10**6, 10**7]}, BudgetError),
        (2, {"dtype": "|O"}, DataError),
        (2, {"dtype": 7}, DataError),
        (2, {"filters": {"id": "pickle"}}, ReadError),
        (2, {"filters": ["pickle"]}, DataError),
        (2, {"compressor": {}}, DataError),
        (3, {"node_type": "x"}, ReadError),
        (3, {"zarr_format": 9}, ReadError),
        (3, {"data_type": "string"}, DataError),
        (3, {"data_type": {"name": "numpy.datetime64"}}, DataError),
        (3, regular(10**6, 10**7), BudgetError),
        (3, {"chunk_grid": 1}, ReadError),
        (3, {"codecs": [{"name": "vlen-utf8"}]}, DataError),
        (3, {"codecs": [{"name": "numcodecs.pickle"}]}, DataError),
        (3, {"codecs": [{"name": ["bytes"]}]}, DataError),
        (3, {"codecs": [7]}, ReadError),
        (3, {"storage_transformers": [{"name": "x"}]}, DataError),
        (
            3,
            {
                "codecs": [
                    {
                        "name": "sharding_indexed",
                        "configuration": SHARDS | {"index_codecs": [{"name": "numcodecs.pickle"}]},
                    }
                ]
            },
            DataError,
        ),
        (3, {"attributes": []}, None),
        (3, {"attributes": [1]}, ReadError),
        (3, {"codecs": ["bytes"]}, None),
    ],
    ids=range(27),
)
def test_metadata_of_an_array(
    tmp_path: Path, zarr_format: int, changes: dict[str, Any], error: type[PixelwiseError] | None
) -> None:
    path = write(tmp_path / "a.zarr", zarr_format, changes)
    if error is None:
        assert read_node(path).is_array
        return
    with pytest.raises(error, match=r"a\.zarr") as caught:
        open_image(path)
    assert len(str(caught.value)) < 1000


def test_more_chunks_than_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", 2, {"shape": [4000, 4000], "chunks": [19, 19]})
    with pytest.raises(DataError, match=r"needs 44,521 chunks of \(19, 19\) pixels"):
        open_image(path).read()


def test_an_image_whose_level_lies_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "b.zarr", 3, {})
    image = {"axes": [{"name": x} for x in "yx"], "datasets": [{"path": "../b.zarr"}]}
    zarr.create_group(tmp_path / "a.zarr", attributes={"ome": {"multiscales": [image]}})
    with pytest.raises(ReadError, match=r"a\.zarr is damaged: expected a path inside the folder"):
        open_image(tmp_path / "a.zarr")


def test_members_are_named_without_being_opened(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.zarr")
    write(tmp_path / "a.zarr" / "b", 3, {"codecs": [{"name": "pickle"}]})
    assert list_members(tmp_path / "a.zarr") == ["b"]
