from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.axes import (
    AXES,
    Calibration,
    NamedAxes,
    from_planes,
    guess_axes,
    label_axes,
    name_unit,
    parse_axes,
    planes_shape,
    to_planes,
)
from pixelwise.errors import AxesError, DataError

NAMES = st.permutations(AXES).flatmap(
    lambda letters: st.sets(st.sampled_from("TZC")).map(
        lambda extra: "".join(letter for letter in letters if letter in {*extra, "Y", "X"})
    )
)
SIZES = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}


def array(names: str) -> np.ndarray:
    shape = tuple(SIZES[letter] for letter in names)
    return np.arange(np.prod(shape)).reshape(shape)


@given(names=NAMES)
def test_planes_come_back(names: str) -> None:
    before = array(names)
    planes = to_planes(before, names)
    assert planes.shape == planes_shape(names, before.shape)
    assert np.array_equal(from_planes(planes, names, before.shape), before)


@given(names=NAMES)
def test_labels_come_back_without_channels(names: str) -> None:
    image = array(names)
    plain = label_axes(names)
    shape = tuple(SIZES[letter] for letter in plain)
    labels = to_planes(image, names)[:, 0]
    restored = from_planes(labels, plain, shape)
    expected = image.take(0, axis=names.index("C")) if "C" in names else image
    assert np.array_equal(restored, expected)


def test_planes_run_over_time_then_depth() -> None:
    image = array("ZTCYX")
    planes = to_planes(image, "ZTCYX")
    assert np.array_equal(planes[1], image[1, 0])
    assert np.array_equal(planes[SIZES["Z"]], image[0, 1])


def test_new_channel_counts_are_taken() -> None:
    probabilities = np.zeros((3, 7, 5, 6))
    assert from_planes(probabilities, "ZCYX", (3, 1, 5, 6)).shape == (3, 7, 5, 6)


def test_planes_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="do not fit axes YX"):
        from_planes(np.zeros((2, 5, 6)), "YX", (5, 6))


@pytest.mark.parametrize(
    ("names", "ndim", "message"),
    [
        ("YXQ", 3, "contain Q"),
        ("YYX", 3, "each letter only once"),
        ("ZC", 2, "must contain Y and X"),
        ("", 0, "must contain Y and X"),
        ("ZYX", 2, "name 3 dimensions, but the image has 2"),
    ],
)
def test_wrong_axes(names: str, ndim: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_axes(names, ndim)


def test_axes_are_tidied() -> None:
    assert parse_axes(" zyx ", 3) == "ZYX"


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((9, 8), "YX"),
        ((9, 8, 3), "YXC"),
        ((9, 8, 4), "YXC"),
        ((9, 8, 5), "ZYX"),
        ((3, 3, 3), "ZYX"),
        ((3, 9, 8), "ZYX"),
        ((2, 30, 90, 80), "CZYX"),
        ((30, 2, 90, 80), "ZCYX"),
        ((30, 20, 90, 80), "ZCYX"),
        ((2, 3, 9, 8), "ZCYX"),
        ((30, 9, 8, 3), "ZYXC"),
        ((5, 4, 3, 9, 8), "TZCYX"),
        ((90, 80, 1), "YXC"),
        ((1, 90, 80), "ZYX"),
        ((1, 1, 90, 80), "ZCYX"),
        ((1, 90, 80, 1), "ZYXC"),
        ((1, 5, 90, 80), "CZYX"),
        ((5, 1, 90, 80), "ZCYX"),
        ((90, 1, 80), "YCX"),
        ((1, 1, 90, 80, 3), "TZYXC"),
        ((1, 1, 9), "ZYX"),
        ((100, 100, 100), "ZYX"),
        ((31, 61, 57), "ZYX"),
        ((500, 512, 512), "ZYX"),
        ((1999, 2048, 2048), "ZYX"),
        ((12, 16, 1024), "ZYX"),
    ],
)
def test_guesses_say_that_they_are(shape: tuple[int, ...], names: str) -> None:
    found = guess_axes(shape).require()
    assert found.names == names
    assert ("guessed" in found.reason) is (len(shape) > 2)
    assert found.is_guess is (len(shape) > 2)


@pytest.mark.parametrize(
    ("shape", "fit"),
    [
        ((120, 160, 2), "YXC"),
        ((120, 160, 5), "YXC"),
        ((1040, 1388, 12), "YXC"),
        ((40, 2, 160), "YCX"),
        ((96, 8, 96), "YCX"),
        ((200, 64, 64), "ZYX"),
        ((2000, 2048, 2048), "ZYX"),
        ((500, 512, 512, 2), "ZYXC"),
        ((120, 160, 5, 2), "YXZC"),
        ((512, 512, 20, 6), "YXZC"),
        ((30, 20, 9, 8), "ZCYX"),
    ],
)
def test_guesses_that_may_be_wrong_ask_and_the_advice_fits(
    shape: tuple[int, ...], fit: str
) -> None:
    with pytest.raises(AxesError, match=rf"shape \({shape[0]}.*--axes {fit}\b"):
        guess_axes(shape).require()
    assert parse_axes(fit, len(shape)) == fit
    with pytest.raises(AxesError, match=f"in the field Axes: {fit}"):
        guess_axes(shape).require("in the field Axes:")


@pytest.mark.parametrize("shape", [(), (7,), (1, 2, 3, 4, 5, 6)])
def test_no_guess(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected 2 to 5"):
        guess_axes(shape).require()


def test_said_in_words() -> None:
    assert str(NamedAxes("ZCYX", "OME metadata")) == "read as ZCYX (OME metadata)"


def test_units_have_their_full_names() -> None:
    known = ["µm", "μm", "um", "micron", "micrometre", "\\u00B5m", "Micrometer"]
    assert {name_unit(text) for text in known} == {"micrometer"}
    assert [name_unit(text) for text in ("s", "nm", "pixel", "", "furlong")] == [
        *("second", "nanometer", None, None, None)
    ]


def test_a_calibration_follows_the_axes_that_are_kept() -> None:
    stack = Calibration.create([2, 1, 0.5, 0.25], ["s", "pixel", "µm", "nm"], [9, 8, 7, 6])
    kept = stack.select("TCYX", "CTXY")
    assert kept == Calibration.create([1, 2, 0.25, 0.5], [None, "s", "nm", "µm"], [0, 9, 6, 7])
    assert stack.select("TCYX", "ZYX").scale == (1, 0.5, 0.25)
    assert stack.pixel_size_um("TCYX") == (0.5, 0.00025)
    assert Calibration.create([1, 1]).pixel_size_um("YX") is None


@pytest.mark.parametrize(
    "arguments",
    [([1, 2], ["µm"]), ([1], None, [0, 0]), ([0.0],), ([float("nan")],), ([-1.0],)],
)
def test_calibrations_that_cannot_be(arguments: tuple[list[float], ...]) -> None:
    with pytest.raises(DataError, match="Expected"):
        Calibration.create(*arguments)
