"""Training from the widget: started, stopped, resumed, attached to, and every fault."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pixelwise.config import ModelConfig, TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.events import RunEnded, Warned
from pixelwise.jobs import TrainJob
from pixelwise.prediction.predict import predict as engine_predict
from pixelwise.runs import (
    RunFolder,
    create_run,
    is_training,
    iter_events,
    lock_run,
    request_stop,
)
from pixelwise.widgets import child_process
from pixelwise.widgets.layers import color_labels
from pixelwise.widgets.preview_layers import NAMES
from tests.test_events import EVENTS
from tests.training.conftest import create_config, discs
from tests.widgets.conftest import (
    LONG,
    TINY,
    add_pairs,
    draw_discs,
    fill_memory,
    limit_files,
    list_children,
    set_tiny,
    wait_until,
)

__all__ = ["discs"]
pytestmark = pytest.mark.display
Open = Callable[..., Any]
MANY = 20_000  # epochs that no test waits for
STAND_IN = str(Path(__file__).with_name("stand_in.py"))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stand_in` be what the window starts in place of a training."""
    start = subprocess.Popen

    def start_it(command: list[str], **options: Any) -> Any:
        return start([command[0], STAND_IN], **options)

    monkeypatch.setattr(child_process.subprocess, "Popen", start_it)


def wait_for_epoch(widget: Any, number: int = 1) -> None:
    def reached() -> bool:
        if not widget.is_running:
            pytest.fail(f"ended early: {widget.message}")
        curves = widget.plot.runs.get(str(widget.run.path)) if widget.run else None
        return curves is not None and curves["validation"].count >= number

    wait_until(reached)


def test_layers_are_trained_on_and_previewed(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer)
    from pixelwise.classes import create_classes

    color_labels(widget.viewer.layers["disc 0 mask"], create_classes(["ground", "disc"]))
    set_tiny(widget, tmp_path)
    widget.start()
    assert widget.is_running
    assert widget.tabs.tabText(widget.tabs.currentIndex()) == "Settings"  # until it is followed
    widget.wait(LONG)
    assert widget.message == "The training is finished."
    run = RunFolder(tmp_path / "one")
    config = run.read_config()
    assert config.data.path == run.data
    assert config.data.classes == {"0": "ground", "1": "disc"}
    (*_, end) = iter_events(run)
    assert isinstance(end, RunEnded)
    assert end.reason == "finished"
    curves = widget.plot.runs[str(run.path)]
    assert curves["validation"].x.tolist() == [1, 2]
    wait_until(lambda: widget.previews.is_done)
    assert [path.stem for path in widget.previews.epochs] == ["epoch-0001", "epoch-0002"]
    assert widget.previews.view.picture.parts == 4
    assert len(widget.viewer.layers) == 6, "layers come only when they are asked for"
    widget.previews.layers_button.click()
    wait_until(lambda: widget.previews.is_done)
    shown = [layer for layer in widget.viewer.layers if layer.name in NAMES]
    assert [layer.name for layer in shown] == list(NAMES)
    assert shown[0].data.shape[-1] == 3
    assert shown[1].data.shape == shown[2].data.shape == shown[0].data.shape[:-1]
    widget.runs.wait()
    assert widget.runs.summaries[0].state == "finished"
    assert "Finished" in widget.status.text.text()
    said = widget.status.understood.text()
    assert "cpu" in said
    assert "augmented: microscopy (the images are grey" in said
    assert widget.start_button.isEnabled()
    assert not widget.stop_button.isEnabled()
    assert widget.place["name"].value != "one"


@pytest.mark.one_binding
def test_stop_keeps_the_weights_and_resume_goes_on(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    widget.stop()
    widget.wait(LONG)
    run = widget.run
    (*_, end) = iter_events(run)
    assert end.reason == "stopped"
    assert run.model.is_file()
    assert "Resume continues it" in widget.status.text.text()
    assert widget.message == "", "it is not stopping any more"
    done = len(widget.plot.runs[str(run.path)]["validation"].x)
    widget.runs.wait()
    widget.runs.select(run.path)
    widget.resume()
    wait_for_epoch(widget, done + 1)
    widget.stop()
    widget.wait(LONG)
    x = widget.plot.runs[str(run.path)]["validation"].x
    assert x.tolist() == list(range(1, len(x) + 1)), "every epoch once, from the first"
    assert len(x) > done
    assert list_children() == {}


TRAINED_ON = {
    "YX": ((50, 60), {"scale": (0.5, 0.25)}),
    "YXC": ((50, 60, 3), {"rgb": True, "scale": (2, 2)}),
    "CYX": ((3, 50, 60), {"scale": (1, 2, 3)}),
    "ZYX": ((4, 50, 60), {"scale": (4, 1, 1)}),
    "TCYX": ((2, 3, 50, 60), {"scale": (9, 1, 2, 3)}),
}


@pytest.mark.one_binding
def test_a_model_of_this_widget_predicts_layers_of_every_kind(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    """Trained on RGB images here, the second time from the first model, then used in Predict."""
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, "first")
    widget.start()
    widget.wait(LONG)
    first = widget.run.model
    set_tiny(widget, tmp_path, "second")
    widget.model.fill(ModelConfig.create(name="unet", options=TINY, start_from=first))
    widget.start()
    widget.wait(LONG)
    assert widget.run.read_config().model.start_from == first
    model = widget.run.model
    viewer, predict = widget.viewer, open_widget("Predict")
    predict.model.value = model
    predict.settings.fill({"device": "cpu"})
    for axes, (shape, options) in TRAINED_ON.items():
        image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        source = viewer.add_image(image, name=axes, **options)
        predict.axes.value = "" if options.get("rgb") else axes
        predict.choose(axes)
        predict.predict()
        predict.wait(LONG)
        (found,) = predict.results
        truth = engine_predict(model, image, axes=axes, device="cpu")
        np.testing.assert_array_equal(found.data, truth)
        kept = [i for i, letter in enumerate(axes.replace("YXC", "YX")) if letter != "C"]
        np.testing.assert_allclose(found.scale, np.asarray(source.scale)[kept])


def test_every_setting_reaches_the_config(open_widget: Open, tmp_path: Path, discs: Path) -> None:
    widget = open_widget("Train")
    wanted = TrainConfig.create(
        data={"path": discs, "layout": "pairs", "classes": {"0": "a", "255": "b"}, "void": [3]},
        run=tmp_path / "one",
        patches={"size": [32, 48], "step": 16, "edge": "drop", "min_foreground": 0.1},
        model={
            "name": "unetplusplus", "encoder": "resnet18", "freeze_encoder": True,
            "options": {"deep_supervision": True},
        },
        augmentation={"preset": "microscopy", "blur": 0.5, "flips": False},
        training={
            "epochs": 3, "batch_size": 5, "learning_rate": 0.5, "device": "cpu", "loss": "tversky",
            "schedule": "one_cycle", "patience": 4, "monitor": "iou", "seed": 9, "keep_every": 2,
        },
    )  # fmt: skip
    widget.fill(wanted)
    made: list[TrainConfig] = []
    widget.data.prepare(
        tmp_path / "unused", then=lambda d: made.append(widget.create_config(d, wanted.run)),
        failed=pytest.fail, abandoned=pytest.fail,
    )  # fmt: skip
    expected = wanted.model_dump()
    expected["model"]["options"] = {"deep_supervision": True}
    assert made[0].model_dump() == expected


@pytest.mark.usefixtures("stand_in")
@pytest.mark.one_binding
def test_the_next_napari_finds_a_running_training(
    make_napari_viewer: Any, tmp_path: Path, discs: Path
) -> None:
    runs = tmp_path / "runs"  # where the fixture says that runs lie
    first = make_napari_viewer()
    _, widget = first.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, runs, epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    widget.guard.ask = lambda: "keep"
    widget.guard.watch()
    first.close()
    run = RunFolder(runs / "one")
    assert is_training(run)
    second = make_napari_viewer()
    _, found = second.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    wait_until(lambda: found.run is not None)
    assert found.run.path == run.path
    assert found.is_running
    assert "is still training" in found.message
    wait_until(lambda: found.plot.runs[str(run.path)]["validation"].count > 0)
    assert found.plot.runs[str(run.path)]["validation"].x[0] == 1
    found.stop()
    found.wait(LONG)
    assert not is_training(run)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.one_binding
@pytest.mark.parametrize(("answer", "floating"), [("stop", False), ("cancel", True)])
def test_closing_asks(
    make_napari_viewer: Any, tmp_path: Path, discs: Path, answer: str, floating: bool
) -> None:
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    window = viewer.window._qt_window
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    widget.guard.ask = lambda: answer
    widget.guard.watch()
    if floating:
        dock.setFloating(True)
        dock.show()
    run = widget.run
    from qtpy.QtCore import QCoreApplication
    from qtpy.QtGui import QCloseEvent

    event = QCloseEvent()
    if answer == "stop":
        assert not widget.guard.eventFilter(window, event)
    else:
        QCoreApplication.sendEvent(window, event)
        assert not event.isAccepted()
        assert is_training(run)
        assert not run.stop_request.exists()
        widget.stop()
    widget.wait(LONG)
    (*_, end) = iter_events(run)
    assert end.reason == "stopped"


@pytest.mark.usefixtures("stand_in")
def test_closing_asks_once_though_the_dock_was_closed_and_opened_again(
    make_napari_viewer: Any, tmp_path: Path, discs: Path
) -> None:
    from qtpy.QtCore import QCoreApplication
    from qtpy.QtGui import QCloseEvent

    runs = tmp_path / "runs"
    viewer = make_napari_viewer()
    dock, first = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    first.guard.watch()
    first.data.choose_folder(discs)
    set_tiny(first, runs, epochs=MANY)
    first.start()
    wait_for_epoch(first)
    run = first.run
    viewer.window.remove_dock_widget(dock)
    _, again = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    again.guard.watch()
    wait_until(lambda: again.run is not None)
    assert again is not first
    asked: list[str] = []
    for widget in (first, again):
        widget.guard.ask = lambda: asked.append("asked") or "cancel"
    event = QCloseEvent()
    QCoreApplication.sendEvent(viewer.window._qt_window, event)
    assert asked == ["asked"]
    assert not event.isAccepted()
    assert not run.stop_request.exists()
    again.stop()
    again.wait(LONG)
    wait_until(lambda: not first.is_running)
    assert not is_training(run)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b"])
def test_a_run_s_name_is_one_folder(
    open_widget: Open, tmp_path: Path, discs: Path, name: str
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path / "runs")
    widget.place["name"].value = name
    widget.start()
    assert "a name that a folder can have" in widget.message
    assert not widget.is_running


@contextmanager
def training_elsewhere(discs: Path, run: RunFolder) -> Iterator[psutil.Popen]:
    """A training that this napari knows nothing of, with a stand-in."""
    config = create_config(discs, run.path, training={"epochs": MANY})
    other = psutil.Popen([sys.executable, STAND_IN], stdin=subprocess.PIPE)
    other.stdin.write(TrainJob(config=config).model_dump_json().encode())
    other.stdin.close()
    try:
        wait_until(run.model.exists)
        yield other
    finally:
        if other.poll() is None:
            other.kill()
            other.wait()


def follow(widget: Any, run: RunFolder) -> None:
    """Follow a run that another process trains, as users do: by asking to resume it."""
    widget.refresh_runs()
    widget.runs.wait()
    widget.runs.select(run.path)
    widget.resume()
    wait_until(lambda: "Another process is training" in widget.message)


@pytest.mark.one_binding
def test_a_run_of_another_process_is_followed_left_and_stopped(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    far = RunFolder(tmp_path / "far")
    path = str(far.path)
    with training_elsewhere(discs, far) as other:
        widget = open_widget("Train")
        widget.data.choose_folder(discs)
        set_tiny(widget, tmp_path, epochs=1)
        follow(widget, far)
        assert widget.is_running, "the other's training is followed"
        wait_until(lambda: not widget._job)
        widget.start()
        widget.wait(LONG)
        before = widget.plot.runs[path]["validation"].count
        wait_until(lambda: widget.plot.runs[path]["validation"].count > before + 2)
        follow(widget, far)
        widget.place["name"].value = "the next one"
        widget.stop()
        widget.wait(LONG)
        assert other.wait(LONG) == 0
    assert widget.place["name"].value == "the next one"


def kill_child(widget: Any) -> None:
    process = psutil.Process(widget._job.child.process.pid)
    process.send_signal(signal.SIGKILL)


@pytest.mark.one_binding
def test_a_killed_training_says_so_and_resumes(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    kill_child(widget)
    widget.wait(LONG)
    assert "killed" in widget.message
    assert widget.start_button.isEnabled()
    widget.refresh_runs()
    widget.runs.wait()
    assert widget.runs.summaries[0].state == "interrupted"
    widget.resume()
    wait_for_epoch(widget)
    widget.stop()
    widget.wait(LONG)
    (*_, end) = iter_events(widget.run)
    assert end.reason == "stopped"


def refuse(widget: Any) -> str:
    """Start what cannot work; return what the widget says."""
    widget.start()
    widget.wait(LONG)
    assert widget.start_button.isEnabled()
    return str(widget.message)


@pytest.mark.one_binding
def test_bad_input_is_refused_at_once(open_widget: Open, tmp_path: Path, discs: Path) -> None:
    widget = open_widget("Train")
    set_tiny(widget, tmp_path / "runs")
    widget.data.tabs.setCurrentIndex(0)
    assert "No image with labels" in refuse(widget)
    widget.viewer.add_image(np.zeros((64, 64), np.uint8), name="one")
    widget.viewer.add_labels(np.zeros((32, 64), np.uint8), name="drawn")
    widget.data.choose_pairs({"one": "drawn"})
    assert "drawn has shape (32, 64), one needs labels of shape (64, 64)" in refuse(widget)
    widget.data.tabs.setCurrentIndex(1)
    assert "Choose a folder" in refuse(widget)
    widget.data.choose_folder(discs)
    widget.training.fill({"learning_rate": -1})
    assert "“Learning rate”: Input should be greater than 0" in refuse(widget)
    widget.training.fill({"learning_rate": 0.001})
    widget.place["name"].value = "a/b"
    assert "name" in refuse(widget)
    assert not list((tmp_path / "runs").glob("*"))
    (tmp_path / "runs" / "taken").mkdir(parents=True)
    (tmp_path / "runs" / "taken" / "thesis.txt").touch()
    (tmp_path / "runs" / "own" / "data").mkdir(parents=True)  # somebody's images, not a run's
    widget.data.choose_folder(tmp_path / "missing")
    widget.place["name"].value = "own"
    assert "not empty" in refuse(widget)
    assert (tmp_path / "runs" / "own" / "data").exists()
    widget.place["name"].value = "taken"
    assert "not empty" in refuse(widget)
    assert (tmp_path / "runs" / "taken" / "thesis.txt").exists()


def choose_one_layer(widget: Any, folder: Path) -> None:
    widget.viewer.add_image(np.zeros((64, 64), np.uint8), name="one")
    widget.viewer.add_labels(np.zeros((64, 64), np.uint8), name="drawn")
    widget.data.choose_pairs({"one": "drawn"})  # one image only, and nothing drawn on it


REFUSED: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    "one image": (choose_one_layer, "two"),
    "no data set": (lambda widget, folder: widget.data.choose_folder(folder), "{folder}"),
    "large patches": (lambda widget, _: widget.patches.fill({"size": 4096}), "larger than"),
    "no such device": (lambda widget, _: widget.training.fill({"device": "cuda:77"}), "cuda"),
}


@pytest.mark.one_binding
@pytest.mark.parametrize(
    "case",
    [
        "no such device",
        "no data set",
        *(pytest.param(case, marks=pytest.mark.slow) for case in ("one image", "large patches")),
    ],
)
def test_what_the_child_refuses_ends_with_a_message_and_no_folder(
    open_widget: Open, tmp_path: Path, discs: Path, case: str
) -> None:
    spoil, said = REFUSED[case]
    widget = open_widget("Train")
    set_tiny(widget, tmp_path / "runs")
    widget.data.choose_folder(discs)
    spoil(widget, tmp_path)
    assert said.format(folder=tmp_path) in refuse(widget)
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.one_binding
def test_a_full_disk_is_said_and_annotations_stay(
    open_widget: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer)
    set_tiny(widget, tmp_path)
    limit_files(monkeypatch)
    widget.start()
    widget.wait(LONG)
    monkeypatch.undo()
    assert "Cannot write" in widget.message
    assert widget.start_button.isEnabled()
    assert widget.viewer.layers["disc 0 mask"].data.any()
    half = [p for p in (tmp_path / "one").rglob("*") if ".tmp" in p.name]
    assert half == []
    assert not (tmp_path / "one" / "model.safetensors").exists()


@pytest.mark.one_binding
def test_layers_may_be_deleted_while_it_trains(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer)
    set_tiny(widget, tmp_path, epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    wait_until(lambda: bool(widget.previews.epochs))
    widget.previews.layers_button.click()
    wait_until(lambda: NAMES[0] in widget.viewer.layers)
    widget.viewer.layers.clear()
    wait_for_epoch(widget, 3)
    assert list(widget.viewer.layers) == []
    widget.stop()
    widget.wait(LONG)
    assert "Stopped" in widget.status.text.text()


@pytest.mark.one_binding
def test_several_runs_are_drawn_over_one_another(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    for name in ("first", "second"):
        run = create_run(create_config(discs, tmp_path / name))
        run.append(EVENTS["run_started"], EVENTS["epoch_ended"], EVENTS["run_ended"])
    widget = open_widget("Train")
    widget.place["folder"].value = tmp_path
    for name in ("first", "second"):
        widget.refresh_runs()
        widget.runs.wait()
        widget.runs.select(tmp_path / name)
        widget.follow_selected()
        widget.wait(LONG)
    assert [path.rsplit("/", 1)[1] for path in widget.plot.runs] == ["first", "second"]
    from qtpy.QtCore import Qt

    widget.runs.wait()
    row = next(i for i, s in enumerate(widget.runs.summaries) if s.path.name == "first")
    widget.runs.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    assert [path.rsplit("/", 1)[1] for path in widget.plot.runs] == ["second"]
    widget.runs.item(row, 0).setCheckState(Qt.CheckState.Checked)
    path = str(tmp_path / "first")
    wait_until(lambda: path in widget.plot.runs and widget.plot.runs[path]["dice"].count == 1)


@pytest.mark.one_binding
def test_a_run_that_is_left_goes_on_and_its_words_are_shown(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    """Two runs that this process trains: a widget follows one of them, then the other."""
    widget, runs = open_widget("Train"), []
    widget.place["folder"].value = tmp_path
    with ExitStack() as held:
        for name in ("left", "next"):
            config = create_config(discs, tmp_path / name)
            runs.append(create_run(config))
            held.enter_context(lock_run(runs[-1]))
            runs[-1].append(EVENTS["run_started"], EVENTS["epoch_ended"])
            widget.refresh_runs()
            widget.runs.wait()
            widget.runs.select(config.run)
            widget.follow_selected()
            path = str(config.run)
            wait_until(lambda path=path: widget.plot.runs[path]["validation"].count == 1)
        assert widget.is_running
        for run in runs:
            run.append(EVENTS["epoch_ended"].model_copy(update={"epoch": 2}), EVENTS["warned"])
        for run in runs:
            path = str(run.path)
            wait_until(lambda path=path: widget.plot.runs[path]["validation"].count == 2)
        wait_until(lambda: widget.message == "a\nb")
        widget.stop()
        assert "Stopping" in widget.message
        assert [run.stop_request.exists() for run in runs] == [False, True]
        runs[1].append(EVENTS["run_ended"])
        widget.wait(LONG)
    assert widget.message == ""
    assert "Stopped" in widget.status.text.text()


@pytest.mark.one_binding
def test_stop_while_layers_are_saved(
    open_widget: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from pixelwise.widgets import data_picker

    def slow(*arguments: Any, **fields: Any) -> None:
        time.sleep(0.3)
        write(*arguments, **fields)

    write = data_picker.write_pair
    monkeypatch.setattr(data_picker, "write_pair", slow)
    widget = open_widget("Train")
    add_pairs(widget.viewer)
    set_tiny(widget, tmp_path)
    widget.start()
    widget.place["name"].value = "another"
    widget.stop()
    widget.wait(LONG)
    assert widget.message == "Stopped."
    assert list(tmp_path.iterdir()) == []
    assert list_children() == {}


@pytest.mark.one_binding
def test_a_finished_run_is_not_resumed_nor_announced_again(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, epochs=1)
    widget.start()
    widget.wait(LONG)
    widget.resume()
    widget.wait(LONG)
    assert "has finished its training" in widget.message
    assert "Finished" in widget.status.text.text()


@pytest.mark.one_binding
def test_pairs_chosen_by_hand_stay(open_widget: Open) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer, count=2)
    widget.data.choose_pairs({"disc 0": "disc 1 mask"})
    widget.viewer.add_points([[1, 1]])
    widget.viewer.add_image(np.zeros((9, 9)), name="new")
    chosen = [(image.name, labels.name) for image, labels in widget.data.pairs]
    assert chosen == [("disc 0", "disc 1 mask")]
    widget.viewer.layers["disc 1 mask"].name = "renamed"
    assert ("disc 1", "disc 1 mask") not in [(i.name, x.name) for i, x in widget.data.pairs]


@pytest.mark.one_binding
def test_a_full_gpu_is_said_with_advice_and_the_log(
    open_widget: Open, tmp_path: Path, discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path / "runs")
    fill_memory(tmp_path, monkeypatch)
    widget.start()
    widget.wait(LONG)
    assert "memory" in widget.message
    assert "smaller" in widget.message or "lower" in widget.message
    assert widget.log
    assert widget.start_button.isEnabled()


@pytest.mark.one_binding
def test_settings_of_the_data_hold_for_layers_too(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer, count=4)
    widget.data.details.fill(
        {"classes": {"0": "a", "1": "b"}, "void": [7], "validation_fraction": 0.5, "split_seed": 3}
    )
    made: list[Any] = []
    widget.data.prepare(
        tmp_path / "data", then=made.append, failed=pytest.fail, abandoned=pytest.fail
    )
    wait_until(lambda: bool(made))
    assert made[0].classes == {"0": "a", "1": "b"}
    assert made[0].void == (7,)
    assert (made[0].validation_fraction, made[0].split_seed) == (0.5, 3)
    with pytest.raises(ConfigError):
        widget.data.details.fill({"validation_fraction": 7})
        widget.data.prepare(
            tmp_path / "other", then=made.append, failed=pytest.fail, abandoned=pytest.fail
        )


@pytest.mark.one_binding
def test_the_list_of_runs_follows_the_folder(
    open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    widget = open_widget("Train", show=True)
    widget.place["folder"].value = tmp_path
    widget.refresh_runs()
    widget.runs.wait()
    assert widget.runs.summaries == []
    config = TrainConfig.create(data={"path": discs}, run=tmp_path / "far")
    config.run.mkdir()
    RunFolder(config.run).config.write_text(config.to_yaml())
    wait_until(lambda: [s.path.name for s in widget.runs.summaries] == ["far"])


def test_the_folder_of_runs_is_remembered() -> None:
    from pixelwise.widgets.panel import read_setting, write_setting

    before = read_setting("general", "runs_folder", "")
    try:
        write_setting("general", "runs_folder", "/somewhere/else")
        assert read_setting("general", "runs_folder", "") == "/somewhere/else"
    finally:
        write_setting("general", "runs_folder", before)


@pytest.mark.one_binding
def test_closing_while_layers_are_saved_leaves_nothing(
    make_napari_viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from pixelwise.widgets import data_picker

    done: list[int] = []

    def slow(*arguments: Any, **fields: Any) -> None:
        time.sleep(0.3)
        write(*arguments, **fields)
        done.append(1)

    write = data_picker.write_pair
    monkeypatch.setattr(data_picker, "write_pair", slow)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    add_pairs(viewer)
    set_tiny(widget, tmp_path)
    widget.start()
    viewer.close()
    wait_until(lambda: len(done) == 3)
    wait_until(lambda: not list(tmp_path.glob("one*")))
    assert list_children() == {}


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("answer", ["after", "beside", "cancel"])
def test_a_second_training_is_asked_about(
    answer: str, open_widget: Open, tmp_path: Path, discs: Path
) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, "first", epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    widget.ask_second = lambda: answer
    widget.training["epochs"].value = 2
    widget.start()
    first = RunFolder(tmp_path / "first")
    if answer == "beside":
        assert widget.run != first
        assert is_training(first)
        widget.wait(LONG)
        assert widget.run.config.exists()
        assert is_training(first)
        request_stop(first)
        return
    assert widget.run == first
    if answer == "after":
        assert "starts when this one has ended" in widget.message
    request_stop(first)  # from elsewhere: Stop in the window takes the next one back
    wait_until(lambda: not is_training(first))
    if answer == "after":
        wait_until(lambda: widget.run != first and widget.run.config.exists())
        assert widget.run.read_config().training.epochs == 2
    widget.wait(LONG)
    expected = 2 if answer == "after" else 1
    assert len([path for path in tmp_path.iterdir() if (path / "config.yaml").exists()]) == expected


@pytest.mark.usefixtures("stand_in")
def test_stop_takes_the_next_training_back(open_widget: Open, tmp_path: Path, discs: Path) -> None:
    widget = open_widget("Train")
    widget.data.choose_folder(discs)
    set_tiny(widget, tmp_path, "first", epochs=MANY)
    widget.start()
    wait_for_epoch(widget)
    widget.ask_second = lambda: "after"
    widget.start()
    widget.stop()
    widget.wait(LONG)
    assert widget.run.path.name == "first"
    assert not widget.is_running
    assert len([path for path in tmp_path.iterdir() if (path / "config.yaml").exists()]) == 1


def test_a_complaint_goes_when_its_cause_may_be_gone(open_widget: Open) -> None:
    widget = open_widget("Train")
    widget.data.tabs.setCurrentIndex(1)
    widget.start()
    assert "Choose a folder" in widget.message
    widget.training["epochs"].value += 1
    assert widget.message == ""
    widget.start()
    assert widget.message
    add_pairs(widget.viewer, 1)
    assert widget.message == ""
    widget.say("No complaint stays.")
    widget.training["epochs"].value += 1
    assert widget.message == "No complaint stays."


@pytest.mark.one_binding
def test_a_stack_alone_is_trained_on(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Train")
    images, masks = draw_discs(4)
    widget.viewer.add_image(images, name="stack")
    widget.viewer.add_labels(masks, name="stack mask")
    set_tiny(widget, tmp_path, epochs=1)
    widget.start()
    widget.wait(LONG)
    assert widget.message == "The training is finished."
    events = list(iter_events(widget.run))
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert any("planes" in note and "held out" in note for note in notes)
