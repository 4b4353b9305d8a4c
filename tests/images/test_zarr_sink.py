from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05 import Image, ImageLabel
from zarr.storage import LocalStore

from pixelwise.axes import Calibration
from pixelwise.classes import create_classes
from pixelwise.errors import DataError, WriteError
from pixelwise.images import (
    ImageContent,
    open_image,
    read_image,
    write_tiff,
    write_zarr,
    writing_zarr,
)
from pixelwise.images import zarr_sink as sink

RNG = np.random.default_rng(8)
CLASSES = create_classes(["background", "cell", "debris"])
MICROMETRES = Calibration.create([0.5, 0.25], ["µm", "µm"], [3, 4])


def labels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 3, shape).astype(np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write_in_bands(
    path: Path, array: np.ndarray, axes: str, *, heights: list[int], **more: object
) -> None:
    """Write (N, rows, X) planes band by band, as a prediction does."""
    content = ImageContent(axes, array.shape, array.dtype, **more)
    planes = array.reshape(-1, *array.shape[-2:])
    with writing_zarr(path, content) as writer:
        for number, plane in enumerate(planes):
            start, turn = 0, 0
            while start < len(plane):
                stop = start + heights[turn % len(heights)]
                writer.write_rows(number, start, plane[start:stop])
                start, turn = stop, turn + 1


@given(
    axes=st.lists(st.sampled_from("TZ"), unique=True, max_size=2).flatmap(
        lambda extra: st.permutations([*extra, "Y", "X"]).map("".join)
    )
)
def test_labels_of_all_orders_of_axes_come_back(
    tmp_path_factory: pytest.TempPathFactory, axes: str
) -> None:
    path = tmp_path_factory.mktemp("sink") / "a.zarr"
    sizes = {"T": 2, "Z": 3, "Y": 9, "X": 11}
    array = labels(*(sizes[letter] for letter in axes))
    scale = [{"T": 5.0, "Z": 2.0, "Y": 0.5, "X": 0.25}[letter] for letter in axes]
    write_zarr(path, array, axes=axes, calibration=Calibration.create(scale))
    source = open_image(path)
    stored = "".join(letter for letter in "TZYX" if letter in axes)
    assert source.axes.names == stored
    expected = array.transpose([axes.index(letter) for letter in stored])
    assert np.array_equal(source.read(), expected)
    assert source.calibration == Calibration.create(scale).select(axes, stored)


def test_probabilities_have_their_channel_where_ome_zarr_wants_it(tmp_path: Path) -> None:
    array = RNG.random((2, 2, 3, 8, 9)).astype(np.float16)
    write_zarr(tmp_path / "a.zarr", array, axes="TZCYX", classes=CLASSES)
    pixels, axes = read_image(tmp_path / "a.zarr")
    assert (axes.names, pixels.dtype) == ("TCZYX", np.float16)
    assert np.array_equal(pixels, array.transpose(0, 2, 1, 3, 4))
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    axes_types = [axis.type for axis in Image.from_zarr(group).attributes.ome.multiscales[0].axes]
    assert axes_types == ["time", "channel", "space", "space", "space"]
    channels = group.attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["background", "cell", "debris"]


def test_the_metadata_are_those_of_an_image_label(tmp_path: Path) -> None:
    write_zarr(
        tmp_path / "a.zarr", labels(600, 500), axes="YX", classes=CLASSES, calibration=MICROMETRES
    )
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    found = ImageLabel.from_zarr(group).attributes.ome
    assert found.version == "0.5"
    assert found.image_label is not None
    assert [color.label_value for color in found.image_label.colors] == [0, 1, 2]
    assert found.image_label.colors[1].rgba == (*CLASSES[1].rgb, 255)
    properties = group.attrs["ome"]["image-label"]["properties"]
    assert [item["class"] for item in properties] == ["background", "cell", "debris"]
    image = found.multiscales[0]
    assert [(axis.name, axis.type, axis.unit) for axis in image.axes] == [
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    scales = [level.coordinateTransformations[0].scale for level in image.datasets]
    assert scales == [[0.5, 0.25], [1, 0.5], [2, 1]]
    moves = [level.coordinateTransformations[1].translation for level in image.datasets]
    assert moves == [[3, 4]] * 3
    assert group["0"].metadata.dimension_names == ("y", "x")


@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=3),
)
def test_every_level_holds_every_nth_pixel_however_the_bands_fall(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], heights: list[int]
) -> None:
    path = tmp_path_factory.mktemp("sink") / "a.zarr"
    array = RNG.integers(0, 255, (2, *size)).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "CHUNK_PX", 16)
        patch.setattr(sink, "_SMALLEST_LEVEL_PX", 8)
        write_in_bands(path, array, "ZYX", heights=heights)
    group = zarr.open_group(path, mode="r")
    levels = len(list(group.array_keys()))
    assert max(group[str(levels - 1)].shape[1:]) <= 8
    assert levels == 1 or max(group[str(levels - 2)].shape[1:]) > 8
    for level in range(levels):
        expected = array[:, :: 2**level, :: 2**level]
        assert np.array_equal(group[str(level)][:], expected), level


def test_every_chunk_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = LocalStore.set

    async def count(self: LocalStore, key: str, *args: object) -> None:
        written.append(key)
        await put(self, key, *args)

    monkeypatch.setattr(LocalStore, "set", count)
    monkeypatch.setattr(sink, "CHUNK_PX", 32)
    write_in_bands(tmp_path / "a.zarr", labels(3, 100, 70) + 1, "ZYX", heights=[48, 7])
    chunks = [key for key in written if "/c/" in key]
    assert len(chunks) == len(set(chunks)) == 3 * 4 * 3


def test_memory_grows_with_the_width_not_the_height(tmp_path: Path) -> None:
    def peak(height: int) -> int:
        content = ImageContent("YX", (height, 4096), np.dtype(np.uint8))
        band = labels(128, 4096)
        tracemalloc.start()
        with writing_zarr(tmp_path / f"{height}.zarr", content) as writer:
            for start in range(0, height, 128):
                writer.write_rows(0, start, band)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(8192) < 1.5 * peak(2048)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("before", [False, True], ids=["new", "replacing"])
def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, error: type[BaseException], before: bool
) -> None:
    path, array = tmp_path / "a.zarr", labels(50, 60)
    if before:
        write_zarr(path, array, axes="YX")
    with (
        pytest.raises(error),
        writing_zarr(path, ImageContent("YX", (90, 60), array.dtype)) as writer,
    ):
        writer.write_rows(0, 0, array)
        assert [p.name for p in tmp_path.glob("[!.]*")] == (["a.zarr"] if before else [])
        raise error
    assert names(tmp_path) == (["a.zarr"] if before else [])
    if before:
        assert np.array_equal(read_image(path)[0], array)


def test_a_zarr_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_zarr(path, labels(2, 600, 500), axes="ZYX")
    small = labels(30, 20)
    write_zarr(path, small, axes="YX")
    assert np.array_equal(read_image(path)[0], small)
    assert names(path) == ["0", "zarr.json"]
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_zarr_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path, thesis = tmp_path / "a.zarr", tmp_path / "thesis"
    (path if kind == "folder" else thesis).mkdir()
    if kind == "folder":
        (path / "thesis.txt").write_text("two years")
    elif kind == "file":
        path.write_text("two years")
    else:
        path.symlink_to(thesis)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WriteError, match="not a Zarr"):
        write_zarr(path, labels(4, 4), axes="YX")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: LocalStore, key: str, *args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalStore, "set", fail)
    with pytest.raises(WriteError, match="No space left"):
        write_zarr(tmp_path / "a.zarr", labels(4, 4), axes="YX")
    assert not names(tmp_path)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"nowhere.*Check that the folder exists"):
        write_zarr(tmp_path / "nowhere" / "a.zarr", labels(4, 4), axes="YX")


@pytest.mark.parametrize(
    ("array", "stored"),
    [
        (np.eye(4, dtype=bool), "u1"),
        (np.eye(4, dtype=np.int64) * 70_000, "u4"),
        (np.eye(4, dtype=np.uint16), "u2"),
    ],
    ids=["bool", "signed", "unsigned"],
)
def test_labels_are_stored_unsigned(tmp_path: Path, array: np.ndarray, stored: str) -> None:
    write_zarr(tmp_path / "a.zarr", array, axes="YX")
    pixels, _ = read_image(tmp_path / "a.zarr")
    assert pixels.dtype == stored
    assert np.array_equal(pixels, array)


@pytest.mark.parametrize("value", [-1, 0.5], ids=["negative", "float"])
def test_what_is_no_label_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="unsigned integers"):
        write_zarr(tmp_path / "a.zarr", np.full((4, 4), value), axes="YX")
    assert not names(tmp_path)


def test_scale_and_units_go_from_a_tiff_to_a_zarr(tmp_path: Path) -> None:
    size = (0.25, 0.5)
    write_tiff(tmp_path / "a.ome.tif", labels(5, 6), axes="YX", pixel_size_um=size)
    source = open_image(tmp_path / "a.ome.tif")
    write_zarr(tmp_path / "a.zarr", source.read(), axes="YX", calibration=source.calibration)
    assert open_image(tmp_path / "a.zarr").calibration == source.calibration
    assert source.calibration == Calibration.create(size, ["micrometer", "micrometer"])
