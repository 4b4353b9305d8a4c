from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelwise.architectures import list_architectures
from pixelwise.config import ModelConfig
from pixelwise.jobs import DescribeJob
from pixelwise.widgets.architecture_diagram import SKETCHES
from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.models import ModelPicker, create_layer_table
from tests.widgets.conftest import LONG, wait_until

pytestmark = pytest.mark.display
Open = Callable[..., Any]


def test_a_network_is_described(open_widget: Open) -> None:
    widget = open_widget("Models")
    widget.picker.fill(ModelConfig.create(name="unet", options={"base_channels": 4}))
    widget.sizes["channels"].value, widget.sizes["patch"].value = 1, 64
    widget.cost.describe()
    widget.cost.wait(LONG)
    first = widget.cost.summary
    assert first["input_size"] == [64, 64]
    assert f"{first['parameters']:,} parameters" in widget.cost.text.text()
    widget.sizes["classes"].value = 9  # described again by itself
    widget.picker.changed.emit()

    wait_until(lambda: widget.cost.summary.get("parameters", 0) > first["parameters"])
    described, server = widget.cost.summary, get_server()
    other = ModelConfig.create(name="unet", options={"base_channels": 2})
    server.submit(DescribeJob.create(number=server.next_number(), model=other))
    wait_until(lambda: not server.is_busy)
    assert widget.cost.summary is described, "the answer was another's"
    table = create_layer_table(widget.cost.summary, widget)
    table.deleteLater()


def test_a_wrong_option_is_said(open_widget: Open) -> None:
    widget = open_widget("Models")
    widget.picker.name.value = "unetplusplus"
    widget.picker.encoder.native.setCurrentText("resnet99")
    widget.cost.describe()
    widget.cost.wait(LONG)
    assert "resnet99" in widget.message
    assert widget.cost.button.isEnabled()


@pytest.mark.parametrize("name", [item.name for item in list_architectures()])
def test_every_architecture_is_shown_and_chosen(qtbot: Any, name: str) -> None:
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.name.value = name
    architecture = next(item for item in list_architectures() if item.name == name)
    assert architecture.sentence in picker.sentence.text()
    assert picker.create() == ModelConfig.create(name=name, encoder=architecture.default_encoder)
    picker.show()
    assert not picker.diagram.grab().isNull()


def test_a_model_to_start_from_is_shown(qtbot: Any, tmp_path: Path) -> None:
    picker = ModelPicker()
    qtbot.addWidget(picker)
    wanted = ModelConfig.create(name="unet", start_from=tmp_path / "model.safetensors")
    picker.fill(wanted)
    assert picker.create() == wanted


def test_the_six_have_a_diagram_each() -> None:
    six = ["unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet"]
    assert set(six) <= set(SKETCHES)
    assert len({str(SKETCHES[name]) for name in six}) == 6
