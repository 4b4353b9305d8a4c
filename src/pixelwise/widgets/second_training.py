"""What happens when a training is asked for while another one is running: the user is asked."""

from __future__ import annotations

from typing import Literal, TypeAlias

from qtpy.QtWidgets import QMessageBox, QWidget

Answer: TypeAlias = Literal["after", "beside", "cancel"]


def ask_second(parent: QWidget) -> Answer:
    """Ask whether the next training waits, or runs beside the first one.

    A window that nobody sees, as a script's, starts it after the first one.
    """
    if not parent.isVisible():
        return "after"
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setText("A training is running.")
    box.setInformativeText("Two at once share the processor or the GPU, and each takes longer.")
    roles = QMessageBox.ButtonRole
    after = box.addButton("Start after it", roles.AcceptRole)
    beside = box.addButton("Run beside it", roles.DestructiveRole)
    box.addButton("Cancel", roles.RejectRole)
    box.setDefaultButton(after)
    box.exec_() if hasattr(box, "exec_") else box.exec()
    clicked = box.clickedButton()
    return "after" if clicked is after else "beside" if clicked is beside else "cancel"
