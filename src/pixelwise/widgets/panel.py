"""What all widgets share: messages, folds, buttons, texts and settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLayout,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from pixelwise.errors import PixelwiseError
from pixelwise.widgets.full_names import show_full_names
from pixelwise.widgets.jobs import wait_until
from pixelwise.widgets.layers import connect_layers
from pixelwise.widgets.wheel import calm_wheel
from pixelwise.widgets.wording import for_window

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QResizeEvent, QShowEvent

PLUGIN = "napari-pixelwise"
_NOTE_LINES = 8  # of a message that are in sight
COMPLAINT = "color: #ff6b6b;"
"""Style of text that says what is wrong."""


class Panel(QWidget):
    """A dock widget: a column that scrolls; below it, always in sight, its buttons and messages.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    viewer : napari.Viewer
    message : str
        The last message; empty if there is none.
    open_page : callable
        Opens another widget of the plugin by its name, e.g. "Predict": in a dock, or as a page of
        *Segment*.
    log : str
        Output of the last child process that failed; "Log…" shows it.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setContentsMargins(6, 6, 6, 6)
        self._note = Note()
        self._note.hide()
        self.log = ""
        self._log_button = create_button("Log…", "Output of the process", self.show_log)
        self._log_button.hide()
        self._foot = QVBoxLayout()
        self._foot.setContentsMargins(6, 0, 6, 0)
        fill_column(self, create_scroll(inside), self._foot, self._note, self._log_button)
        self.setMinimumWidth(330)
        self.open_page: Callable[[str], Panel] = self._open_dock
        self._complained = False
        connect_layers(viewer, self.forgive)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Let the wheel scroll over all fields, and names that are cut be read."""
        super().showEvent(event)
        calm_wheel(self)
        show_full_names(self)

    @property
    def message(self) -> str:
        """The last message; empty if there is none."""
        return str(self._note.text())

    @property
    def is_running(self) -> bool:
        """Whether a job of this widget is running."""
        return False

    def rest(self) -> None:
        """End what only makes sense in sight: the dock was closed, and may come back."""

    def wait(self, seconds: float = 600.0) -> None:
        """Run Qt's event loop until the widget's job has ended, or could not begin.

        Raises
        ------
        TimeoutError
            It takes longer.
        """
        wait_until(lambda: not self.is_running, seconds)

    def pin(self, *parts: QWidget | QLayout) -> None:
        """Put the main buttons, progress and state below the column, where they never scroll."""
        for part in parts:
            self._foot.addWidget(part) if isinstance(part, QWidget) else self._foot.addLayout(part)

    def _open_dock(self, name: str) -> Panel:
        """Open another widget of the plugin in a dock of its own."""
        panel: Panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]
        return panel

    def say(self, text: str) -> None:
        """Show a message in the widget only; empty text removes it."""
        self._write_note(text, "")

    def forgive(self, *_: object) -> None:
        """Take a complaint away: something was changed that may have been its cause."""
        if self._complained:
            self.say("")

    def complain(self, text: str, log: str = "") -> None:
        """Show an error in the widget and as napari's notification, with a button for the log."""
        self._write_note(text, COMPLAINT)
        self._complained = True
        self.log = log
        self._log_button.setVisible(bool(log.strip()))
        show_error(for_window(text))

    def announce(self, text: str) -> None:
        """Show a success in the widget and as napari's notification."""
        self._write_note(text, "")
        show_info(for_window(text))

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Show expected errors as a message."""
        try:
            yield
        except (PixelwiseError, OSError) as error:
            self.complain(str(error))

    def show_log(self) -> None:
        """Show the output of the process in a separate window."""
        self._log_window = show_text("Log", self.log or "The process printed nothing.")

    def _write_note(self, text: str, style: str) -> None:
        self._log_button.hide()
        self._complained = False
        self._note.label.setStyleSheet(f"padding: 6px; {style}")
        self._note.setText(text)
        self._note.setVisible(bool(text))


class Fold(QWidget):
    """A section that opens and closes with a click on its title."""

    def __init__(self, title: str, inside: QWidget, *, is_open: bool = False) -> None:
        super().__init__()
        self.inside = inside
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setStyleSheet("QToolButton { border: none; font-weight: bold; }")
        self.button.toggled.connect(self._toggle)
        fill_column(self, self.button, inside)
        self.button.setChecked(is_open)
        self._toggle(is_open)

    def _toggle(self, is_open: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.button.setArrowType(arrow)
        self.inside.setVisible(is_open)


def create_scroll(inside: QWidget) -> QScrollArea:
    """Let a widget scroll up and down."""
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    return scroll


def create_row(*widgets: QWidget) -> QHBoxLayout:
    """Arrange widgets side by side."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        row.addWidget(widget)
    return row


def fill_column(widget: QWidget, *parts: QWidget | QLayout) -> QVBoxLayout:
    """Fill a widget with others, from the top down, without margins."""
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        column.addLayout(part) if isinstance(part, QLayout) else column.addWidget(part)
    return column


def stack_widgets(*widgets: QWidget) -> QWidget:
    """Stack widgets from the top down."""
    inside = QWidget()
    fill_column(inside, *widgets).addStretch()
    return inside


def create_page(*parts: QWidget) -> QWidget:
    """Stack widgets; the first takes the room that the others leave."""
    page = QWidget()
    fill_column(page, *parts).setStretch(0, 1)
    return page


def create_table(columns: Sequence[str], *, height: int) -> QTableWidget:
    """Create an empty table that cannot be edited, with a minimum height in pixels."""
    table = QTableWidget(0, len(columns))
    table.setHorizontalHeaderLabels(columns)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.verticalHeader().hide()
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setMinimumHeight(height)
    return table


def fill_table(table: QTableWidget, rows: Sequence[Sequence[str]]) -> None:
    """Replace the cells of a table."""
    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.setItem(number, column, QTableWidgetItem(text))


def remove_folders(folders: MutableSequence[Path], *_: object) -> None:
    """Remove folders; also works after a widget is gone."""
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)


def create_button(text: str, tip: str, act: Callable[[], Any]) -> QPushButton:
    """Create a push button; `act` is called without arguments."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda *_: act())
    return button


def write_tip(text: str) -> str:
    """Escape text for a tooltip, which Qt might take for HTML."""
    return f"<p style='white-space: pre'>{escape(for_window(text))}</p>"


class Text(QLabel):
    """A label that shows messages of the engine in the window's words."""

    def setText(self, text: str) -> None:  # noqa: N802  Qt's name
        """Show a message; options of the command line become fields, see `for_window`."""
        super().setText(for_window(text))


def create_text(text: str = "") -> Text:
    """Text that wraps and can be copied."""
    label = Text()
    label.setTextFormat(Qt.TextFormat.PlainText)  # names of files may look like HTML
    label.setText(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


class Note(QScrollArea):
    """Text as high as it is, up to some lines; more scrolls, so that nothing is pushed away.

    Attributes
    ----------
    label : Text
    """

    def __init__(self) -> None:
        super().__init__()
        self.label = create_text()
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        policy.setHeightForWidth(True)  # else it is as high as at a width that Qt likes
        self.label.setSizePolicy(policy)
        self.setWidget(self.label)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    def setText(self, text: str) -> None:  # noqa: N802  as a label's
        """Show another text, from its first line on."""
        self.label.setText(text)
        self.verticalScrollBar().setValue(0)
        self._fit()
        # Laid out in the next turn, it would be painted again.
        QCoreApplication.sendPostedEvents(self.viewport(), QEvent.Type.LayoutRequest.value)

    def text(self) -> str:
        """Text that is shown."""
        return str(self.label.text())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        """Take the height that the text needs at this width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.label.ensurePolished()  # the style's padding counts
        wanted = self.label.heightForWidth(self.width()) if self.text() else 0
        most = _NOTE_LINES * self.fontMetrics().lineSpacing()
        bar = Qt.ScrollBarPolicy  # a bar that comes and goes would change the width, and so on
        self.setVerticalScrollBarPolicy(
            bar.ScrollBarAlwaysOn if wanted > most else bar.ScrollBarAlwaysOff
        )
        self.setFixedHeight(min(wanted, most))


def show_text(title: str, text: str) -> QPlainTextEdit:
    """Show text in a separate window, which the caller must keep."""
    window = QPlainTextEdit()
    window.setReadOnly(True)
    window.setWindowTitle(title)
    window.resize(700, 400)
    window.setPlainText(text)
    window.show()
    return window


def read_setting(category: str, name: str, default: str) -> str:
    """Read a setting of the plugin from napari's preferences."""
    try:
        from napari.settings import get_plugin_settings

        value = getattr(getattr(get_plugin_settings(PLUGIN), category), name)
    except (ImportError, AttributeError, KeyError):
        return default
    return str(value) or default


def write_setting(category: str, name: str, value: str) -> None:
    """Change a setting of the plugin in napari's preferences, which napari saves.

    napari before 0.7 keeps no settings of plugins: there, nothing is remembered.
    """
    with suppress(ImportError, AttributeError, KeyError, ValueError, OSError):
        from napari.settings import get_plugin_settings

        setattr(getattr(get_plugin_settings(PLUGIN), category), name, value)


def runs_folder() -> Path:
    """Folder of the runs in napari's preferences; by default ~/pixelwise-runs."""
    return Path(read_setting("general", "runs_folder", "~/pixelwise-runs")).expanduser()
