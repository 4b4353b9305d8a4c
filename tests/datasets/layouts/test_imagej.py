from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiwrite

from pixelwise.datasets import Dataset, inspect_dataset, load_dataset
from pixelwise.errors import DataError, ReadError
from pixelwise.images import write_picture, write_tiff


def box(left: int, top: int, right: int, bottom: int, **more: Any) -> ImagejRoi:
    return ImagejRoi(roitype=ROI_TYPE.RECT, left=left, top=top, right=right, bottom=bottom, **more)


def paint(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, np.zeros((16, 20), np.uint8))


def save(path: Path, *rois: ImagejRoi) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if path.suffix == ".roi":
        rois[0].tofile(str(path))
    else:
        roiwrite(str(path), list(rois), name=[f"{n:04}.roi" for n in range(len(rois))])


def read(tmp_path: Path, *rois: ImagejRoi) -> np.ndarray:
    paint(tmp_path / "a.png")
    save(tmp_path / "a_RoiSet.zip", *rois)
    return load_dataset(tmp_path).samples[0].read_mask()[0]


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.classes]


def test_masks_are_the_outlines_filled(
    exports: Path, require_truth: Callable[[Dataset, str], None]
) -> None:
    data = load_dataset(exports / "imagej")
    assert (data.layout, names(data)) == ("imagej", ["background", "object"])
    require_truth(data, "imagej")
    inspection = inspect_dataset(data)
    assert inspection.sound
    assert inspection.classes[1].share > 0.2
    assert "1 lines, points, texts and images have no area: left out" in inspection.text()


def test_a_rectangle_holds_the_pixels_between_its_sides(tmp_path: Path) -> None:
    expected = np.zeros((16, 20), np.uint8)
    expected[3:9, 2:12] = 1
    assert np.array_equal(read(tmp_path, box(2, 3, 12, 9)), expected)
    corners = ImagejRoi.frompoints(np.array([[2, 3], [12, 3], [12, 9], [2, 9]]))
    assert np.array_equal(read(tmp_path, corners), expected)
    shifted = ImagejRoi.frompoints(np.array([[2.4, 3.4], [12.4, 3.4], [12.4, 9.4], [2.4, 9.4]]))
    assert np.array_equal(read(tmp_path, shifted), expected)


def test_an_oval_is_an_ellipse(tmp_path: Path) -> None:
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=4, top=2, right=16, bottom=10)
    mask = read(tmp_path, oval)
    rows, columns = np.mgrid[:16, :20] + 0.5
    assert np.array_equal(mask, ((columns - 10) / 6) ** 2 + ((rows - 6) / 4) ** 2 <= 1)


@pytest.mark.parametrize(
    ("annotation", "image"),
    [
        ("a.roi", "a.png"),
        ("a.zip", "a.png"),
        ("a_RoiSet.zip", "a.png"),
        ("a-RoiSet.zip", "a.png"),
        ("a RoiSet.zip", "a.png"),
        ("a_rois.zip", "a.png"),
        ("RoiSet_a.zip", "a.png"),
        ("RoiSet.zip", "a.png"),
        ("ROIs/a.zip", "images/a.png"),
        ("train/a_RoiSet.zip", "train/a.png"),
        ("choroid.zip", "choroid.png"),
        ("choroid_RoiSet.zip", "choroid.png"),
    ],
)
def test_arrangements(tmp_path: Path, annotation: str, image: str) -> None:
    paint(tmp_path / image)
    save(tmp_path / annotation, box(2, 3, 12, 9))
    data = load_dataset(tmp_path)
    assert data.layout == "imagej"
    assert data.samples[0].image_path == tmp_path / image
    assert data.samples[0].read_mask().sum() == 60
    assert not data.problems


def test_a_bare_roi_set_belongs_to_no_one_of_two(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", tmp_path / "b.png")
    save(tmp_path / "RoiSet.zip", box(2, 3, 12, 9))
    with pytest.raises(DataError, match=r"RoiSet.zip has no image of its name"):
        load_dataset(tmp_path)


def test_groups_are_classes(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    save(tmp_path / "a.zip", box(0, 0, 4, 4, group=2), box(6, 6, 8, 8, group=1), box(9, 9, 11, 11))
    data = load_dataset(tmp_path)
    assert names(data) == ["background", "object", "group 1", "group 2"]
    assert np.bincount(data.samples[0].read_mask().ravel()).tolist() == [320 - 24, 4, 4, 16]
    data = load_dataset(tmp_path, classes="group 1=a,group 2=b,object=void")
    assert names(data) == ["background", "a", "b"]


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (["tumor-1", "stroma-1", "tumor-2"], ["stroma", "tumor"]),
        (["tumor", "stroma", "tumor"], ["stroma", "tumor"]),
        (["Cell 1", "Cell 2", "Cell 3"], ["object"]),
        (["0001-0002", "0003-0004", "0005-0006"], ["object"]),
        (["tumor", "0003-0004", "tumor"], ["object"]),
        (["anna", "ben", "carl"], ["object"]),
    ],
)
def test_names_that_come_again_are_classes(
    tmp_path: Path, given: list[str], classes: list[str]
) -> None:
    paint(tmp_path / "a.png")
    rois = [box(5 * n, 0, 5 * n + 4, 4, name=name) for n, name in enumerate(given)]
    save(tmp_path / "a.zip", *rois)
    data = load_dataset(tmp_path)
    assert names(data) == ["background", *classes]
    assert data.samples[0].read_mask().any()
    assert ("by their names" in data.mapping) == (len(classes) > 1)


def test_smaller_regions_lie_on_top(tmp_path: Path) -> None:
    inner, outer = box(4, 4, 6, 6, group=1), box(0, 0, 10, 10, group=2)
    for order in ((inner, outer), (outer, inner)):
        assert np.bincount(read(tmp_path, *order).ravel()).tolist() == [220, 4, 96]


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_positions_in_a_stack(tmp_path: Path, axes: str) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((3, 16, 20), np.uint8), axes=axes)
    key = "z_position" if axes[0] == "Z" else "t_position"
    save(tmp_path / "a.zip", box(0, 0, 4, 4, position=2), box(6, 6, 8, 8, **{key: 3}))
    mask = load_dataset(tmp_path).samples[0].read_mask()
    assert mask.reshape(3, -1).sum(axis=1).tolist() == [0, 16, 4]


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (box(0, 0, 4, 4), "has no position in its stack of 3 planes"),
        (box(0, 0, 4, 4, position=4), "is no plane of a stack"),
        (box(0, 0, 4, 4, t_position=2), "has no position|tells no plane"),
    ],
)
def test_positions_that_tell_no_plane(tmp_path: Path, roi: ImagejRoi, message: str) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((3, 16, 20), np.uint8), axes="ZYX")
    save(tmp_path / "a.zip", roi)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_regions_of_a_stack_are_not_those_of_one_plane(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is on plane 5 of a stack, but its image has one"):
        read(tmp_path, box(0, 0, 4, 4, position=5))
    assert read(tmp_path, box(0, 0, 4, 4, position=1)).sum() == 16


def test_times_and_depths_together_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((2, 3, 16, 20), np.uint8), axes="TZYX")
    save(tmp_path / "a.zip", box(0, 0, 4, 4, z_position=1, t_position=1))
    with pytest.raises(DataError, match="has both T and Z"):
        load_dataset(tmp_path)


def test_texts_and_arrows_are_left_out(tmp_path: Path) -> None:
    text = box(0, 0, 20, 16, subtype=ROI_SUBTYPE.TEXT)
    assert read(tmp_path, box(2, 3, 12, 9), text).sum() == 60


def test_regions_beyond_the_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is outside the image of 16 x 20"):
        read(tmp_path, box(100, 100, 110, 110))


@pytest.mark.parametrize(
    "content", [b"", b"Iout", b"Iout" + bytes(200), b"Iout\0\xe4\7" + b"x" * 90]
)
def test_damaged_regions_are_named(tmp_path: Path, content: bytes) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "a.roi").write_bytes(content)
    with pytest.raises((ReadError, DataError), match=r"a\.roi"):
        load_dataset(tmp_path).samples[0].read_mask()


def test_a_region_that_is_cut_off_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "a.png")
    region = ImagejRoi.frompoints(np.array([[2, 3], [12, 3], [12, 9]]), name="a long name")
    (tmp_path / "a.roi").write_bytes(region.tobytes()[:-6])
    with pytest.raises(ReadError, match=r"a\.roi is damaged: .*exceeds data size"):
        load_dataset(tmp_path)
    assert not capsys.readouterr().err


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    save(tmp_path / "a.zip", box(2, 3, 12, 9))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises((ReadError, DataError), match=r"a\.zip"):
        load_dataset(tmp_path).samples[0].read_mask()


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(2):
            archive.writestr(f"{number}.roi", bytes(1 << 28))
    with pytest.raises(ReadError, match="unpack to more than 256 MiB"):
        load_dataset(tmp_path)


def test_names_in_a_zip_write_nothing(tmp_path: Path) -> None:
    paint(tmp_path / "data" / "a.png")
    with zipfile.ZipFile(tmp_path / "data" / "a.zip", "w") as archive:
        archive.writestr("../../evil.roi", box(2, 3, 12, 9).tobytes())
        archive.writestr("__MACOSX/._x.roi", b"not a region")
    data = load_dataset(tmp_path / "data")
    assert data.samples[0].read_mask().sum() == 60
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "a.zip", "data"]
