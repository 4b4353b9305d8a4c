"""What happens to a running training when napari is closed: the user is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QWidget

Answer = Literal["keep", "stop", "cancel"]


class CloseGuard(QObject):
    """Sees the close event of napari's window before napari does.

    Parameters
    ----------
    widget : QWidget
        The plugin's widget.
    is_running : callable
        Whether there is a training to ask about.
    stop : callable
        Saves and stops it.

    Attributes
    ----------
    ask : callable
        Gives "keep", "stop" or "cancel"; a dialog, unless a script puts something else here.
    """

    def __init__(
        self, widget: QWidget, *, is_running: Callable[[], bool], stop: Callable[[], None]
    ) -> None:
        super().__init__(widget)
        self._widget, self._is_running, self._stop = widget, is_running, stop
        self.ask: Callable[[], Answer] = self._ask

    def watch(self) -> None:
        """Watch the window that the widget belongs to, also from a dock that floats."""
        self._find_window().installEventFilter(self)

    def _find_window(self) -> QWidget:
        """Give the window itself, not a dock that floats; nothing here keeps it alive."""
        window = self._widget
        while (above := window.parentWidget()) is not None:
            window = above
        return window

    def eventFilter(self, _: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Hold back a close event that the user takes back."""
        if event.type() != QEvent.Type.Close or not self._is_running():
            return False
        answer = self.ask()
        if answer == "cancel":
            event.ignore()
            return True
        if answer == "stop":
            self._stop()
        return False

    def _ask(self) -> Answer:
        if not self._find_window().isVisible():  # a script's window: nobody is there to ask
            return "stop"
        box = QMessageBox(self._find_window())
        box.setIcon(QMessageBox.Icon.Question)
        box.setText("A training is running.")
        box.setInformativeText(
            "It can go on without napari; the next napari finds it and shows all its curves."
        )
        roles = QMessageBox.ButtonRole
        keep = box.addButton("Go on without napari", roles.AcceptRole)
        stop = box.addButton("Save and stop", roles.DestructiveRole)
        box.addButton("Cancel", roles.RejectRole)
        box.setDefaultButton(keep)
        box.exec_() if hasattr(box, "exec_") else box.exec()
        clicked = box.clickedButton()
        return "keep" if clicked is keep else "stop" if clicked is stop else "cancel"
