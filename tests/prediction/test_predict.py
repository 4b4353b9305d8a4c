from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import torch

from pixelwise import normalization
from pixelwise.axes import Calibration
from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, DataError, ReadError, WriteError
from pixelwise.events import ImageFailed, ImagePredicted, ImageProgressed, RowsPredicted
from pixelwise.images import (
    open_image,
    read_image,
    write_picture,
    write_tiff,
    write_zarr,
    zarr_sink,
)
from pixelwise.models.files import Model, save_model
from pixelwise.prediction import plane_reader, result_spool
from pixelwise.prediction import predict as predict_module
from pixelwise.prediction.predict import iter_predict_files, name_outputs, predict
from pixelwise.prediction.predictor import Predictor
from tests.prediction.conftest import create_stack, iter_predict_file

Create = Callable[..., Model]


def predict_one(predictor: Predictor, path: Path, out: Path) -> ImagePredicted | ImageFailed:
    *progress, last = iter_predict_files(predictor, [path], out)
    assert all(isinstance(event, ImageProgressed) for event in progress)
    assert not isinstance(last, ImageProgressed)
    return last


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("axes", "shape", "channels"),
    [
        ("YX", (70, 80), 1),
        ("YXC", (70, 80, 3), 3),
        ("CYX", (2, 70, 80), 2),
        ("ZYX", (3, 40, 50), 1),
        ("TCYX", (2, 3, 40, 50), 3),
        ("TZYX", (2, 3, 40, 50), 1),
        ("TZCYX", (2, 2, 3, 40, 50), 3),
        ("ZTYXC", (2, 3, 40, 50, 2), 2),
        ("XY", (40, 50), 1),
    ],
)
def test_labels_keep_the_axes_but_channels(
    create_unet: Create, axes: str, shape: tuple[int, ...], channels: int
) -> None:
    model, image = create_unet(channels), picture(*shape)
    labels = predict(model, image, axes=axes)
    expected = tuple(n for n, letter in zip(shape, axes, strict=True) if letter != "C")
    assert labels.shape == expected
    assert labels.dtype == np.uint8
    plane = np.moveaxis(image, axes.index("C"), -1) if "C" in axes else image
    first = plane[(0,) * (plane.ndim - 2 - ("C" in axes))]
    if axes != "XY":
        alone = predict(model, first, axes="YXC" if "C" in axes else "YX")
        np.testing.assert_array_equal(labels[(0,) * (labels.ndim - 2)], alone)
    else:
        np.testing.assert_array_equal(labels.T, predict(model, image.T, axes="YX"))


def test_probabilities_have_a_class_axis_and_give_the_labels(create_unet: Create) -> None:
    model, image = create_unet(), picture(3, 50, 60)
    probabilities = predict(model, image, axes="ZYX", probabilities=True)
    assert probabilities.shape == (3, 3, 50, 60)
    assert probabilities.dtype == np.float32
    labels = predict(model, image, axes="ZYX")
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)


def test_grey_is_repeated_for_a_model_of_rgb(create_unet: Create) -> None:
    model, image = create_unet(3), picture(50, 60)
    repeated = np.repeat(image[..., None], 3, axis=-1)
    np.testing.assert_array_equal(
        predict(model, image, axes="YX"), predict(model, repeated, axes="YXC")
    )


@pytest.mark.parametrize(
    ("image", "axes", "message"),
    [
        (picture(4, 50, 60), "CYX", "4 channels, the model takes 1: .+--axes"),
        (np.full((40, 40), np.nan, np.float32), "YX", "1600 NaN"),
        (np.zeros((0, 40), np.uint8), "YX", "no pixels"),
        (np.zeros((40, 40), complex), "YX", "complex"),
        (picture(40, 40), "ZYX", "name 3 dimensions"),
        (picture(40), None, "1 dimensions"),
    ],
    ids=["channels", "nan", "empty", "complex", "axes", "one dimension"],
)
def test_refuses(create_unet: Create, image: np.ndarray, axes: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predict(create_unet(), image, axes=axes)


def test_an_unknown_setting_is_named(create_unet: Create) -> None:
    with pytest.raises(ConfigError, match="tyle"):
        predict(create_unet(), picture(40, 40), tyle=64)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_picture(folder / "b.png", picture(40, 50, 3))
    write_tiff(folder / "a.tif", picture(2, 40, 50), axes="ZYX")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_folders_are_predicted_and_what_fails_is_said(
    create_unet: Create, images: Path, tmp_path: Path
) -> None:
    (images / "broken.tif").write_bytes((images / "a.tif").read_bytes()[:300])
    predictor = Predictor(create_unet(3))
    events = list(iter_predict_files(predictor, [images], tmp_path / "out"))
    by_name = {Path(event.source).name: event for event in events}
    assert by_name.keys() == {"a.tif", "b.png", "broken.tif"}
    assert isinstance(by_name["broken.tif"], ImageFailed)
    done = by_name["a.tif"]
    assert isinstance(done, ImagePredicted)
    assert "ZYX" in done.axes
    with tifffile.TiffFile(done.output) as file:
        assert file.series[0].shape == (2, 40, 50)
        assert file.series[0].axes == "ZYX"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"a_labels.tif", "b_labels.tif"}


def test_a_model_file_and_its_model_give_the_same(
    create_unet: Create, images: Path, tmp_path: Path
) -> None:
    model, path = create_unet(3), tmp_path / "m.safetensors"
    save_model(path, model.network.state_dict(), model.card)
    out = tmp_path / "labels.tif"
    assert predict(path, images / "b.png", out=out) == out
    labels = predict(path, images / "b.png")
    np.testing.assert_array_equal(labels, predict(model, images / "b.png"))
    np.testing.assert_array_equal(labels, tifffile.imread(out))


def test_images_of_one_stem_get_different_names() -> None:
    sources = [Path("x/a.png"), Path("x/a.tif"), Path("x/b.png")]
    names = [path.name for path in name_outputs(sources, Path("o"), "labels")]
    assert names == ["a.png_labels.tif", "a.tif_labels.tif", "b_labels.tif"]
    with pytest.raises(DataError, match="called a"):
        name_outputs([Path("x/a.png"), Path("y/a.png")], Path("o"), "labels")


def test_images_inside_of_a_file_are_predicted_by_their_paths(
    create_unet: Create, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/left"], file["raw/right"] = picture(40, 50), picture(44, 50)
    predictor = Predictor(create_unet())
    sources = [tmp_path / "a.h5" / "raw" / name for name in ("left", "right", "up")]
    events = list(iter_predict_files(predictor, sources, tmp_path / "out"))
    assert [type(event) for event in events] == [ImagePredicted, ImagePredicted, ImageFailed]
    outputs = [tmp_path / "out" / f"a-raw-{name}_labels.tif" for name in ("left", "right")]
    assert sorted((tmp_path / "out").iterdir()) == outputs
    assert tifffile.imread(outputs[1]).shape == (44, 50)
    whole = list(iter_predict_files(predictor, [tmp_path / "a.h5"], tmp_path / "o"))
    assert isinstance(whole[0], ImageFailed)
    assert f'"{sources[0]}"' in whole[0].message


def test_missing_and_empty_sources_are_named(create_unet: Create, tmp_path: Path) -> None:
    predictor = Predictor(create_unet())
    with pytest.raises(ReadError, match=r"none\.png"):
        list(iter_predict_files(predictor, [tmp_path / "none.png"], tmp_path / "out"))
    with pytest.raises(ReadError, match="no image"):
        list(iter_predict_files(predictor, [tmp_path], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("axes", "shape", "channels"),
    [
        ("YX", (170, 90), 1),
        ("CYX", (2, 70, 80), 2),
        ("ZYX", (3, 70, 80), 1),
        ("TCZYX", (2, 3, 2, 70, 80), 3),
    ],
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"probabilities": True},
        {"instances": True},
        {"tile": 32, "overlap": 0.5},
        {"smallest_object": 9, "largest_hole": 5},
    ],
)
def test_a_zarr_predicted_in_bands_equals_the_array(
    create_unet: Create,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    axes: str,
    shape: tuple[int, ...],
    channels: int,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr(plane_reader, "READ_ROWS", 24)
    monkeypatch.setattr(result_spool, "BLOCK_ROWS", 16)
    monkeypatch.setattr(result_spool, "SMALL_BYTES", 0)
    monkeypatch.setattr(zarr_sink, "CHUNK_PX", 48)
    model, image = create_unet(channels), picture(*shape)
    expected = predict(model, image, axes=axes, **settings)
    write_zarr(tmp_path / "a.zarr", image, axes=axes)
    config = PredictConfig.create(format="zarr", **settings)
    event = predict_one(Predictor(model, config), tmp_path / "a.zarr", tmp_path / "out")
    assert isinstance(event, ImagePredicted), event
    found = open_image(event.output)
    if "probabilities" in settings:
        order = [0, 2, 1, 3, 4] if axes == "TCZYX" else [*range(expected.ndim)]
        order = [1, 0, 2, 3] if axes == "ZYX" else order
        expected = expected.transpose(order)
    np.testing.assert_array_equal(found.read(), expected)
    assert found.dtype == expected.dtype


def test_a_resized_model_streams_too(create_unet: Create, tmp_path: Path) -> None:
    model, image = create_unet(), picture(70, 80)
    model = Model(model.network, model.card.model_copy(update={"resize": (64, 48)}))
    write_zarr(tmp_path / "a.zarr", image, axes="YX")
    expected = predict(model, image, axes="YX")
    np.testing.assert_array_equal(predict(model, tmp_path / "a.zarr"), expected)
    predict(model, tmp_path / "a.zarr", out=tmp_path / "b.zarr")
    np.testing.assert_array_equal(read_image(tmp_path / "b.zarr")[0], expected)


@pytest.mark.parametrize("file_format", ["zarr", "tiff"])
def test_pixel_sizes_go_from_the_image_to_the_labels(
    create_unet: Create, tmp_path: Path, file_format: str
) -> None:
    path, model = tmp_path / "a.ome.tif", create_unet(3)
    write_tiff(path, picture(3, 40, 50), axes="CYX", pixel_size_um=(0.25, 0.5))
    alone = tmp_path / ("b.zarr" if file_format == "zarr" else "b.ome.tif")
    predict(model, path, out=alone)
    predictor = Predictor(model, PredictConfig.create(format=file_format))
    event = predict_one(predictor, path, tmp_path / "out")
    for output in (alone, event.output):
        calibration = open_image(output).calibration
        assert calibration == Calibration.create([0.25, 0.5], ["µm", "µm"])


def test_labels_in_a_zarr_know_their_classes_and_objects_have_none(
    create_unet: Create, tmp_path: Path
) -> None:
    for instances in (False, True):
        path = tmp_path / f"{instances}.zarr"
        predict(create_unet(), picture(40, 50), out=path, instances=instances)
        ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
        names = [item["class"] for item in ome["image-label"].get("properties", [])]
        assert names == ([] if instances else ["background", "class 1", "class 2"])


def test_a_prediction_that_fails_half_way_leaves_nothing(
    create_unet: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane_reader, "READ_ROWS", 24)
    write_zarr(tmp_path / "a.zarr", picture(2, 90, 50), axes="ZYX")
    chunk = tmp_path / "a.zarr" / "0" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    predictor = Predictor(create_unet(), PredictConfig(format="zarr"))
    event = predict_one(predictor, tmp_path / "a.zarr", tmp_path / "out")
    assert isinstance(event, ImageFailed)
    assert str(chunk) in event.message
    assert not list((tmp_path / "out").iterdir())


def test_memory_of_a_stream_does_not_grow_with_the_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the image nor its labels are ever whole in memory."""
    monkeypatch.setattr(plane_reader, "READ_ROWS", 64)
    monkeypatch.setattr(normalization, "_SAMPLED_ROWS", 64)
    monkeypatch.setattr(zarr_sink, "CHUNK_PX", 64)
    monkeypatch.setattr(result_spool, "SMALL_BYTES", 0)
    model = create_stack(2)
    peaks = []
    for height in (512, 512, 4096):  # the first pays for what is loaded once
        path = tmp_path / f"{height}.zarr"
        write_zarr(path, np.zeros((1, height, 512), np.float32), axes="CYX")
        predictor = Predictor(model, PredictConfig.create(tile=64, format="zarr"))
        tracemalloc.start()
        for _ in iter_predict_file(predictor, open_image(path), tmp_path / "out.zarr"):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 1_000_000  # the image is 7 MB larger, its labels 2 MB


def test_memory_does_not_grow_where_percentiles_are_taken(
    create_unet: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalization, "_SAMPLED_ROWS", 64)
    monkeypatch.setattr(normalization, "_PERCENTILE_PIXELS", 10_000)
    norm = create_unet().card.normalization
    assert norm.kind == "percentile"

    class Rows:
        shape = (1, 8192, 512)

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
            return np.ones((1, len(range(8192)[key[1]]), 512), np.uint16)

    tracemalloc.start()
    norm.parameters(Rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # the plane has 8 MB


@pytest.mark.parametrize("dtype", [">u2", ">f4", "f2", "f8", "i8", "u4", "?"])
def test_every_number_format_and_byte_order(create_unet: Create, dtype: str) -> None:
    image = (picture(60, 70) // 2).astype(dtype)
    plain = image.astype(np.float32)
    np.testing.assert_array_equal(predict(create_unet(), image), predict(create_unet(), plain))


def test_a_folder_predicted_into_itself_twice(create_unet: Create, images: Path) -> None:
    predictor = Predictor(create_unet(3))
    for _ in range(2):
        events = list(iter_predict_files(predictor, [images], images))
        done = [Path(e.source).name for e in events if isinstance(e, ImagePredicted)]
        assert not any("labels" in name for name in done)
    assert not list(images.glob("*_labels_labels*"))


def test_results_that_are_there_can_be_left_out(create_unet: Create, images: Path) -> None:
    predictor, out = Predictor(create_unet(3)), images.parent / "out"
    first = list(iter_predict_files(predictor, [images / "b.png"], out))
    assert len(first) == 1
    assert not list(iter_predict_files(predictor, [images / "b.png"], out, skip_existing=True))
    predictor = Predictor(create_unet(3), PredictConfig(table=True))
    [event] = iter_predict_files(predictor, [images / "b.png"], out, skip_existing=True)
    assert isinstance(event, ImagePredicted), "its table is missing"
    assert not list(iter_predict_files(predictor, [images / "b.png"], out, skip_existing=True))


def test_an_image_that_a_result_would_replace_is_refused(create_unet: Create, images: Path) -> None:
    mask = images / "b_labels.tif"
    write_tiff(mask, picture(40, 50, 3), axes="YXC")
    before = mask.read_bytes()
    predictor = Predictor(create_unet(3))
    *_, failed = iter_predict_files(predictor, [mask, images / "b.png"][:1], images)
    assert mask.read_bytes() == before
    assert isinstance(failed, ImagePredicted)  # into b_labels_labels.tif
    for overwrite in (False, True):
        with pytest.raises(WriteError, match=r"b_labels.tif would overwrite .*, which is"):
            list(iter_predict_files(predictor, [mask, images / "b.png"], images,
                                    overwrite=overwrite))  # fmt: skip
    assert mask.read_bytes() == before


def test_an_error_nobody_expects_fails_one_image(
    create_unet: Create, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(create_unet(3))
    predicted = []

    def fail_once(*_arguments: Any, **_options: Any) -> Any:
        predicted.append(1)
        if len(predicted) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        yield RowsPredicted(plane=0, start=0, stop=1, done=1.0)

    monkeypatch.setattr(predict_module, "iter_predict", fail_once)
    paths = [images / "b.png", images / "b.png"]
    out = images.parent / "out"
    first, second = (list(iter_predict_files(predictor, [path], out))[-1] for path in paths)
    assert isinstance(first, ImageFailed)
    assert "memory" in first.message
    assert isinstance(second, ImagePredicted)


def test_chunks_that_a_zarr_lacks_are_said(create_unet: Create, tmp_path: Path) -> None:
    write_zarr(tmp_path / "a.zarr", picture(2, 1100, 50), axes="ZYX")
    (tmp_path / "a.zarr" / "0" / "c" / "1" / "1" / "0").unlink()
    event = predict_one(Predictor(create_unet()), tmp_path / "a.zarr", tmp_path / "out")
    assert isinstance(event, ImagePredicted)
    assert event.notes == ("1 of 4 chunks have no file and were read as blank",)
    with pytest.warns(UserWarning, match="1 of 4 chunks have no file"):
        predict(create_unet(), tmp_path / "a.zarr", out=tmp_path / "b.zarr")


def test_small_objects_are_taken_out_before_they_are_numbered(create_unet: Create) -> None:
    image = picture(90, 100)
    labels = predict(create_unet(), image)
    cleaned = predict(create_unet(), image, smallest_object=30)
    assert 0 < np.count_nonzero(cleaned) < np.count_nonzero(labels)
    assert ((cleaned == labels) | (cleaned == 0)).all()
    numbered = predict(create_unet(), image, smallest_object=30, instances=True)
    assert np.bincount(numbered.ravel())[1:].min() >= 30


def test_cleaning_needs_labels_and_a_background(create_unet: Create) -> None:
    with pytest.raises(ConfigError, match="leave out probabilities"):
        predict(create_unet(), picture(40, 40), largest_hole=3, probabilities=True)
    model = create_unet()
    model = Model(model.network, model.card.model_copy(update={"background": None}))
    with pytest.raises(DataError, match="no background class"):
        predict(model, picture(40, 40), largest_hole=3)
