from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError, ReadError, WriteError
from pixelwise.images import write_tiff
from pixelwise.training import planes as planes_module
from pixelwise.training.fit import fit
from pixelwise.training.planes import Plane, fit_memory, read_planes
from pixelwise.training.setup import prepare
from tests.training.conftest import assert_same_run, create_config, write_discs


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
        read_planes(load_dataset(tmp_path).samples)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_mapped_planes_are_those_in_memory_and_leave_no_file(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 250, (33, 47)).astype(dtype)
    write_pair(tmp_path, image, (image > 99).astype(np.uint8))
    samples, before = load_dataset(tmp_path).samples, sorted(tmp_path.rglob("*"))
    mapped = read_planes(samples, folder=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    for ours, theirs in zip(mapped, read_planes(samples), strict=True):
        assert ours.name == theirs.name
        for one, other in ((ours.image, theirs.image), (ours.mask, theirs.mask)):
            assert (one.dtype, one.flags.writeable, one.flags.aligned) == (other.dtype, False, True)
            assert not one.flags.owndata
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("resident", [False, True])
def test_a_training_on_mapped_planes_has_the_same_bits(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: bool
) -> None:
    list(fit(create_config(discs, tmp_path / "held")))
    monkeypatch.setattr(planes_module, "MEMORY_SHARE", 0)
    if resident:
        monkeypatch.setattr("pixelwise.training.batches._measure_free", lambda _: 2**40)
    made, map_planes = [], planes_module._map_planes

    def note(*args: Any) -> list[Plane]:
        made.append(args)
        return map_planes(*args)

    monkeypatch.setattr(planes_module, "_map_planes", note)
    list(fit(create_config(discs, tmp_path / "mapped")))
    assert len(made) == 2
    assert_same_run(tmp_path / "held", tmp_path / "mapped")
    assert [
        sorted(p.name for p in (tmp_path / name).rglob("*")) for name in ("held", "mapped")
    ] == [sorted(p.name for p in (tmp_path / "held").rglob("*"))] * 2


def test_the_user_is_told_and_the_run_folder_stays_empty(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes_module, "MEMORY_SHARE", 0)
    (tmp_path / "run").mkdir()
    made, create = list[Path](), tempfile.TemporaryFile

    def note(dir: Path) -> object:  # noqa: A002  tempfile's name for it
        made.append(dir)
        return create(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", note)
    setup = prepare(create_config(discs, tmp_path / "run"))
    assert set(made) == {tmp_path}  # elsewhere than on Linux the file has a name
    assert str(tmp_path) in setup.notes[-1]


def test_memory_is_shared_by_the_processes_of_a_machine(
    discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = load_dataset(discs).samples
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
        read_planes(samples, folder=tmp_path)


def test_a_missing_image_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    samples = load_dataset(write_discs(tmp_path / "data")).samples
    samples[2].image_path.unlink()
    with pytest.raises(ReadError, match=r"2\.png"):
        read_planes(samples, folder=tmp_path)
