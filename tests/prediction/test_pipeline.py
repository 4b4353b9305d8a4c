"""One result whichever way it is made: whole, streamed, in other batches, in parts, by workers."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelwise.axes import NamedAxes
from pixelwise.config import PredictConfig
from pixelwise.errors import BudgetError, DataError, PixelwiseError, ReadError, WriteError
from pixelwise.events import RowsPredicted
from pixelwise.images import ImageArray, open_image, read_image, tiff, tiff_sink, write_zarr
from pixelwise.models.files import Model, save_model
from pixelwise.prediction import result_spool
from pixelwise.prediction.pipeline import iter_predict, predict_array, predict_here
from pixelwise.prediction.predict import predict
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import ResultSpool
from pixelwise.prediction.sinks import ArraySink
from pixelwise.samples import samples_path
from tests.prediction.conftest import create_stack, iter_predict_file

RNG = np.random.default_rng(3)


def noise(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_spool, "BLOCK_ROWS", 32)
    monkeypatch.setattr(result_spool, "SMALL_BYTES", 0)


def write_image(path: Path, array: np.ndarray) -> Path:
    tifffile.imwrite(path, array, tile=(64, 64), compression="zlib", photometric="minisblack")
    return path


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 90),
    overlap=st.floats(0, 0.9),
    batch_size=st.sampled_from([1, 3, 8]),
    border=st.sampled_from(["zero", "mirror"]),
    window=st.sampled_from(["hann", "gaussian", "flat"]),
)
def test_streamed_labels_are_those_of_the_whole_array(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    batch_size: int,
    **options: Any,
) -> None:
    folder = tmp_path_factory.mktemp("a")
    model, image = create_stack(3), noise(height, width)
    tifffile.imwrite(folder / "a.tif", image)
    expected = predict(model, image, tile=48, batch_size=4, **options)
    found = predict(
        model, folder / "a.tif", out=folder / "b.tif", tile=48, batch_size=batch_size, **options
    )
    np.testing.assert_array_equal(read_image(found)[0], expected)
    assert not leftovers(folder)


@pytest.mark.parametrize("name", ["sample.png", "monuseg"])
def test_a_real_image_has_one_result(
    tmp_path: Path, create_unet: Any, request: pytest.FixtureRequest, name: str
) -> None:
    """Whole, streamed, in batches of 1, 3 and 8, interrupted and resumed."""
    if name == "monuseg":
        path = sorted((request.getfixturevalue("data_dir") / "monuseg2018").rglob("*.tif"))[0]
    else:
        path = sorted((samples_path() / "test" / "images").glob("*.png"))[0]
    model, options = create_unet(3), {"tile": 128, "overlap": 0.3}
    expected = predict(model, read_image(path)[0][..., :3], axes="YXC", **options)
    assert len(np.unique(expected)) > 1
    for batch_size in (1, 3, 8):
        found = predict(model, path, out=tmp_path / "b.zarr", batch_size=batch_size, **options)
        np.testing.assert_array_equal(read_image(found)[0], expected)
    predictor = Predictor(model, PredictConfig.create(**options))
    with pytest.raises(Interrupted):
        list(iter_predict_file(predictor, open_image(path), tmp_path / "c.tif", execute=interrupt))
    list(iter_predict_file(predictor, open_image(path), tmp_path / "c.tif"))
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif")[0], expected)


@pytest.mark.parametrize("shape", [(1, 1), (1000, 37), (37, 1000), (1, 500)], ids=str)
@pytest.mark.parametrize("overlap", [0.0, 0.7])
def test_extreme_sizes(tmp_path: Path, shape: tuple[int, int], overlap: float) -> None:
    model, image = create_stack(3), noise(*shape)
    whole = predict(model, image, tile=64, overlap=overlap)
    path = write_image(tmp_path / "a.tif", image)
    for name in ("b.tif", "b.zarr"):
        out = predict(model, path, out=tmp_path / name, tile=64, overlap=overlap, batch_size=1)
        np.testing.assert_array_equal(read_image(out)[0], whole)


@pytest.mark.parametrize("border", ["zero", "mirror"])
@pytest.mark.parametrize("rows", [range(32, 64), range(100, 170), range(169, 170)], ids=str)
def test_rows_alone_have_the_bits_they_have_with_all_others(border: str, rows: range) -> None:
    image = noise(1, 170, 130)
    settings = {"tile": 48, "overlap": 0.4, "border": border, "probabilities": True}
    predictor = Predictor(create_stack(4), PredictConfig.create(**settings))
    whole = predictor.predict_rows(image, range(170))
    np.testing.assert_array_equal(predictor.predict_rows(image, rows), whole[:, rows])


def test_a_mirrored_border_gives_edges_the_context_of_the_image() -> None:
    model, image = create_stack(4), noise(100, 100)
    larger = np.pad(image, 16, mode="reflect")
    expected = predict(model, larger, tile=48, overlap=0.4, probabilities=True)[:, 16:-16, 16:-16]
    mirrored = predict(model, image, tile=48, overlap=0.4, probabilities=True, border="mirror")
    np.testing.assert_allclose(mirrored, expected, atol=1e-5)
    zero = predict(model, image, tile=48, overlap=0.4, probabilities=True)
    assert np.abs(zero - expected)[:, 0].max() > 1e-3


def test_an_array_has_its_rows_when_they_are_reported_and_objects_plane_by_plane() -> None:
    source, model = ImageArray(noise(2, 130, 80), NamedAxes("ZYX", "given")), create_stack(3)
    labels = predict_array(Predictor(model, PredictConfig.create(tile=48)), source)
    config = PredictConfig.create(tile=48, instances=True)
    objects = predict_array(Predictor(model, config), source)
    sink, complete = ArraySink(np.zeros), []
    for rows in iter_predict(Predictor(model, config), source, sink):
        is_complete = (rows.start, rows.stop) == (0, 130)
        complete += [(rows.plane, rows.done)] if is_complete else []
        expected = (objects if is_complete else labels)[rows.plane, rows.start : rows.stop]
        np.testing.assert_array_equal(sink.array[rows.plane, rows.start : rows.stop], expected)
    assert complete == [(0, 0.5), (1, 1.0)]
    assert objects.max() > labels.max()


class Interrupted(Exception):
    """Stands for whatever ends a process in the middle."""


def interrupt(predictor: Predictor, source: Any, spool: ResultSpool) -> Iterator[RowsPredicted]:
    for rows in predict_here(predictor, source, spool):
        if rows.done > 0.6:
            raise Interrupted
        yield rows


@pytest.mark.parametrize("name", ["b.tif", "b.zarr"])
@pytest.mark.parametrize(
    "options",
    [{}, {"instances": True, "smallest_object": 4}, {"probabilities": True}],
    ids=["labels", "instances", "probabilities"],
)
def test_what_was_interrupted_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    path, model = write_image(tmp_path / "a.tif", noise(3, 200, 80)), create_stack(3)
    config = PredictConfig.create(tile=48, axes="ZYX", **options)
    source, out = open_image(path, axes="ZYX"), tmp_path / name
    expected = predict(model, path, axes="ZYX", out=tmp_path / f"once_{name}", tile=48, **options)
    with pytest.raises(Interrupted):
        list(iter_predict_file(Predictor(model, config), source, out, execute=interrupt))
    assert not out.exists()
    assert leftovers(tmp_path) == [f".{name}.part"]
    done = ResultSpool.open(tmp_path / f".{name}.part").done
    assert {plane for plane, _ in done} == {0, 1}

    predicted: list[int] = []
    iter_rows = Predictor.iter_rows

    def count(self: Predictor, plane: Any, rows: range, **more: Any) -> Iterator[Any]:
        predicted.append(len(rows))
        return iter_rows(self, plane, rows, **more)

    monkeypatch.setattr(Predictor, "iter_rows", count)
    shares = [r.done for r in iter_predict_file(Predictor(model, config), source, out)]
    assert sum(predicted) == 3 * 200 - sum(min(32, 200 - y) for _, y in done)
    assert shares == sorted(shares)
    np.testing.assert_array_equal(read_image(out)[0], read_image(expected)[0])
    if name.endswith(".tif"):
        assert out.read_bytes() == expected.read_bytes()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("change", ["image", "model", "settings"])
def test_rows_of_another_image_model_or_setting_are_not_taken_over(
    tmp_path: Path, change: str
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    model, options = create_stack(3), {"tile": 48, "overlap": 0.25}
    predictor = Predictor(model, PredictConfig.create(**options))
    with pytest.raises(Interrupted):
        list(iter_predict_file(predictor, open_image(path), out, execute=interrupt))
    if change == "image":
        write_image(path, noise(200, 80))
    if change == "model":
        model = create_stack(4)
    if change == "settings":
        options["overlap"] = 0.5
    expected = predict(model, path, **options)
    found = read_image(predict(model, path, out=out, **options))[0]
    np.testing.assert_array_equal(found, expected)


def test_batches_and_files_of_another_kind_do_not_matter_for_going_on(tmp_path: Path) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    model, calls = create_stack(3), []
    predictor = Predictor(model, PredictConfig.create(tile=48, batch_size=1))
    with pytest.raises(Interrupted):
        list(iter_predict_file(predictor, open_image(path), out, execute=interrupt))

    def execute(predictor: Predictor, source: Any, spool: ResultSpool) -> Iterator[RowsPredicted]:
        calls.append(len(spool.done))
        return predict_here(predictor, source, spool)

    predictor = Predictor(model, PredictConfig.create(tile=48, batch_size=8, table=True))
    list(iter_predict_file(predictor, open_image(path), out, execute=execute))
    assert calls[0] > 0
    np.testing.assert_array_equal(read_image(out)[0], predict(model, path, tile=48))


def test_a_torn_line_of_what_is_done_does_not_count(tmp_path: Path) -> None:
    with result_spool.opening_spool(
        tmp_path / "a", {"a": 1}, shape=(2, 100, 9), dtype=np.dtype(np.uint8)
    ) as spool:
        spool.record(0, 0, spool.write(0, 0, np.ones((64, 9), np.uint8)))
        with (spool.folder / "done").open("a") as file:
            file.write("\n1 3")  # 32, cut off
        spool.record(1, 64, [7])
        assert [*ResultSpool.open(spool.folder).done] == [(0, 0), (0, 32), (1, 64)]
        assert [*spool.missing(0)] == [range(64, 100)]
        assert [*spool.missing(1)] == [range(64), range(96, 100)]


SCRIPT = """
import sys, torch
from pixelwise.prediction import result_spool
from pixelwise.models.network import SegmentationNetwork
import pixelwise as pw
result_spool.BLOCK_ROWS, result_spool.SMALL_BYTES = 32, 0
print("ready", flush=True)
pw.predict(sys.argv[1], sys.argv[2], out=sys.argv[3], tile=64, batch_size=1)
"""


def test_a_killed_prediction_goes_on(tmp_path: Path, create_unet: Any) -> None:
    model: Model = create_unet()
    image = (noise(1500, 200) * 40 + 120).clip(0, 255).astype(np.uint8)
    path, out = write_image(tmp_path / "a.tif", image), tmp_path / "b.tif"
    save_model(tmp_path / "m.safetensors", model.network.state_dict(), model.card)
    command = [sys.executable, "-c", SCRIPT, *map(str, (tmp_path / "m.safetensors", path, out))]
    expected = predict(tmp_path / "m.safetensors", path, tile=64)
    for _ in range(3):
        process = subprocess.Popen(command)
        wanted = count_done(tmp_path) + 5
        while process.poll() is None and count_done(tmp_path) < wanted:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
        assert count_done(tmp_path) >= wanted
    subprocess.run(command, check=True)
    np.testing.assert_array_equal(read_image(out)[0], expected)
    assert not leftovers(tmp_path)


def count_done(folder: Path) -> int:
    done = folder / ".b.tif.part" / "done"
    return len(done.read_text().split(".")) if done.exists() else 0


def test_two_predictions_into_one_output_are_refused(tmp_path: Path) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))
    first = iter_predict_file(predictor, open_image(path), out)
    next(first)
    with pytest.raises(WriteError, match="Another process"):
        next(iter_predict_file(predictor, open_image(path), out))
    for _ in first:
        pass
    assert out.exists()


def test_nothing_is_written_before_the_disk_has_room_and_rows_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))
    write = ResultSpool.write

    def fail(self: ResultSpool, plane: int, start: int, values: np.ndarray) -> list[int]:
        if start >= 96:
            raise OSError(28, "No space left on device")
        return write(self, plane, start, values)

    with monkeypatch.context() as patch:
        patch.setattr(ResultSpool, "write", fail)
        with pytest.raises(
            WriteError, match=r"No space left on device.*continues where it stopped"
        ):
            list(iter_predict_file(predictor, open_image(path), out))
    assert not out.exists()
    calls = []

    def execute(predictor: Predictor, source: Any, spool: ResultSpool) -> Iterator[RowsPredicted]:
        calls.append(len(spool.done))
        return predict_here(predictor, source, spool)

    list(iter_predict_file(predictor, open_image(path), out, execute=execute))
    assert calls == [3]
    np.testing.assert_array_equal(read_image(out)[0], predict(create_stack(2), path, tile=48))


@pytest.fixture
def regions_of_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)


@pytest.mark.usefixtures("regions_of_small_files")
@pytest.mark.parametrize(
    ("error", "shown", "message"),
    [
        (OSError(28, "No space left on device"), WriteError, "No space left"),
        (RuntimeError("CUDA out of memory"), RuntimeError, "CUDA out of memory"),
    ],
)
def test_what_fails_here_is_not_said_to_be_the_image(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    shown: type[Exception],
    message: str,
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"

    def fail(self: ResultSpool, plane: int, start: int, values: np.ndarray) -> None:
        raise error

    monkeypatch.setattr(ResultSpool, "write", fail)
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))
    with pytest.raises(shown, match=message):
        list(iter_predict_file(predictor, open_image(path), out))
    assert leftovers(tmp_path) == [".b.tif.part"]


@pytest.mark.parametrize(("error", "kept"), [
    (ReadError("damaged"), False),
    (DataError("NaN"), False),
    (BudgetError("too large now"), True),
    (PixelwiseError("workers died"), True),
    (RuntimeError("out of memory"), True),
])  # fmt: skip
def test_rows_are_kept_unless_the_image_is_bad(
    tmp_path: Path, error: Exception, kept: bool
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))

    def execute(predictor: Predictor, source: Any, spool: ResultSpool) -> Iterator[RowsPredicted]:
        yield next(predict_here(predictor, source, spool))
        raise error

    with pytest.raises(type(error)):
        list(iter_predict_file(predictor, open_image(path), out, execute=execute))
    assert bool(leftovers(tmp_path)) == kept


def test_a_share_that_does_not_answer_costs_no_rows() -> None:
    error = ReadError("cannot read")
    error.__cause__ = OSError(5, "Input/output error")
    assert result_spool._may_pass(error)


def test_a_part_whose_removal_was_interrupted_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))
    rmtree = shutil.rmtree

    def interrupt_removal(folder: Path, **options: Any) -> None:
        if Path(folder).name == "rows":
            assert not (Path(folder).parent / "about.json").exists(), (
                "it tells whose rows these are"
            )
            for file in sorted(Path(folder).rglob("*"))[:3]:
                if file.is_file():
                    file.unlink()
            raise KeyboardInterrupt
        rmtree(folder, **options)

    with monkeypatch.context() as patch:
        patch.setattr(result_spool.shutil, "rmtree", interrupt_removal)
        with pytest.raises(KeyboardInterrupt):
            list(iter_predict_file(predictor, open_image(path), out))
    assert leftovers(tmp_path) == [".b.tif.part"]
    expected = predict(create_stack(2), path, tile=48)
    np.testing.assert_array_equal(read_image(out)[0], expected)
    list(iter_predict_file(predictor, open_image(path), out))
    np.testing.assert_array_equal(read_image(out)[0], expected)
    assert not leftovers(tmp_path)


def test_what_a_kill_left_of_writing_the_result_is_removed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", noise(100, 80))
    (tmp_path / ".b-0123abcd.tmp.tif").write_bytes(b"half")
    (tmp_path / ".bc-0123abcd.tmp.tif").write_bytes(b"of another")
    predict(create_stack(1), path, out=tmp_path / "b.tif")
    assert leftovers(tmp_path) == [".bc-0123abcd.tmp.tif"]


def test_an_output_in_the_place_of_the_image_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", noise(100, 80))
    before = path.read_bytes()
    write_zarr(tmp_path / "a.zarr", noise(1, 100, 80), axes="CYX")
    group = tmp_path / "a.zarr"
    for image, out in ((path, path), (group, group / "labels.zarr"), (group / "0", group)):
        with pytest.raises(WriteError, match="would overwrite"):
            predict(create_stack(1), image, axes=None, out=out)
    assert path.read_bytes() == before


def test_an_output_that_may_not_be_replaced_is_refused_before_the_work(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", noise(100, 80))
    for name in ("b.zarr", "b.tif"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").touch()
        predictor = Predictor(create_stack(1))
        with pytest.raises(WriteError, match=r"not a Zarr|is a folder"):
            next(iter_predict_file(predictor, open_image(path), tmp_path / name))


@pytest.mark.parametrize("fault", ["nan", "strip", "chunk", "channels"])
def test_a_bad_image_ends_clearly_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    image, model = noise(3000, 1500), create_stack(1)
    path, expected = tmp_path / "a.tif", "a"
    if fault == "nan":
        image[2500, 3] = np.inf
        tifffile.imwrite(path, image)
        expected = "1 NaN or infinite"
    if fault == "strip":
        tifffile.imwrite(path, image, rowsperstrip=100, compression="zlib")
        path.write_bytes(path.read_bytes()[:-5000])
        expected = "is truncated"
    if fault == "chunk":
        path = tmp_path / "a.zarr"
        write_zarr(path, image[None], axes="CYX")
        chunk = path / "0" / "c" / "0" / "2" / "1"
        chunk.write_bytes(chunk.read_bytes()[:1000])
        expected = "c/0/2/1 is damaged"
    if fault == "channels":
        tifffile.imwrite(path, image.reshape(1500, 1500, 2), metadata={"axes": "YXC"})
        expected = "2 channels, the model takes 1"
    (tmp_path / "out").mkdir()
    with pytest.raises((DataError, ReadError), match=expected):
        predict(model, path, out=tmp_path / "out" / "b.tif", tile=512, overlap=0)
    assert not list((tmp_path / "out").iterdir())


def test_a_strip_70000_px_wide(tmp_path: Path) -> None:
    image, model = noise(20, 70_000), create_stack(2)
    tifffile.imwrite(tmp_path / "a.tif", image)
    out = predict(model, tmp_path / "a.tif", out=tmp_path / "b.zarr", tile=48, overlap=0.1)
    found = read_image(out)[0]
    assert found.shape == (20, 70_000)
    spool = predict(model, image[:, -2000:], tile=48, overlap=0.1)
    assert (found[:, -1000:] == spool[:, -1000:]).mean() > 0.98  # another grid, the same image


def test_a_read_only_disk_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "a.tif", noise(100, 80))

    def fail(self: Path, **_options: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(WriteError, match=r"Cannot write .*b.tif: Read-only file system"):
        predict(create_stack(1), path, out=tmp_path / "b.tif")
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]


def test_a_disk_that_is_full_at_the_end_keeps_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_image(tmp_path / "a.tif", noise(200, 80)), tmp_path / "b.tif"
    predictor = Predictor(create_stack(2), PredictConfig.create(tile=48))

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tiff_sink, "write_rows", fail)
        with pytest.raises(WriteError, match="No space left"):
            list(iter_predict_file(predictor, open_image(path), out))
    assert not out.exists()
    monkeypatch.setattr(Predictor, "iter_rows", fail)  # nothing is predicted again
    list(iter_predict_file(predictor, open_image(path), out))
    monkeypatch.undo()
    np.testing.assert_array_equal(read_image(out)[0], predict(create_stack(2), path, tile=48))


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", noise(100, 80))
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(WriteError, match="Cannot write"):
            predict(create_stack(1), path, out=folder / "b.tif")


def test_a_picture_that_is_too_large_is_refused_before_anything_of_its_size_is_made(
    create_unet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tall.png"
    ihdr = struct.pack(">4s2I5B", b"IHDR", 8, 2**31 - 1, 8, 0, 0, 0, 0)
    chunks = [ihdr, b"IDAT", b"IEND"]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", crc32(c)) for c in chunks)
    )
    monkeypatch.setattr(result_spool, "list_blocks", lambda _: pytest.fail("8 million blocks"))
    with pytest.raises(BudgetError, match="2147483647 x 8"):
        predict(create_unet(), path, out=tmp_path / "labels.tif")
    assert list(tmp_path.iterdir()) == [path]
