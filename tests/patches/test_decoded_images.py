from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError, ReadError, WriteError
from pixelwise.images import write_tiff
from pixelwise.patches.decoded_images import fit_memory, read_decoded_images
from tests.training.conftest import write_discs


def write_pair(folder: Path, image: np.ndarray, mask: np.ndarray) -> None:
    for name, array in (("images", image), ("masks", mask)):
        (folder / name).mkdir(exist_ok=True)
        write_tiff(folder / name / "a.tif", array, axes="YX")
        write_tiff(folder / name / "b.tif", array, axes="YX")


def test_nan_pixels_are_refused_by_name(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    image[3, :4] = np.nan
    write_pair(tmp_path, image, (image > 0.5).astype(np.uint8))
    with pytest.raises(DataError, match=r"a: 4 pixels .+ are NaN"):
        read_decoded_images(load_dataset(tmp_path).samples)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_mapped_planes_are_those_in_memory_and_leave_no_file(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 250, (33, 47)).astype(dtype)
    write_pair(tmp_path, image, (image > 99).astype(np.uint8))
    samples, before = load_dataset(tmp_path).samples, sorted(tmp_path.rglob("*"))
    mapped = read_decoded_images(samples, folder=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    for ours, theirs in zip(mapped, read_decoded_images(samples), strict=True):
        assert ours.name == theirs.name
        for one, other in ((ours.image, theirs.image), (ours.mask, theirs.mask)):
            assert (one.dtype, one.flags.writeable, one.flags.aligned) == (other.dtype, False, True)
            assert not one.flags.owndata
            np.testing.assert_array_equal(one, other)


def test_memory_is_shared_by_the_processes_of_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = load_dataset(write_discs(tmp_path / "data")).samples
    needed = len(samples) * 64 * 64 * 4  # RGB and a mask

    class Memory:
        available = 4 * needed

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert fit_memory(samples, sharing=2)
    assert not fit_memory(samples, sharing=3)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = load_dataset(write_discs(tmp_path / "data")).samples

    class Full(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(WriteError, match=r"No space left.+GB.+--out.+--resize"):
        read_decoded_images(samples, folder=tmp_path)


def test_a_missing_image_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    samples = load_dataset(write_discs(tmp_path / "data")).samples
    samples[2].image_path.unlink()
    with pytest.raises(ReadError, match=r"2\.png"):
        read_decoded_images(samples, folder=tmp_path)
