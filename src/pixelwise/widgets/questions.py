"""Questions about a running training, as dialogs with one button for each answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, TypeVar

from qtpy.QtWidgets import QMessageBox, QWidget

SecondAnswer: TypeAlias = Literal["after", "beside", "cancel"]
CloseAnswer: TypeAlias = Literal["keep", "stop", "cancel"]
_Answer = TypeVar("_Answer", bound=str)


def ask_second(parent: QWidget) -> SecondAnswer:
    """Ask whether the next training waits for the running one, or runs beside it.

    In the window of a script, which nobody sees, it starts at once.
    """
    if not parent.isVisible():
        return "beside"
    text = "Two at once share the processor or the GPU, and each takes longer."
    return _ask(parent, text, {"Start after it": "after", "Run beside it": "beside"}) or "cancel"


def ask_close(parent: QWidget | None) -> CloseAnswer:
    """Ask whether the training continues when napari is closed; a script's is stopped."""
    if parent is None or not parent.isVisible():
        return "stop"
    text = "It can continue without napari. You can reattach to it when you reopen napari."
    return (
        _ask(parent, text, {"Continue without napari": "keep", "Save and stop": "stop"}) or "cancel"
    )


def _ask(parent: QWidget, text: str, answers: Mapping[str, _Answer]) -> _Answer | None:
    """Show a dialog; its first button is the default. None if it was cancelled."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setText("A training is running.")
    box.setInformativeText(text)
    roles = QMessageBox.ButtonRole
    buttons = {box.addButton(words, roles.ActionRole): value for words, value in answers.items()}
    box.addButton("Cancel", roles.RejectRole)
    box.setDefaultButton(next(iter(buttons)))
    box.exec_() if hasattr(box, "exec_") else box.exec()
    return buttons.get(box.clickedButton())
