"""The widget Segment: annotate, train, predict and evaluate as pages of one dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

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
        self.tabs.currentChanged.connect(lambda index: self.page(self.tabs.tabText(index)))
        self.page(self.tabs.tabText(0))

    def page(self, name: str) -> Panel:
        """Page of this name, which need not be in front."""
        if name not in self._pages:
            self._pages[name] = panel = _PAGES[name](self._viewer)
            panel.open_page = self.open_page
            place = self.tabs.widget(list(_PAGES).index(name))
            place.layout().addWidget(panel)
        return self._pages[name]

    def open_page(self, name: str) -> Panel:
        """Bring a page to the front."""
        self.tabs.setCurrentIndex(list(_PAGES).index(name))
        return self.page(name)
