"""The scores of an evaluation in a window: one headline that says what it is, and a table."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from pixelwise.scores import MEAN_DEFINITIONS, SCORE_DEFINITIONS, Scores, describe_headline
from pixelwise.widgets.panel import create_text, write_tip

_SHORT = {
    "accuracy": "acc.",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "precision": "prec.",
    "dice": "Dice",
    "iou": "IoU",
    "macro": "mean",
    "micro": "pooled",
    "macro, foreground": "mean, fg",
    "micro, foreground": "pooled, fg",
}
_COLUMNS = {
    "class": ("class", "Class, or several classes taken together"),
    **{name: (_SHORT[name], f"{name}: {text}") for name, text in SCORE_DEFINITIONS.items()},
}
_MEANS = {name: (_SHORT[name], f"{name}: {text}") for name, text in MEAN_DEFINITIONS.items()}
_MOST_HEIGHT_PX = 300
_MARGIN_PX = 8


class Headline(QWidget):
    """The one score that sums an evaluation up, and what it is; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.definition = create_text(), create_text()
        self.score.setStyleSheet("font-size: 16px; font-weight: bold;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(0)
        layout.addWidget(self.score)
        layout.addWidget(self.definition)
        self.hide()

    def show_scores(self, scores: Scores, counted: str) -> None:
        """Show the mean Dice of the foreground; `counted` says which pixels were counted."""
        title, definition = describe_headline(scores, counted)
        self.score.setText(title)
        self.definition.setText(definition)
        self.show()


class ScoreTable(QTableWidget):
    """One row per class, then the means, in columns that share the width that there is."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        for column, (text, tip) in enumerate(_COLUMNS.values()):
            self.setHorizontalHeaderItem(column, _create_item(text, tip))
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setMinimumSectionSize(10)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("font-size: 11px;")
        self.hide()

    def show_scores(self, scores: Scores) -> None:
        """Show all scores with three digits."""
        rows = scores.rows()
        self.setRowCount(len(rows))
        for number, (name, row) in enumerate(rows.items()):
            shown = (name, name) if number < len(scores.names) else _MEANS[name]
            self.setItem(number, 0, _create_item(*shown))
            for column, (score, value) in enumerate(row.to_dict().items(), start=1):
                text = "-" if value is None else f"{value:.3f}"
                tip = f"{name}\n{_COLUMNS[score][1]}\n{'not defined' if value is None else value}"
                item = _create_item(text, tip)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, item)
        self.show()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        """Share the width that there is."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Give numbers what they need, and the names all the rest."""
        head = self.horizontalHeader()
        texts = ["0.000", *(text for text, _ in list(_COLUMNS.values())[1:])]
        needed = max(self.fontMetrics().horizontalAdvance(text) for text in texts) + _MARGIN_PX
        width, numbers = self.viewport().width(), len(_COLUMNS) - 1
        each = min(needed, width // len(_COLUMNS))
        for column in range(1, len(_COLUMNS)):
            self.setColumnWidth(column, each)
        self.setColumnWidth(0, width - numbers * each)
        height = head.sizeHint().height() + self.verticalHeader().length() + 4
        self.setFixedHeight(min(height, _MOST_HEIGHT_PX))


def _create_item(text: str, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(write_tip(tip))
    return item
