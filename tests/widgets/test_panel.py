from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from pixelwise.widgets.panel import Note

pytestmark = pytest.mark.display
USUAL = (
    "A message of some lines, as they are usual: three or four at the width of the dock, where it "
    "is not to be cut. /a/path/of-a-run/model.safetensors"
)


def test_a_note_is_as_high_as_its_text_up_to_some_lines(qtbot: Any) -> None:
    page, note = QWidget(), Note()
    qtbot.addWidget(page)
    layout = QVBoxLayout(page)
    layout.addWidget(note)
    layout.addStretch()
    page.resize(340, 500)
    page.show()
    qtbot.waitExposed(page)
    heights = []
    for text in ("one line", USUAL, "\n".join(map(str, range(20)))):
        note.label.setStyleSheet("padding: 6px;")
        note.setText(text)
        qtbot.wait(50)
        heights.append(note.height())
        fits = note.label.height() <= note.height()
        assert fits is not note.verticalScrollBar().isVisible()
        assert fits is (text.count("\n") < 19)
        assert note.label.height() >= note.label.heightForWidth(note.label.width()), "none is cut"
    assert heights == sorted(set(heights))
    note.setText("")
    assert note.height() == 0
