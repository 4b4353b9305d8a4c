"""Questions as dialogs with one button for each answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, TypeVar

from qtpy.QtWidgets import QMessageBox, QWidget

SecondAnswer: TypeAlias = Literal["after", "beside", "cancel"]
CloseAnswer: TypeAlias = Literal["keep", "stop", "cancel"]
RestoreAnswer: TypeAlias = Literal["restore", "discard", "later"]
_Answer = TypeVar("_Answer", bound=str)
_RUNNING: Final = "A training is running."


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


def ask_restore(parent: QWidget, image: str, when: str) -> RestoreAnswer:
    """Ask what to do with annotations that a napari left which ended without saving them.

    In the window of a script, which nobody sees, they are kept.
    """
    if not parent.isVisible():
        return "later"
    title = f"Strokes on {image} were not saved."
    text = f"napari ended before that, the last stroke was drawn on {when}."
    return _ask(parent, text, {"Restore": "restore", "Discard": "discard"}, title=title) or "later"


def _ask(
    parent: QWidget, text: str, answers: Mapping[str, _Answer], *, title: str = _RUNNING
) -> _Answer | None:
    """Show a dialog; its first button is the default. None if it was cancelled."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setText(title)
    box.setInformativeText(text)
    roles = QMessageBox.ButtonRole
    buttons = {box.addButton(words, roles.ActionRole): value for words, value in answers.items()}
    box.addButton("Cancel", roles.RejectRole)
    box.setDefaultButton(next(iter(buttons)))
    box.exec_() if hasattr(box, "exec_") else box.exec()
    return buttons.get(box.clickedButton())
