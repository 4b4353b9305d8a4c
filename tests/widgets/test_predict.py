"""Predict on layers of every kind, on folders, and with every fault."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers._source import layer_source
from PIL import Image

from pixelwise.axes import parse_axes
from pixelwise.errors import WriteError
from pixelwise.images import read_image, write_tiff
from pixelwise.widgets.jobs import end_server, get_server
from pixelwise.widgets.layer_choice import VIEW
from pixelwise.widgets.layers import PARTIAL, SPARSE, find_file, read_classes
from tests.widgets.conftest import LONG, draw_discs, fill_memory, limit_files, wait_until

pytestmark = pytest.mark.display
Open = Callable[..., Any]
Write = Callable[..., Path]


def ramp(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 251).astype(np.uint8)


def expected(model: Path, image: np.ndarray, axes: str, **settings: Any) -> np.ndarray:
    """Labels as the engine gives them, with no widget between."""
    from pixelwise.prediction.predict import predict

    return predict(model, image, axes=axes, **settings)


LAYERS = {
    "YX": (ramp(50, 60), {"scale": (0.5, 0.25), "translate": (3, 4)}, "", 1),
    "YXC": (ramp(50, 60, 3), {"rgb": True, "scale": (2, 2)}, "", 3),
    "CYX": (ramp(2, 50, 60), {"scale": (1, 2, 3)}, "CYX", 2),
    "ZYX": (ramp(3, 50, 60), {"scale": (4, 1, 1)}, "", 1),
    "TCYX": (ramp(2, 2, 50, 60), {"scale": (9, 1, 2, 3)}, "TCYX", 2),
    "named TCYX": (
        ramp(2, 2, 50, 60), {"axis_labels": ("t", "c", "y", "x"), "scale": (9, 1, 2, 3)}, "", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYERS)
def test_layers_of_every_kind(case: str, open_widget: Open, write_model: Write) -> None:
    image, options, given, channels = LAYERS[case]
    widget, model = open_widget("Predict"), write_model(channels)
    source = widget.viewer.add_image(image, name="image", **options)
    widget.model.value, widget.axes.value = model, given
    widget.settings.fill({"device": "cpu"})
    widget.choose("image")
    assert case.split()[-1] in widget.understood.text()
    widget.predict()
    widget.wait(LONG)
    assert widget.message == ""
    (found,) = widget.results
    axes = case.split()[-1]
    np.testing.assert_array_equal(found.data, expected(model, image, axes, device="cpu"))
    assert not isinstance(found.data.base, np.memmap), "the child's file is gone"
    kept = [i for i, letter in enumerate(axes.replace("YXC", "YX")) if letter != "C"]
    np.testing.assert_allclose(found.scale, np.asarray(source.scale)[kept])
    np.testing.assert_allclose(found.translate, np.asarray(source.translate)[kept])
    assert read_classes([found])["2"] == "kind 2"
    parse_axes(found.metadata["pixelwise axes"], found.data.ndim)


@pytest.mark.one_binding
def test_lazy_and_multiscale_layers(open_widget: Open, write_model: Write, tmp_path: Path) -> None:
    widget, model, image = open_widget("Predict"), write_model(), ramp(64, 96)
    write_tiff(tmp_path / "file.tif", image, axes="YX")
    viewer = widget.viewer
    with layer_source(path=str(tmp_path / "file.tif"), reader_plugin="napari"):
        viewer.add_image(da.from_array(image, chunks=32), name="own file")
    viewer.add_image(da.from_array(image, chunks=32), name="dask")
    viewer.add_image([image, image[::2, ::2]], multiscale=True, name="pyramid")
    widget.model.value = model
    widget.settings.fill({"device": "cpu"})
    widget.choose("own file", "dask", "pyramid")
    widget.predict()
    widget.wait(LONG)
    assert widget.message == ""
    assert len(widget.results) == 3
    for found in widget.results:
        np.testing.assert_array_equal(found.data, expected(model, image, "YX", device="cpu"))


@pytest.mark.one_binding
def test_probabilities_and_objects(open_widget: Open, write_model: Write, tmp_path: Path) -> None:
    widget, model, image = open_widget("Predict"), write_model(), ramp(3, 40, 40)
    widget.viewer.add_image(image, name="stack", scale=(5, 1, 1))
    widget.model.value = model
    for field in ("probabilities", "instances"):
        other = {"probabilities": "instances", "instances": "probabilities"}[field]
        widget.settings.fill({"device": "cpu", field: True, other: False})
        widget.choose("stack")
        widget.predict()
        widget.wait(LONG)
        (found,) = widget.results
        truth = expected(model, image, "ZYX", device="cpu", **{field: True})
        np.testing.assert_allclose(found.data, truth, atol=1e-6)
        assert found.scale[0] == 5
        (path,) = widget.save(tmp_path)
        saved, axes = read_image(path)
        np.testing.assert_array_equal(saved, found.data)
        assert axes.names == {"probabilities": "ZCYX", "instances": "ZYX"}[field]


def test_a_cancelled_prediction_is_kept_as_a_partial_layer(
    open_widget: Open, write_model: Write
) -> None:
    widget = open_widget("Predict")
    widget.viewer.add_image(ramp(40, 512, 512), name="large")
    widget.model.value = model = write_model()
    widget.settings.fill({"device": "cpu"})
    widget.choice.uncertainty.setChecked(True)
    widget.predict()
    wait_until(lambda: widget.progress.value() > 60)
    widget.predict()
    assert "is running" in widget.message
    assert [layer.name for layer in widget.choice.chosen] == ["large"], "no result is an image"
    wait_until(lambda: "s left" in widget.status.text())
    widget.cancel()
    widget.wait(LONG)
    assert widget.status.text() == "Cancelled. What is done is in large prediction (partial)."
    (found,) = widget.results
    assert found.metadata[PARTIAL]
    done = (found.data != 255).all(axis=(1, 2))
    assert 2 <= done.sum() < 40
    first = ramp(40, 512, 512)[0]
    np.testing.assert_array_equal(found.data[0], expected(model, first, "YX", device="cpu"))
    assert found.get_color(255)[3] == 0, "what was not computed is seen through"
    doubt = widget.viewer.layers["large uncertainty (partial)"]
    assert np.isfinite(doubt.data[done]).all()
    assert np.isnan(doubt.data[-1]).all()
    assert widget.predict_button.isEnabled()


def test_a_prediction_that_is_cancelled_before_its_first_rows_leaves_no_layer(
    open_widget: Open, write_model: Write
) -> None:
    widget = open_widget("Predict")
    widget.viewer.add_image(ramp(64, 64), name="small")
    widget.model.value = write_model()
    widget.predict()
    widget.cancel()
    widget.wait(LONG)
    assert widget.status.text() == "Cancelled."
    assert [layer.name for layer in widget.viewer.layers] == ["small"]


@pytest.mark.one_binding
def test_what_is_seen_has_the_bits_of_the_whole(open_widget: Open, write_model: Write) -> None:
    widget, image = open_widget("Predict"), ramp(2, 300, 400)
    viewer, model = widget.viewer, write_model(fixed=True)
    layer = viewer.add_image(image, name="stack", scale=(3, 2, 2), translate=(0, 5, 7))
    widget.model.value = model
    widget.settings.fill({"device": "cpu"})
    widget.choice.area.setCurrentText(VIEW)
    widget.choice.uncertainty.setChecked(True)
    viewer.dims.set_point(0, 3)
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, 300, 400), 4
    widget.predict()
    widget.wait(LONG)
    assert widget.message == ""
    (found,) = widget.results
    place = tuple(np.round(layer.world_to_data(found.translate)).astype(int))
    height, width = found.data.shape[1:]
    assert place[0] == 1
    assert 10 < height < 300
    part = np.s_[1, place[1] : place[1] + height, place[2] : place[2] + width]
    whole = expected(model, image, "ZYX", device="cpu")
    np.testing.assert_array_equal(found.data[0], whole[part])
    doubt = viewer.layers["stack uncertainty"]
    chances = expected(model, image, "ZYX", device="cpu", probabilities=True)[1]
    np.testing.assert_allclose(doubt.data[0], 1 - chances.max(axis=0)[part[1:]], atol=1e-6)
    np.testing.assert_allclose(doubt.translate, found.translate)

    widget.steps.correct()
    corrections = viewer.layers["stack corrections"]
    assert corrections.data.shape == image.shape, "Train needs labels of the image's size"
    np.testing.assert_allclose(corrections.translate, layer.translate)
    widget.steps.accept()
    truth = viewer.layers["stack labels"]
    assert truth.metadata[SPARSE]
    np.testing.assert_array_equal(truth.data[part], found.data[0] + 1)
    assert np.count_nonzero(truth.data) == height * width, "nothing else counts as annotated"


def test_what_does_not_fit_is_told_before_the_click(open_widget: Open, write_model: Write) -> None:
    widget = open_widget("Predict")
    widget.model.value = write_model(3, fixed=True)
    misfit = widget.choice.misfit
    widget.viewer.add_image(ramp(2, 40, 40), name="two", metadata={"pixelwise axes": "CYX"})
    wait_until(lambda: "two: The image has 2 channels, the model takes 3" in misfit.text())
    dim = widget.viewer.add_image(ramp(40, 40) / 255, name="dim")
    wait_until(lambda: "dim: The image holds float64 values" in misfit.text())
    assert "“White”: 1" in misfit.text(), "the field that scales the image"
    widget.settings.fill({"white": 1})
    wait_until(lambda: misfit.text() == "")
    assert dim in widget.choice.chosen


def test_labels_appear_while_they_are_computed(open_widget: Open, write_model: Write) -> None:
    widget = open_widget("Predict")
    widget.viewer.add_image(ramp(12, 256, 256), name="stack")
    widget.model.value = write_model()
    widget.settings.fill({"device": "cpu"})
    shares: list[int] = []
    widget.progress.valueChanged.connect(shares.append)
    widget.predict()
    wait_until(lambda: len(shares) > 1)
    assert widget.is_running
    layer = widget.viewer.layers["stack prediction"]
    assert layer.data.any(axis=(1, 2)).sum() < 12  # the last planes are still empty
    widget.wait(LONG)
    assert layer.data.any(axis=(1, 2)).all()
    assert len([share for share in shares if 0 < share < 1000]) >= 2


@pytest.mark.one_binding
def test_a_killed_child_leaves_a_message_and_the_next_click_works(
    open_widget: Open, write_model: Write
) -> None:
    widget = open_widget("Predict")
    widget.viewer.add_image(np.zeros((40, 512, 512), np.uint8), name="large")
    widget.model.value = write_model()
    widget.settings.fill({"device": "cpu"})
    widget.predict()
    wait_until(lambda: len(widget.viewer.layers) == 2)
    os.kill(get_server().child.process.pid, signal.SIGKILL)
    widget.wait(LONG)
    assert "killed" in widget.message
    assert len(widget.viewer.layers) == 1
    widget.viewer.layers["large"].data = ramp(1, 64, 64)
    widget.choose("large")
    widget.predict()
    widget.wait(LONG)
    assert widget.message == ""
    assert len(widget.results) == 1


def test_a_result_that_is_deleted_ends_its_prediction(
    open_widget: Open, write_model: Write
) -> None:
    widget = open_widget("Predict")
    widget.viewer.add_image(np.zeros((200, 512, 512), np.uint8), name="large")
    widget.model.value = write_model()
    widget.settings.fill({"device": "cpu"})
    widget.predict()
    wait_until(lambda: len(widget.viewer.layers) == 2)
    widget.viewer.layers.pop()
    widget.wait(LONG)
    assert widget.status.text() == "Cancelled."


def test_closing_the_window_ends_a_prediction(make_napari_viewer: Any, write_model: Write) -> None:
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Predict")
    viewer.add_image(np.zeros((200, 512, 512), np.uint8), name="large")
    widget.model.value = write_model()
    widget.predict()
    wait_until(lambda: len(viewer.layers) == 2)
    viewer.close()
    wait_until(lambda: not get_server().is_busy)


def ask(widget: Any, model: Path | None, layer: np.ndarray | None, axes: str = "") -> str:
    """Predict one layer and return what the widget says."""
    if model is not None:
        widget.model.value = model
    if layer is not None:
        widget.viewer.add_image(layer, name="image", rgb=False)
        widget.choose("image")
    widget.axes.value = axes
    widget.settings.fill({"device": "cpu"})
    widget.predict()
    widget.wait(LONG)
    assert widget.predict_button.isEnabled()
    return str(widget.message)


@pytest.mark.one_binding
def test_bad_input_ends_with_a_message(
    open_widget: Open, write_model: Write, tmp_path: Path
) -> None:
    widget, model = open_widget("Predict"), write_model()
    widget.model.line_edit.value = ""  # else the starter model is chosen
    assert "Choose a model file" in ask(widget, None, None)
    assert "Open an image" in ask(widget, model, None)
    assert "4 channels" in ask(widget, model, ramp(4, 40, 40), "CYX")
    assert "name 2 dimensions" in ask(widget, None, None, "YX")
    widget.viewer.layers.clear()
    assert "NaN" in ask(widget, None, np.full((40, 40), np.nan))
    model.write_bytes(model.read_bytes()[:-10])
    assert "damaged" in ask(widget, model, None)
    (tmp_path / "text.safetensors").write_text("no model")
    assert "not a model" in ask(widget, tmp_path / "text.safetensors", None)
    assert len(widget.viewer.layers) == 1


@pytest.mark.one_binding
def test_folders(open_widget: Open, write_model: Write, tmp_path: Path) -> None:
    widget, model = open_widget("Predict"), write_model()
    widget.model.value = model
    widget.settings.fill({"device": "cpu"})
    source, out = tmp_path / "images", tmp_path / "labels"
    source.mkdir()
    large = ramp(400, 800)  # whose progress is reported
    disc = draw_discs()[0][0]
    for number, image in enumerate((disc, large)):
        write_tiff(source / f"{number}.tif", image, axes="YX")
    Image.fromarray(np.dstack([disc.astype(np.uint8)] * 2), "LA").save(source / "2.png")
    (source / "e.xyz").write_bytes(b"0123")
    widget.choose_folder(source, out)
    widget.predict()
    widget.wait(LONG)
    assert widget.message == ""
    assert widget.progress.value() > 0
    assert sorted(p.name for p in out.iterdir()) == [f"{n}_labels.tif" for n in range(3)]
    assert "left out: e.xyz (unsupported format)" in widget.status.text()
    assert "2.png: has transparent pixels" in widget.status.text()
    (source / "2.png").unlink()
    (source / "broken.tif").write_bytes(b"II*\0")
    widget.predict()
    widget.wait(LONG)
    assert "broken.tif" in widget.message
    empty = tmp_path / "empty"
    empty.mkdir()
    widget.choose_folder(empty, out)
    widget.predict()
    widget.wait(LONG)
    assert "no image" in widget.message
    widget.choose_folder(tmp_path / "missing", out)
    widget.predict()
    assert "Choose a folder with images" in widget.message


@pytest.mark.one_binding
def test_a_full_gpu_is_said_and_the_next_click_works(
    open_widget: Open, write_model: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_server()
    fill_memory(tmp_path, monkeypatch)
    widget, model = open_widget("Predict"), write_model()
    assert "memory" in ask(widget, model, ramp(64, 64))
    assert [layer.name for layer in widget.viewer.layers] == ["image"]
    monkeypatch.undo()
    end_server()
    widget.predict()
    widget.wait(LONG)
    assert len(widget.results) == 1


@pytest.mark.one_binding
def test_a_full_disk_is_said(
    open_widget: Open, write_model: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_server()
    limit_files(monkeypatch)
    widget, model = open_widget("Predict"), write_model()
    assert "Cannot write" in ask(widget, model, ramp(8, 128, 128))
    assert [layer.name for layer in widget.viewer.layers] == ["image"]
    source = tmp_path / "images"
    source.mkdir()
    write_tiff(source / "large.tif", ramp(400, 800), axes="YX")
    widget.choose_folder(source, tmp_path / "labels")
    widget.predict()
    widget.wait(LONG)
    monkeypatch.undo()
    end_server()
    assert "Cannot write" in widget.message
    assert list((tmp_path / "labels").iterdir()) == []


@pytest.mark.one_binding
def test_results_are_saved_as_zarr_that_napari_opens(
    open_widget: Open, write_model: Write, tmp_path: Path
) -> None:
    widget = open_widget("Predict")
    viewer = widget.viewer
    viewer.add_image(ramp(3, 64, 96), name="cells", scale=(2, 0.5, 0.5), units=("µm",) * 3)
    widget.model.value = write_model()
    widget.settings.fill({"device": "cpu", "format": "zarr"})
    widget.choose("cells")
    widget.predict()
    widget.wait(LONG)
    (found,) = widget.results
    (path,) = widget.save(tmp_path)
    assert path == tmp_path / "cells prediction.zarr"
    with pytest.raises(WriteError, match=r"already holds cells prediction\.zarr"):
        widget.save(tmp_path)
    assert widget.save(tmp_path, replace=True) == [path]
    (shown,) = viewer.open(str(path / "0"), plugin="napari", layer_type="image")
    with pytest.raises(WriteError, match="would overwrite"):
        widget.save(tmp_path, replace=True)
    viewer.layers.remove(shown)
    (opened,) = viewer.open(str(path), plugin="napari-pixelwise")
    assert opened._type_string == "labels"
    np.testing.assert_array_equal(np.asarray(opened.data), found.data)
    np.testing.assert_allclose(opened.scale, (2, 0.5, 0.5))
    assert read_classes([opened]) == read_classes([found])
    for value in (1, 2):
        np.testing.assert_allclose(opened.get_color(value), found.get_color(value), atol=1 / 255)
    (plain,) = viewer.open(str(path / "0"), plugin="napari")  # napari's own reader
    np.testing.assert_array_equal(np.asarray(plain.data), found.data)
    viewer.layers.clear()
    (image,) = viewer.open(str(path / "0"), plugin="napari", layer_type="image")
    assert find_file(image) == path / "0", "the child reads the Zarr, no copy is made"
