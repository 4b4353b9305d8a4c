from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize as skimage_resize

from pixelwise.datasets.mapping import ClassMap, MaskValueError
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.datasets.sample import Sample, resize_labels, resize_planes
from pixelwise.images import write_picture

RNG = np.random.default_rng(2)
IMAGE = RNG.integers(0, 256, (20, 30, 3), np.uint8)
MASK = RNG.integers(0, 2, (20, 30), np.uint8) * np.uint8(255)


def make_sample(
    folder: Path, *, grey: bool = False, resize: tuple[int, int] | None = None
) -> Sample:
    write_picture(folder / "a.png", IMAGE[..., 0] if grey else IMAGE)
    write_picture(folder / "m.png", MASK)
    image = FileImage(folder / "a.png")
    return Sample(
        name="a",
        group="a",
        split=None,
        image=image,
        mask=FileMask(folder / "m.png"),
        header=image.read_header(),
        class_map=ClassMap(((0, 0), (255, 1))),
        channels=3,
        resize=resize,
    )


def test_image_and_mask(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    assert np.array_equal(sample.read_image()[0], np.moveaxis(IMAGE, -1, 0))
    assert np.array_equal(sample.read_mask()[0], MASK // 255)
    assert sample.read_mask().dtype == np.uint8
    assert sample.shape == sample.read_image().shape == (1, 3, 20, 30)
    assert sample.image_path.name == "a.png"
    assert sample.mask_path.name == "m.png"


def test_a_pickled_sample_reads_the_same(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    copy = pickle.loads(pickle.dumps(sample))
    assert copy == sample
    assert np.array_equal(copy.read_image(), sample.read_image())


def test_grey_is_repeated(tmp_path: Path) -> None:
    planes = make_sample(tmp_path, grey=True).read_image()
    assert planes.shape == (1, 3, 20, 30)
    assert (planes == planes[:, :1]).all()


def test_resized_together(tmp_path: Path) -> None:
    sample = make_sample(tmp_path, resize=(10, 16))
    assert sample.shape == sample.read_image().shape == (1, 3, 10, 16)
    assert sample.read_mask().shape == (1, 10, 16)
    assert set(np.unique(sample.read_mask())) <= {0, 1}


def test_unknown_values_name_the_file(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    write_picture(tmp_path / "m.png", np.full((20, 30), 7, np.uint8))
    with pytest.raises(MaskValueError, match=r"m\.png: .*7 \(600 pixels\)"):
        sample.read_mask()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("size", [(8, 8), (33, 50)], ids=["smaller", "larger"])
def test_resize_keeps_dtype_and_comes_near_skimage(dtype: str, size: tuple[int, int]) -> None:
    smooth = np.outer(np.sin(np.linspace(0, 3, 24)), np.cos(np.linspace(0, 1, 24))) * 200 + 20
    planes = smooth.astype(dtype)[None, None]
    found = resize_planes(planes, size)
    expected = skimage_resize(smooth, size, order=1, anti_aliasing=size[0] < 24, mode="edge")
    assert found.dtype == planes.dtype
    assert found.shape == (1, 1, *size)
    assert np.abs(found[0, 0].astype(float) - expected)[1:-1, 1:-1].max() < 6


def test_resize_keeps_the_limits_of_the_dtype() -> None:
    planes = np.full((1, 1, 6, 6), np.iinfo("uint32").max, np.uint32)
    assert (resize_planes(planes, (4, 9)) == np.iinfo("uint32").max).all()


def test_resize_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[None, None]
    assert np.abs(resize_planes(stripes, (16, 16)).astype(int) - 127).max() < 20


def test_resize_to_the_same_size_is_free() -> None:
    planes = np.zeros((1, 2, 5, 6), np.uint8)
    assert resize_planes(planes, (5, 6)) is planes


@given(
    old=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    factor=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_labels_enlarge_and_shrink_back(old: tuple[int, int], factor: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 256, (2, *old), np.uint8)
    large = resize_labels(labels, (old[0] * factor, old[1] * factor))
    assert np.array_equal(large, labels.repeat(factor, 1).repeat(factor, 2))
    assert np.array_equal(resize_labels(large, old), labels)
