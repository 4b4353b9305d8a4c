"""What whole folders of masks mean, from files as tools leave them: read right, or refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pixelwise.datasets import Inspection, inspect_dataset, load_dataset
from tests.disks import SHARE, SIDE, number, write_set

Array = np.ndarray
Draw = Callable[[int, Array], Array]
ROW = np.arange(SIDE)[:, None]


def inspect(root: Path, **fields: Any) -> Inspection:
    return inspect_dataset(load_dataset(root, strict=False, **fields))


def shares(found: Inspection) -> dict[str, float]:
    return {item.name: item.share for item in found.classes}


def fatal(found: Inspection) -> str:
    return "\n".join(str(problem) for problem in found.problems if problem.fatal)


def byte(mask: Array, value: int = 255) -> Array:
    return mask.astype(np.uint8) * np.uint8(value)


def compress(mask: Array, quality: int) -> Array:
    """What a JPEG gives back."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def three_levels(_: int, mask: Array) -> Array:
    drawn = byte(mask)
    drawn[:30][~mask[:30]] = 128
    return drawn


def with_void(mask: Array, void: int = 255, dtype: str = "u1") -> Array:
    drawn = mask.astype(dtype)
    drawn[:6] = void
    return drawn


def indices(*values: int, void: int = 255, dtype: str = "u1") -> Draw:
    """Rectangles of these values, in another place in each mask, above a strip of void."""

    def draw(seed: int, _: Array) -> Array:
        drawn = np.zeros((SIDE, SIDE), dtype)
        for place, value in enumerate(values):
            y = 5 + 12 * place
            drawn[y : y + 10, 5 + 7 * seed : 40 + 7 * seed] = value
            drawn[y : y + 3, 80:90] = value  # a second piece
        drawn[80:] = void
        return drawn

    return draw


# Lossy and soft masks


@pytest.mark.parametrize("quality", [100, 95, 75, 40])
def test_greys_of_jpeg_are_cut_in_two_and_it_is_said(tmp_path: Path, quality: int) -> None:
    root = write_set(tmp_path, lambda _, m: byte(m), suffix=".jpg", quality=quality)
    found = inspect(root)
    assert found.sound
    assert shares(found)["foreground"] == pytest.approx(SHARE, abs=2e-3)
    assert "over 127 is foreground" in found.mapping
    assert any("JPEG" in str(problem) for problem in found.problems)
    assert "instances" not in found.text()


@pytest.mark.parametrize("quality", [100, 95, 75])
def test_lossy_masks_saved_again_as_png(tmp_path: Path, quality: int) -> None:
    found = inspect(write_set(tmp_path, lambda _, m: compress(byte(m), quality)))
    assert found.sound
    assert shares(found)["foreground"] == pytest.approx(SHARE, abs=2e-3)
    assert any("lossy" in str(problem) for problem in found.problems)


def test_jpeg_among_clean_masks(tmp_path: Path) -> None:
    suffixes = [".jpg", ".png"]
    root = write_set(tmp_path, lambda _, m: byte(m), suffix=lambda seed: suffixes[seed % 2])
    assert shares(inspect(root))["foreground"] == pytest.approx(SHARE, abs=2e-3)


def smooth(sigma: float) -> Draw:
    return lambda _, m: gaussian_filter(byte(m).astype(float), sigma).round().astype(np.uint8)


def enlarged(_: int, mask: Array) -> Array:
    small = Image.fromarray(byte(mask[::2, ::2]))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def gradient(seed: int, _: Array) -> Array:
    y, x = np.mgrid[-48:48, -48:48]
    return np.clip(255 - np.hypot(y, x) * (4 + seed / 10), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("draw", "suffix"),
    [
        (smooth(2), ".png"),
        (smooth(6), ".png"),
        (enlarged, ".png"),
        (gradient, ".png"),
        (three_levels, ".jpg"),
        (lambda seed, m: compress(three_levels(seed, m), 90), ".png"),
        (lambda _, m: byte(m, 128), ".jpg"),
        (lambda _, m: byte(m) // 255 + byte(np.roll(m, 9, 0) & ~m, 2), ".jpg"),
        (lambda _, m: with_void(byte(m, 5) + byte(np.roll(m, 9, 0) & ~m, 12)), ".jpg"),
        (lambda _, m: gaussian_filter(m * 65535.0, 2).astype(np.uint16), ".tif"),
        (lambda _, m: gaussian_filter(m * 1.0, 2).astype(np.float32), ".tif"),
    ],
    ids=[
        *("soft", "softer", "enlarged", "one-gradient", "jpeg-3-levels", "was-jpeg-3-levels"),
        *("jpeg-0-128", "jpeg-indices", "jpeg-indices-and-void", "soft-16-bit", "soft-float"),
    ],
)
def test_greys_without_a_certain_border_are_refused(
    tmp_path: Path, draw: Draw, suffix: str
) -> None:
    found = inspect(write_set(tmp_path, draw, suffix=suffix))
    assert not found.sound
    assert "instances" not in fatal(found).replace("nor instances", "")
    assert len(found.classes) == 2


def test_forty_soft_masks_with_every_grey(tmp_path: Path) -> None:
    def draw(_: int, mask: Array) -> Array:
        return np.clip(gaussian_filter(mask * 255.0, 2) * 1.05 - 3, 0, 255).round().astype("u1")

    found = inspect(write_set(tmp_path, draw, count=40))
    assert "256 different values (0 to 255)" in fatal(found)
    assert found.void_pixels == 0


def test_jpeg_masks_beside_masks_of_0_and_1(tmp_path: Path) -> None:
    suffixes = [".jpg", ".png"]
    root = write_set(
        tmp_path,
        lambda seed, m: byte(m, 1 if seed % 2 else 255),
        suffix=lambda seed: suffixes[seed % 2],
    )
    found = inspect(root)
    assert "not clean" in fatal(found)  # a cut at 127 would lose half of the objects
    assert "--classes" not in fatal(found)


@pytest.mark.parametrize(
    ("draw", "count"),
    [
        (lambda _, m: np.array([[[0] * 3, [255, 0, 0]]], "u1")[0][byte(m, 1)], 3),
        (lambda _, m: np.array([[[0] * 3, [255, 0, 0]]], "u1")[0][byte(m, 1)], 1),
    ],
)
def test_lossy_colours_are_refused(tmp_path: Path, draw: Draw, count: int) -> None:
    root = write_set(tmp_path, draw, count=count, suffix=".jpg", quality=95)
    assert "lossy compression" in fatal(inspect(root))


def test_smooth_colours_are_refused(tmp_path: Path) -> None:
    def draw(_: int, mask: Array) -> Array:
        large = np.kron(mask, np.ones((2, 2), bool))
        drawn = Image.fromarray(np.array([[0, 0, 0], [255, 0, 0]], "u1")[byte(large, 1)])
        return np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    assert "occur only on edges" in fatal(inspect(write_set(tmp_path, draw)))


# One tool saves 0/1, the next 0/255


@pytest.mark.parametrize(
    ("draw", "suffix"),
    [
        (lambda seed, m: byte(m, 255 if seed % 2 else 1), ".png"),
        (lambda seed, m: byte(m, 255 if seed == 3 else 1), ".png"),
        (lambda seed, m: m.astype(("u1", "f4")[seed % 2]) * (255, 1)[seed % 2], ".tif"),
        (lambda seed, m: m.astype(("u1", "u2")[seed % 2]) * (1, 65535)[seed % 2], ".tif"),
        (lambda seed, m: m.astype(("u1", "i8")[seed % 2]) * (255, 1)[seed % 2], ".tif"),
    ],
    ids=["half", "one-of-six", "float", "16-bit", "64-bit"],
)
def test_the_foreground_of_some_masks_is_1_and_of_others_white(
    tmp_path: Path, draw: Draw, suffix: str
) -> None:
    found = inspect(write_set(tmp_path, draw, suffix=suffix))
    assert found.sound
    assert shares(found)["foreground"] == pytest.approx(SHARE)
    assert found.void_pixels == 0
    assert "one class" in found.mapping


def test_1_beside_255_is_the_class_and_255_void(tmp_path: Path) -> None:
    draws = [lambda m: byte(m, 1), lambda m: with_void(byte(m, 1))]
    found = inspect(write_set(tmp_path, lambda seed, m: draws[seed % 2](m)))
    assert found.sound
    assert found.void_share == pytest.approx(3 * 6 / (6 * SIDE))


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed, m: [byte(m, 1), with_void(byte(m, 1)), byte(m)][seed % 3],
        lambda seed, m: byte(m, 128 if seed % 2 else 1),
        lambda seed, m: byte(m, 255 if seed % 2 else 128),
        lambda seed, m: byte(m, 255 if seed % 2 else 15),
    ],
    ids=["void-or-white", "1-or-128", "128-or-255", "15-or-255"],
)
def test_two_readings_are_refused_with_both(tmp_path: Path, draw: Draw) -> None:
    found = inspect(write_set(tmp_path, draw))
    assert "can be" in fatal(found)
    assert fatal(found).count("--classes") >= 2


# 255 beside indices, though some are missing


@pytest.mark.parametrize(
    "values",
    [(1, 2, 4, 5, 6), (15,), (7, 11), (31, 33), (2, 20), (1, 2, 3, 4)],
    ids=["3-missing", "voc-15", "cityscapes", "neighbours", "two", "complete"],
)
def test_255_is_void_beside_indices(tmp_path: Path, values: tuple[int, ...]) -> None:
    found = inspect(write_set(tmp_path, indices(*values)))
    assert found.sound
    assert len(found.classes) == len(values) + 1
    assert found.void_share == pytest.approx(16 / SIDE)
    assert "255 = void" in found.mapping


@pytest.mark.parametrize(
    ("void", "dtype"), [(65535, "u2"), (4294967295, "u4"), (-1, "i2"), (-1, "f4"), (-100, "i4")]
)
def test_minus_one_is_void_however_it_is_stored(tmp_path: Path, void: int, dtype: str) -> None:
    draw = indices(1, 2, 4, void=void, dtype=dtype)
    found = inspect(write_set(tmp_path, draw, suffix=".tif"))
    assert found.sound
    assert list(shares(found)) == ["background", "class 1", "class 2", "class 4"]
    assert found.void_share == pytest.approx(16 / SIDE)


@pytest.mark.parametrize("values", [(128,), (85, 170), (64, 128, 192), (32, 96, 223)])
def test_255_is_a_class_beside_greys_in_equal_steps(
    tmp_path: Path, values: tuple[int, ...]
) -> None:
    found = inspect(write_set(tmp_path, indices(*values)))
    assert found.sound
    assert len(found.classes) == len(values) + 2
    assert found.void_pixels == 0


@pytest.mark.parametrize("values", [(32,), (100, 200), (12, 95, 147)])
def test_255_that_can_be_both_is_refused(tmp_path: Path, values: tuple[int, ...]) -> None:
    message = fatal(inspect(write_set(tmp_path, indices(*values))))
    assert "255=void" in message
    assert "255=value 255" in message


# Background and values below 0


@pytest.mark.parametrize(
    ("draw", "classes"),
    [
        (lambda _, m: np.where(np.roll(m, 1, 0) ^ m, 3, np.where(m, 1, 2)).astype("u1"), {}),
        (lambda _, m: byte(m, 1) + np.uint8(1), {}),
        (lambda _, m: np.where(m, 255, 128).astype("u1"), {}),
        (lambda _, m: byte(m, 1) + np.uint8(1), {"classes": "1=tissue,2=cell"}),
    ],
    ids=["pets", "from-1", "128-255", "named"],
)
def test_no_class_is_background_without_0(
    tmp_path: Path, draw: Draw, classes: dict[str, str]
) -> None:
    data = load_dataset(write_set(tmp_path, draw), **classes)
    assert data.background is None
    assert "#000000" not in [item.color for item in data.classes]


def test_a_name_makes_a_class_background_wherever_it_stands(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: byte(m, 1) + np.uint8(1))
    assert load_dataset(root, classes="2=cell,1=Background").background == 1
    root = write_set(tmp_path, lambda _, m: byte(m))
    assert load_dataset(root, classes="255=cell,0=glass").background == 1  # the value 0 says so


def test_minus_1_is_void_and_0_stays_the_background(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda _, m: with_void(m, -1, "i2"), suffix=".tif")
    data = load_dataset(root)
    assert (data.background, [c.name for c in data.classes]) == (0, ["background", "foreground"])
    assert inspect(root).void_share == pytest.approx(6 / SIDE)


@pytest.mark.parametrize(
    "draw",
    [
        lambda _, m: with_void(m, -5, "i2"),
        lambda _, m: np.where(m, 1, -1).astype("i2"),
        lambda _, m: np.where(m, 0, -1).astype("i2"),
    ],
    ids=["-5", "-1-and-1", "-1-and-0"],
)
def test_other_values_below_0_are_refused(tmp_path: Path, draw: Draw) -> None:
    assert "below 0" in fatal(inspect(write_set(tmp_path, draw, suffix=".tif")))


# Instances


def label_with(choose: Callable[[int, int, np.random.Generator], Any], dtype: str = "u1") -> Draw:
    """Number the disks: `choose` gives one value (or colour) for each of n objects."""

    def draw(seed: int, mask: Array) -> Array:
        numbered, count = number(mask)
        chosen = np.asarray(choose(seed, count, np.random.default_rng(seed)))
        table = np.concatenate([np.zeros_like(chosen[:1]), chosen])
        return table[numbered].astype(dtype)

    return draw


@pytest.mark.parametrize(
    ("draw", "suffix"),
    [
        (label_with(lambda _, n, rng: rng.choice(np.arange(1, 60), n, replace=False)), ".png"),
        (label_with(lambda _, n, __: np.arange(1, n + 1)), ".png"),
        (label_with(lambda seed, n, _: np.arange(1, n + 1) + 8 * seed), ".png"),
        (label_with(lambda _, n, rng: rng.choice(5000, n, replace=False) + 1, "u2"), ".tif"),
        (label_with(lambda seed, n, _: np.arange(1, n + 1) + 300 * seed, "f4"), ".tif"),
        (label_with(lambda _, n, rng: rng.integers(40, 255, (n, 3))), ".png"),
    ],
    ids=["gaps", "counted", "running", "16-bit", "float", "colours"],
)
def test_numbers_of_objects(tmp_path: Path, draw: Draw, suffix: str) -> None:
    found = inspect(write_set(tmp_path, draw, suffix=suffix))
    assert found.sound
    assert shares(found) == pytest.approx({"background": 1 - SHARE, "object": SHARE})
    assert "instances" in found.mapping


@pytest.mark.parametrize(
    ("draw", "count"),
    [
        (label_with(lambda _, n, rng: rng.choice(np.arange(1, 60), n, replace=False)), 40),
        (label_with(lambda _, n, rng: rng.choice(np.arange(1, 10), n, replace=False)), 6),
        (lambda seed, _: byte(np.hypot(*np.mgrid[-48:48, -48:48]) < 12, seed + 1), 6),
        (label_with(lambda _, n, rng: np.arange(60, 180).reshape(40, 3)[rng.permutation(20)[:n]]),
         20),
    ],
    ids=["come-back", "few", "one-per-image", "palette"],
)  # fmt: skip
def test_numbers_that_can_be_classes_are_refused_with_both(
    tmp_path: Path, draw: Draw, count: int
) -> None:
    message = fatal(inspect(write_set(tmp_path, draw, count=count)))
    assert "--classes instances if" in message
    assert message.count("--classes") == 2


def cell_and_nucleus(seed: int, _: Array) -> Array:
    distance = np.hypot(*np.mgrid[-48:48, -48:48])
    return byte(distance < 20 + seed, 1) + byte(distance < 9, 1)


def test_classes_in_one_piece_are_classes_and_it_is_said(tmp_path: Path) -> None:
    found = inspect(write_set(tmp_path, cell_and_nucleus))
    assert list(shares(found)) == ["background", "class 1", "class 2"]
    assert any("--classes instances" in str(problem) for problem in found.problems)


def test_void_among_numbers_of_objects(tmp_path: Path) -> None:
    draw = label_with(lambda _, n, rng: rng.choice(np.arange(1, 60), n, replace=False))
    found = inspect(write_set(tmp_path, lambda seed, m: with_void(draw(seed, m))))
    assert found.void_share == pytest.approx(6 / SIDE)
    assert "255 = void" in found.mapping


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_instances_take_colours(tmp_path: Path, dtype: str) -> None:
    draw = label_with(lambda _, n, rng: rng.integers(40, 255, (n, 3)), dtype)
    root = write_set(tmp_path, draw, suffix=".tif")
    assert shares(inspect(root, classes="instances"))["object"] == pytest.approx(SHARE)


# Colours


def test_colours_have_one_order_however_frequent_they_are(tmp_path: Path) -> None:
    for name, rows in (("a", 30), ("b", 3)):

        def draw(_: int, mask: Array, rows: int = rows) -> Array:
            drawn = np.zeros((SIDE, SIDE, 3), np.uint8)
            drawn[mask] = (255, 0, 0)
            drawn[:rows][~mask[:rows]] = (0, 255, 0)
            return drawn

        found = inspect(write_set(tmp_path / name, draw))
        assert list(shares(found)) == ["background", "#00ff00", "#ff0000"]


def test_the_border_of_voc_is_void(tmp_path: Path) -> None:
    def draw(_: int, mask: Array) -> Array:
        drawn = np.array([[0, 0, 0], [128, 0, 0]], "u1")[byte(mask, 1)]
        drawn[np.roll(mask, 4, 0) & ~mask] = (0xE0, 0xE0, 0xC0)
        return drawn

    found = inspect(write_set(tmp_path, draw))
    assert list(shares(found)) == ["background", "foreground"]
    assert found.void_pixels > 0


def test_single_values_among_colours_are_refused(tmp_path: Path) -> None:
    red = np.array([[0, 0, 0], [128, 0, 0]], "u1")
    root = write_set(tmp_path, lambda seed, m: red[byte(m, 1)] if seed % 2 else byte(m, 1))
    assert "expected one kind" in fatal(inspect(root))
    root = write_set(tmp_path, lambda seed, m: red[byte(m, 1)] if seed % 2 else byte(m, 0))
    assert inspect(root).sound  # black is black
