from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelwise.datasets.annotations.json_files import JsonNode, read_json
from pixelwise.errors import DataError, ReadError


def node(value: object) -> JsonNode:
    return JsonNode({"a": [value]}, Path("x.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the annotation .*No such file"),
        (b"", "is not JSON.*Is it truncated"),
        (b'{"a": [1, 2', "is not JSON"),
        (b'{"a": 1}\xff', "is not UTF-8 text"),
        (b"[" * 100_000, "nested thousands of levels deep"),
        (b'{"a": ' * 100_000, "nested thousands of levels deep"),
        (b"9" * 10_000, "is not JSON"),
    ],
    ids=["missing", "empty", "cut-off", "bytes", "deep-list", "deep-object", "long-number"],
)
def test_what_is_no_json(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="Cannot read the annotation"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json")["a"].number() == 1


def test_a_file_too_large_to_be_parsed(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ReadError, match=r"has 1 GiB; at most 1 GiB"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("value", "method", "message"),
    [
        ("1", "number", "expected a number, found '1'"),
        (True, "number", "expected a number"),
        (float("nan"), "number", "between"),
        (1e999, "number", "between"),
        (10**400, "number", "between"),
        (0, "size", "whole number of pixels"),
        (2.5, "size", "whole number of pixels"),
        (1.5, "identity", "an id"),
        ([1], "identity", "an id"),
        (7, "text", "a text"),
        ("  ", "text", "a text"),
        ("x" * 200, "number", r"x\.\.\.\.$"),
        ([1, "2"], "flat_points", "numbers"),
        ([1, None], "flat_points", "numbers"),
        ([True, False], "flat_points", "numbers"),
        ([1, 2, 3], "flat_points", "even count"),
        ([1, [2]], "flat_points", "numbers"),
        ([1, float("inf")], "flat_points", "finite"),
        ([1, float("nan")], "flat_points", "finite"),
        ([1, 1e9], "flat_points", "finite coordinates up to 1e\\+06"),
        ([1, 10**30], "flat_points", "numbers"),
        ({}, "flat_points", "numbers"),
        ({"x": 1}, "identity", "an id"),
    ],
)
def test_what_is_not_expected_is_named_with_its_place(
    value: object, method: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        getattr(next(iter(node(value)["a"])), method)()
    assert str(caught.value).startswith("x.json, a[0]: expected")


@pytest.mark.parametrize("value", [[], [[1, 2]], [[1, 2], [3]], [1, 2], [[1, 2, 3, 4]] * 3, None])
def test_points(value: object) -> None:
    with pytest.raises(DataError, match=r"point|numbers"):
        next(iter(node(value)["a"])).points(least=3)


def test_points_may_have_a_height() -> None:
    found = next(iter(node([[1, 2, 9], [3, 4, 9]])["a"])).points(least=2)
    assert found.tolist() == [[1, 2], [3, 4]]


def test_lists_and_objects_are_not_mixed_up() -> None:
    with pytest.raises(DataError, match="expected an object with keys"):
        JsonNode([], Path("x.json"))["a"]
    with pytest.raises(DataError, match="expected a list"):
        list(node(1)["a"].path and JsonNode({}, Path("x.json"), "a"))


def test_every_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"images": {}}))
    with pytest.raises(DataError, match=r"a\.json, images: expected a list"):
        list(read_json(tmp_path / "a.json")["images"])
