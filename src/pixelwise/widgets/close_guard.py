"""Asks what to do with a running training when napari is closed."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet, ref

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QWidget

from pixelwise.widgets.questions import CloseAnswer, ask_close

_guards: WeakSet[CloseGuard] = WeakSet()


class CloseGuard(QObject):
    """Filters the close event of napari's window.

    napari keeps a widget whose dock is closed, so the guard still asks about its training, until a
    new widget takes over.

    Parameters
    ----------
    widget : QWidget
        The plugin's widget.
    is_running : callable
        Whether there is a training to ask about.
    stop : callable
        Saves and stops it.
    is_alone : callable
        Whether a new widget could not find the training yet.

    Attributes
    ----------
    ask : callable
        Returns "keep", "stop" or "cancel"; a dialog, unless a script replaces it.
    replaced : Signal
        Another guard has taken over the window.
    """

    replaced = Signal()

    def __init__(
        self,
        widget: QWidget,
        *,
        is_running: Callable[[], bool],
        stop: Callable[[], None],
        is_alone: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(widget)
        self._widget, self._is_running, self._stop = widget, is_running, stop
        self._is_alone = is_alone
        self.ask: Callable[[], CloseAnswer] = lambda: ask_close(self._window())
        self._window: Callable[[], QWidget | None] = lambda: None

    def watch(self) -> None:
        """Watch the widget's main window, even if its dock floats."""
        window = self._find_window()
        if window is self._window():
            return
        self._leave()
        for guard in [guard for guard in _guards if guard._window() is window]:
            if guard._is_alone():
                continue
            guard._leave()
            guard.replaced.emit()
        window.installEventFilter(self)
        self._window = ref(window)  # nothing here keeps it alive
        _guards.add(self)

    def _leave(self) -> None:
        """Stop watching the window."""
        if (window := self._window()) is not None:
            window.removeEventFilter(self)
        self._window = lambda: None
        _guards.discard(self)

    def _find_window(self) -> QWidget:
        """Find the main window, not a floating dock."""
        window = self._widget
        while (above := window.parentWidget()) is not None:
            window = above
        return window

    def eventFilter(self, _: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Ignore the close event if the user cancels."""
        if event.type() != QEvent.Type.Close or not self._is_running():
            return False
        answer = self.ask()
        if answer == "cancel":
            event.ignore()
            return True
        if answer == "stop":
            self._stop()
        return False
