from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.mapping import (
    ClassMap,
    MaskValueError,
    create_instance_scheme,
    create_named_scheme,
    create_scheme,
    is_grey,
    pack_colors,
    parse_value,
)
from pixelwise.errors import ConfigError, DataError


def config(**fields: object) -> DataConfig:
    return DataConfig.create(path="data", **fields)


def planes(values: object, dtype: str = "uint8") -> np.ndarray:
    return np.array(values, dtype)[None, None]


@given(
    raw=hnp.arrays(
        st.sampled_from(["u1", "u2", "i4", "u4"]), (2, 1, 4, 5), elements=st.integers(0, 250)
    ),
    table=st.dictionaries(st.integers(0, 250), st.integers(0, 9), min_size=1, max_size=40),
    far=st.booleans(),
)
def test_apply_is_a_lookup(raw: np.ndarray, table: dict[int, int], far: bool) -> None:
    if far and raw.dtype.itemsize == 4:  # leaves the lookup table for the binary search
        raw[0, 0, 0, 0] = 2_000_000_000
    found = ClassMap(tuple(table.items()), rest=VOID).apply(raw)
    expected = [table.get(int(value), VOID) for value in raw.ravel()]
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == expected


def test_unknown_values_are_counted() -> None:
    raw = planes([[0, 7, 7], [255, 7, 9]])
    message = r"7 \(3 pixels\), 9 \(1 pixels\)\. .*--classes 0=out,255=in,7=void,9=void;"
    with pytest.raises(MaskValueError, match=message):
        ClassMap(((0, 0), (255, 1)), names=("out", "in")).apply(raw)


def test_unknown_values_far_apart() -> None:
    raw = planes([[0, 70_000, 4_000_000_000]], "uint32")
    with pytest.raises(MaskValueError, match=r"70000 \(1 pixels\), 4000000000 \(1 pixels\)"):
        ClassMap(((0, 0),)).apply(raw)


def test_negative_values() -> None:
    assert ClassMap(((-1, VOID), (0, 0), (3, 1))).apply(planes([[-1, 0, 3]], "int16")).tolist() == [
        [[VOID, 0, 1]]
    ]


def test_whole_floats_count_and_others_do_not() -> None:
    class_map = ClassMap(((0, 0), (1, 1)))
    assert class_map.apply(planes([[0.0, 1.0]], "float32")).tolist() == [[[0, 1]]]
    with pytest.raises(DataError, match=r"2 pixels .* float32 .* e\.g\. 0\.5"):
        class_map.apply(planes([[0.5, np.nan, 1.0]], "float32"))


def test_grey_repeated_over_channels() -> None:
    raw = np.repeat(planes([[0, 1], [1, 0]]), 3, axis=1)
    assert is_grey(raw)
    assert ClassMap(((0, 0), (1, 1))).apply(raw).tolist() == [[[0, 1], [1, 0]]]


def test_colours_for_a_map_of_values_are_refused() -> None:
    raw = np.zeros((1, 3, 2, 2), np.uint8)
    raw[:, 0] = 255
    with pytest.raises(DataError, match=r"different channels.*--classes '#ff0000=name 1'"):
        ClassMap(((0, 0),)).apply(raw)


def test_pack_colors() -> None:
    raw = np.array([0x12, 0xAB, 0xFF], np.uint8).reshape(1, 3, 1, 1)
    assert pack_colors(raw).item() == 0x12ABFF
    assert pack_colors(np.full((1, 1, 1, 1), 0x10, np.uint8)).item() == 0x101010
    with pytest.raises(DataError, match="three 8-bit channels"):
        pack_colors(raw.astype(np.uint16))


def test_names_are_numbered_as_they_appear_and_merge() -> None:
    scheme = create_named_scheme({"5": "b", "0": "a", "7": "b", "9": "void"}, "as given")
    assert [item.name for item in scheme.classes] == ["b", "a"]
    assert scheme.class_map.apply(planes([[5, 0, 7, 9]])).tolist() == [[[0, 1, 0, VOID]]]
    assert scheme.words == "as given: 5 = b, 0 = a, 7 = b, 9 = void"


def test_colours_as_keys_colour_their_classes() -> None:
    scheme = create_scheme(config(classes="#000000=background,#FF0000=cell,#00ff00=void"))
    assert scheme is not None
    assert [item.color for item in scheme.classes] == ["#000000", "#FF0000"]
    raw = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8).T.reshape(1, 3, 1, 3)
    assert scheme.class_map.apply(raw).tolist() == [[[0, 1, VOID]]]


def test_auto_asks_the_masks() -> None:
    assert create_scheme(config()) is None


def test_instances_and_void() -> None:
    scheme = create_scheme(config(classes="instances", void="65535"))
    assert scheme is not None
    raw = planes([[0, 1, 4000, 65535]], "uint16")
    assert scheme.class_map.apply(raw).tolist() == [[[0, 1, 1, VOID]]]
    assert "65535 = void" in scheme.words


def test_sparse_frees_zero() -> None:
    scheme = create_scheme(config(classes="1=background,2=cell", sparse=True))
    assert scheme is not None
    assert scheme.background == 0
    assert scheme.class_map.apply(planes([[0, 1, 2]])).tolist() == [[[VOID, 0, 1]]]


def test_sparse_without_a_class_of_that_name_has_no_background() -> None:
    scheme = create_scheme(config(classes="1=sky,2=cell", sparse=True))
    assert scheme is not None
    assert scheme.background is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": "0=a,#ffffff=b"}, "mixes colours and numbers"),
        ({"classes": "0=a,x=b"}, "whole number or a colour"),
        ({"classes": "0=a,1.5=b"}, "whole number or a colour"),
        ({"classes": "0=a,inf=b"}, "whole number or a colour"),
        ({"classes": "#12345=a,#000000=b"}, "whole number or a colour"),
        ({"classes": "0=a,1=a"}, "2 to 255 classes, got 1"),
        (
            {"classes": "0=a,1=b", "sparse": True},
            "0 means 'not annotated', but classes names it 'a'",
        ),
        ({"classes": "instances", "sparse": True}, "give one of them"),
        ({"classes": "0=a,1=b", "void": (0.5,)}, "whole number"),
    ],
)
def test_settings_that_cannot_work(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_scheme(config(**fields))


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("-1", -1), ("7.0", 7), ("#00ff10", 0x00FF10), ("1e2", 100)]
)
def test_parse_value(text: str, value: int) -> None:
    assert parse_value(text) == value


def test_ignore_overrides_a_class() -> None:
    scheme = create_instance_scheme("merged").ignore((3.0,))
    assert scheme.class_map.apply(planes([[0, 3, 4]])).tolist() == [[[0, VOID, 1]]]
    assert create_instance_scheme("merged").ignore(()) == create_instance_scheme("merged")


def test_large_values_are_ignored_to_the_last_digit() -> None:
    scheme = create_instance_scheme("").ignore([4294967295.0])
    raw = planes([[0, 7, 4_294_967_295, 4_294_967_294]], "uint32")
    assert scheme.class_map.apply(raw).ravel().tolist() == [0, 1, VOID, 1]


def test_ranges_of_values() -> None:
    scheme = create_scheme(config(classes="0-127=background,128-254=cell,255=void"))
    assert scheme is not None
    assert scheme.class_map.apply(planes([[0, 127, 128, 254, 255]])).tolist() == [
        [[0, 0, 1, 1, VOID]]
    ]
    assert scheme.background == 0


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("9-3=a,1=b", "from the lower to the higher"),
        ("0-70000=a,70001=b", "at most 65,536 values"),
        ("0-9=a,5=b", "the value 5 two meanings, 'a' and 'b'"),
        ("0-9=a,5=void,11=b", "two meanings, 'a' and 'void'"),
    ],
)
def test_ranges_that_cannot_be(classes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_scheme(config(classes=classes))


@pytest.mark.parametrize(
    ("classes", "background"),
    [
        ("0=glass,1=cell", 0), ("255=cell,0=glass", 1), ("1=cell,2=other", None),
        ("1=cell,2=Background", 1), ("0=cell,1=background", 1), ("0=void,1=a,2=b", None),
        ("#ff0000=a,#000000=b", 1), ("#ff0000=a,#00ff00=b", None), ("0-9=ground,10-20=b", 0),
    ],
)  # fmt: skip
def test_the_background_is_that_of_0_or_called_so(classes: str, background: int | None) -> None:
    scheme = create_scheme(config(classes=classes))
    assert scheme is not None
    assert scheme.background == background
    if not classes.startswith("#"):
        black = [i for i, item in enumerate(scheme.classes) if item.color == "#000000"]
        assert black == ([] if background is None else [background])


def test_objects_in_colours() -> None:
    scheme = create_instance_scheme("")
    raw = np.zeros((1, 3, 1, 3), np.uint8)
    raw[0, :, 0, 1], raw[0, :, 0, 2] = (9, 0, 0), (0, 200, 7)
    assert scheme.class_map.apply(raw).tolist() == [[[0, 1, 1]]]
    assert scheme.class_map.apply(raw.astype(np.uint16)).tolist() == [[[0, 1, 1]]]
    void = scheme.ignore([0x090000])
    assert void.class_map.apply(raw).tolist() == [[[0, VOID, 1]]]


def test_all_bits_of_64_are_minus_one() -> None:
    raw = np.array([[0, 1, 2**64 - 1]], np.uint64)[None, None]
    assert ClassMap(((0, 0), (1, 1), (-1, VOID))).apply(raw).tolist() == [[[0, 1, VOID]]]
