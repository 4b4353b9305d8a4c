from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.datasets import Dataset, load_dataset
from pixelwise.errors import ConfigError, DataError, ReadError, WriteError
from pixelwise.images import open_image, write_picture, write_tiff
from pixelwise.patches import PatchFolder, iter_make_patches, iter_windows, make_patches
from pixelwise.patches.folder import count_pixels

RNG = np.random.default_rng(6)


def fill(
    root: Path, *, axes: str = "YXC", shape: tuple[int, ...] = (10, 12, 3), dtype: str = "u1"
) -> Dataset:
    """Three images with masks of 0, 1 and 2."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    plane = tuple(size for size, letter in zip(shape, axes, strict=True) if letter != "C")
    for name in "abc":
        image = RNG.integers(0, 200, shape).astype(dtype)
        write_tiff(root / "images" / f"{name}.tif", image, axes=axes)
        mask = RNG.integers(0, 3, plane, np.uint8)
        write_tiff(root / "masks" / f"{name}.tif", mask, axes=axes.replace("C", ""))
    return load_dataset(root)


KINDS = pytest.mark.parametrize(
    ("axes", "shape", "dtype", "stored"),
    [
        ("YX", (10, 12), "u1", "YX"),
        ("YXC", (10, 12, 3), "u1", "YXC"),
        ("YXC", (10, 12, 3), "u2", "YXC"),
        ("YXC", (10, 12, 3), "f4", "CYX"),
        ("CYX", (2, 10, 12), "u2", "CYX"),
        ("ZYX", (4, 10, 12), "f4", "YX"),
        ("CZYX", (2, 4, 10, 12), "u1", "CYX"),
    ],
    ids=["grey", "rgb", "rgb-deep", "rgb-float", "two-channels", "stack", "stack-of-channels"],
)


@KINDS
def test_patches_come_back(
    tmp_path: Path, axes: str, shape: tuple[int, ...], dtype: str, stored: str
) -> None:
    data = fill(tmp_path / "data", axes=axes, shape=shape, dtype=dtype)
    config = PatchConfig(size=(4, 5), step=(3, 5), edge="cover")
    made = make_patches(data, tmp_path / "out", size="4x5", step="3x5", edge="cover")
    again = load_dataset(tmp_path / "out")
    assert made.count == len(again.samples)
    assert again.classes == data.classes
    assert again.in_channels == data.in_channels
    assert again.dtypes == data.dtypes
    patches = iter(again.samples)
    for source in data.samples:
        planes, labels = source.read_image(), source.read_mask()
        for number, (plane, window) in enumerate(
            (n, w) for n in range(len(planes)) for w in iter_windows(planes.shape[2:], config)
        ):
            patch = next(patches)
            assert patch.name == f"{source.name}-PCH{number}"
            assert patch.group == source.name
            assert patch.read_image().dtype == planes.dtype
            assert np.array_equal(patch.read_image()[0], planes[plane, :, *window.slices])
            assert np.array_equal(patch.read_mask()[0], labels[plane, *window.slices])


@KINDS
def test_stacks_are_mapped_and_open_as_images(
    tmp_path: Path, axes: str, shape: tuple[int, ...], dtype: str, stored: str
) -> None:
    data = fill(tmp_path / "data", axes=axes, shape=shape, dtype=dtype)
    make_patches(data, tmp_path / "out", size=4)
    image = tifffile.memmap(tmp_path / "out" / "images" / "a.tif", mode="r")
    mask = tifffile.memmap(tmp_path / "out" / "masks" / "a.tif", mode="r")
    assert image.dtype == np.dtype(dtype)
    assert image.shape[0] == mask.shape[0]
    assert open_image(tmp_path / "out" / "images" / "a.tif").axes.names == f"Z{stored}"


def test_one_patch_per_image(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    assert make_patches(data, tmp_path / "out", size="10x12").count == 3
    again = load_dataset(tmp_path / "out")
    assert np.array_equal(again.samples[0].read_image(), data.samples[0].read_image())


def test_splits_and_void_go_along(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / "data" / split / folder).mkdir(parents=True)
        write_picture(tmp_path / f"data/{split}/images/{split}.png", np.zeros((4, 8), np.uint8))
        mask = np.array([[0, 1, 2, 255, 0, 0, 0, 0]] * 4, np.uint8)
        write_picture(tmp_path / f"data/{split}/masks/{split}.png", mask)
    data = load_dataset(tmp_path / "data")
    made = make_patches(data, tmp_path / "out", size=4)
    again = load_dataset(tmp_path / "out")
    train, validation = again.split()
    assert {sample.group for sample in train.samples} == {"train"}
    assert {sample.group for sample in validation.samples} == {"val"}
    assert again.samples[0].read_mask()[0, 0].tolist() == [0, 1, 2, VOID]
    assert [source.void_pixels for source in made.sources] == [4, 4]


def test_min_foreground_counts_annotated_pixels(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    write_picture(tmp_path / "data/images/a.png", np.zeros((4, 16), np.uint8))
    mask = np.zeros((4, 16), np.uint8)
    mask[:, 4:8] = 255  # void only
    mask[:2, 8:12] = 1  # half
    mask[:1, 12:] = 2  # a quarter
    write_picture(tmp_path / "data/masks/a.png", mask)
    data = load_dataset(tmp_path / "data")
    made = make_patches(data, tmp_path / "out", size=4, min_foreground=0.3)
    assert (made.count, made.skipped) == (1, 3)
    assert [s.name for s in load_dataset(tmp_path / "out").samples] == ["a-PCH2"]
    assert "3 left out" in made.summary()
    with pytest.raises(DataError, match=r"No patch of .* has 60% foreground.*--min-foreground"):
        make_patches(data, tmp_path / "none", size=4, min_foreground=0.6)
    assert not (tmp_path / "none").exists()
    sparse = load_dataset(tmp_path / "data", classes="1=tissue,2=cell", void="255", sparse=True)
    made = make_patches(sparse, tmp_path / "sparse", size=4, min_foreground=0.2)
    assert made.count == 2
    assert load_dataset(tmp_path / "sparse").background is None


def test_an_image_without_foreground_is_left_out(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    write_tiff(tmp_path / "data/masks/b.tif", np.zeros((10, 12), np.uint8), axes="YX")
    made = make_patches(data, tmp_path / "out", size=4, min_foreground=0.01)
    assert [source.kept for source in made.sources][1] == 0
    assert load_dataset(tmp_path / "out").groups == ("a", "c")


def test_summary_and_shares(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    made = make_patches(data, tmp_path / "out", size=(10, 12))
    counts = np.bincount(np.concatenate([s.read_mask().ravel() for s in data.samples]))
    assert list(made.class_shares.values()) == pytest.approx(list(counts / counts.sum()))
    assert "3 patches of 10 x 12 px, 1 from each of 3 images" in made.summary()


def test_resized_sources(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    data = load_dataset(tmp_path / "data", resize="20x24")
    assert make_patches(data, tmp_path / "out", size="10x12").count == 12


@pytest.mark.parametrize("classes", [2, 16, 17, 255])
def test_count_pixels(classes: int) -> None:
    labels = RNG.integers(0, classes + 1, (3, 40, 50), np.uint8)
    labels[labels == classes] = VOID
    expected = np.bincount(labels.ravel(), minlength=256)[:classes]
    assert count_pixels(labels, classes) == tuple(expected)


@pytest.mark.parametrize("workers", [1, 3])
def test_progress_comes_image_by_image(tmp_path: Path, workers: int) -> None:
    data = fill(tmp_path / "data")
    *steps, folder = iter_make_patches(data, tmp_path / "out", size=5, workers=workers)
    assert isinstance(folder, PatchFolder)
    assert folder.sources == tuple(steps)
    assert [step.name for step in folder.sources] == ["a", "b", "c"]
    assert {step.windows for step in folder.sources} == {6}


def left_over(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_stopping_early_leaves_nothing(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    steps = iter_make_patches(data, tmp_path / "out", size=5)
    next(steps)
    assert not (tmp_path / "out").exists()
    steps.close()  # type: ignore[attr-defined]
    assert left_over(tmp_path) == ["data"]


def test_a_broken_image_leaves_nothing(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    path = tmp_path / "data" / "images" / "b.tif"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ReadError, match=r"b\.tif"):
        make_patches(data, tmp_path / "out", size=5)
    assert left_over(tmp_path) == ["data"]


def test_a_patch_larger_than_an_image_names_it(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    with pytest.raises(DataError, match=r"a\.tif, which has 10 x 12 .*--size 10"):
        make_patches(data, tmp_path / "out", size=11)
    assert left_over(tmp_path) == ["data"]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    (tmp_path / "out").mkdir()
    make_patches(data, tmp_path / "out", size=5)  # empty: fine
    before = left_over(tmp_path / "out")
    with pytest.raises(WriteError, match=r"a folder that is not empty: .*out"):
        make_patches(data, tmp_path / "out", size=5)
    assert left_over(tmp_path / "out") == before == ["images", "masks", "patches.json"]
    with pytest.raises(WriteError, match="found a file"):
        make_patches(data, tmp_path / "data" / "images" / "a.tif", size=5)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Cannot write .*file/out"):
        make_patches(data, tmp_path / "file" / "out", size=5)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere"
)
def test_a_read_only_folder(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="Permission denied"):
        make_patches(data, tmp_path / "locked" / "out", size=5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"size": 0}, "size"), ({"edge": "wrap"}, "edge"), ({"min_foreground": 2}, "min_foreground")],
)
def test_wrong_settings(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_patches(fill(tmp_path / "data"), tmp_path / "out", **fields)


def test_no_workers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        make_patches(fill(tmp_path / "data"), tmp_path / "out", size=5, workers=0)


def test_the_real_set(data_dir: Path, tmp_path: Path) -> None:
    data = load_dataset(data_dir / "monuseg2018")
    made = make_patches(data, tmp_path / "out", size=256, step=128, edge="drop")
    assert made.count == 1080
    assert {source.kept for source in made.sources} == {36}
    again = load_dataset(tmp_path / "out")
    assert len(again.samples) == 1080
    assert len(again.groups) == 30
    train, validation = again.split(0.2, 0)
    assert (len(train.samples), len(validation.samples)) == (24 * 36, 6 * 36)
    source, patch = data.samples[1], again.samples[36 + 7]
    assert patch.name == f"{source.name}-PCH7"
    area = (..., slice(128, 384), slice(128, 384))
    assert np.array_equal(patch.read_image(), source.read_image()[area])
    assert np.array_equal(patch.read_mask(), source.read_mask()[area])
