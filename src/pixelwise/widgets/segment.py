"""The widget Segment: annotate, train, predict and evaluate as pages of one dock."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QTabWidget, QVBoxLayout, QWidget

from pixelwise.widgets.annotate import AnnotateWidget
from pixelwise.widgets.evaluate import EvaluateWidget
from pixelwise.widgets.panel import Panel
from pixelwise.widgets.predict import PredictWidget
from pixelwise.widgets.train import TrainWidget
from pixelwise.widgets.wheel import calm_wheel

if TYPE_CHECKING:
    import napari

_PAGES: dict[str, type[Panel]] = {
    "Annotate": AnnotateWidget,
    "Train": TrainWidget,
    "Predict": PredictWidget,
    "Evaluate": EvaluateWidget,
}


class SegmentWidget(QWidget):
    """Pages in the order of the work; each is made when it is first shown.

    When its dock is closed, the pages stay in the window, out of sight, for the next one.

    Attributes
    ----------
    tabs : QTabWidget
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._pages: dict[str, Panel] = {}
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for name in _PAGES:
            place = QWidget()
            QVBoxLayout(place).setContentsMargins(0, 0, 0, 0)
            self.tabs.addTab(place, name)
        calm_wheel(self.tabs.tabBar())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self._adopt_pages()
        self.tabs.currentChanged.connect(lambda index: self.page(self.tabs.tabText(index)))
        self.page(self.tabs.tabText(self.tabs.currentIndex()))

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was closed: it gives its widget away."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self._pages:
            QTimer.singleShot(0, self._keep_pages)
        return bool(super().event(event))

    def _keep_pages(self) -> None:
        """Hide in the window, unless that is gone, too."""
        with warnings.catch_warnings(), suppress(RuntimeError, AttributeError):
            warnings.simplefilter("ignore", FutureWarning)  # plugins are to ask for no window
            window = self._viewer.window._qt_window
            if self.parent() is None:
                self.setParent(getattr(window, "__wrapped__", window))  # Qt takes no proxy
                self.hide()
                for panel in self._pages.values():
                    panel.rest()

    def _adopt_pages(self) -> None:
        """Take the pages of an earlier dock of this viewer."""
        found = [w for top in QApplication.topLevelWidgets() for w in top.findChildren(type(self))]
        kept = [
            w for w in found if w._viewer == self._viewer and isinstance(w.parent(), QMainWindow)
        ]
        for old in kept:
            for name, panel in old._pages.items():
                self._place(name, panel)
            self.tabs.setCurrentIndex(old.tabs.currentIndex())
            old._pages = {}
            old.setParent(None)
            old.deleteLater()

    def _place(self, name: str, panel: Panel) -> None:
        """Put a panel into its tab."""
        self._pages[name] = panel
        panel.open_page = self.open_page
        self.tabs.widget(list(_PAGES).index(name)).layout().addWidget(panel)

    def page(self, name: str) -> Panel:
        """Page of this name, which need not be in front."""
        if name not in self._pages:
            self._place(name, _PAGES[name](self._viewer))
        return self._pages[name]

    def open_page(self, name: str) -> Panel:
        """Bring a page to the front."""
        self.tabs.setCurrentIndex(list(_PAGES).index(name))
        return self.page(name)
