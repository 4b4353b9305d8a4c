"""The models of the runs' folder in a list: name, classes, score and date in place of a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from magicgui.widgets import FileEdit
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from pixelwise.cards import Card, TrainingSummary, read_card
from pixelwise.errors import PixelwiseError, show_text
from pixelwise.starter import starter_path
from pixelwise.widgets.forms import lay_out
from pixelwise.widgets.full_names import NameList
from pixelwise.widgets.panel import create_row, write_tip

OTHER: Final = "Other file…"
_STARTER: Final = "Starter model"
_RUN_MODEL: Final = "model.safetensors"
_MOST_MODELS: Final = 500
_MOST_CLASSES: Final = 2
_SECONDS: Final = 0.2
"""Longest wait for model cards; the rest are read a moment later."""
_PAUSE_MS: Final = 50

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class ListedModel:
    """A model that can be chosen.

    Attributes
    ----------
    path : Path
    text : str
        ``nuclei-1 · nucleus · Dice 0.91 · 2026-11-28 10:03``
    is_trained : bool
        Whether it has finished an epoch.
    """

    path: Path
    text: str
    is_trained: bool


_known: dict[Path, tuple[_Stamp, ListedModel | None]] = {}


class ModelList(QWidget):
    """A list of models above the field for a file, which shows for "Other file…" only.

    Parameters
    ----------
    field : magicgui FileEdit
        Holds the path, whoever sets it: a path that is not in the list is added to it.
    folder : callable
        Gives the folder of the runs.

    Attributes
    ----------
    box : QComboBox
        The trained models, the newest first, then the starter model, then models from elsewhere,
        then `OTHER`.
    """

    def __init__(self, field: FileEdit, folder: Callable[[], Path]) -> None:
        super().__init__()
        self._field, self._folder = field, folder
        self._elsewhere: list[Path] = []
        self._taken: Path | None = None  # chosen by this list, not by the user
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh)
        self.box = _Box(self.refresh)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(create_row(QLabel("Model"), self.box))
        self._file = lay_out([field])[1]
        layout.addWidget(self._file)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.box.activated.connect(self._choose)
        field.changed.connect(self._show_choice)
        self.refresh()

    def refresh(self) -> None:
        """List the models again; choose the first one unless the user has chosen another."""
        models, is_whole = list_models(self._folder())
        starter = read_model(starter_path())
        offered = [model for model in [*models, starter] if model is not None and model.is_trained]
        others = [path for path in self._elsewhere if path not in [one.path for one in offered]]
        named = [model for path in others if (model := read_model(path)) is not None]
        self._fill([*offered, *named])
        if offered and self._path in (Path(), self._taken):
            self._taken = offered[0].path.expanduser().absolute()  # as the field gives it
            self._field.value = self._taken
        self._show_choice()
        if not is_whole:
            self._later.start(_PAUSE_MS)

    @property
    def _path(self) -> Path:
        text = self._field.line_edit.value.strip()
        return Path(text).expanduser().absolute() if text else Path()

    def _fill(self, models: list[ListedModel]) -> None:
        """Replace the entries if something has changed."""
        entries = [(model.text, str(model.path.expanduser().absolute())) for model in models]
        entries.append((OTHER, ""))
        items = range(self.box.count())
        if entries == [(self.box.itemText(i), self.box.itemData(i)) for i in items]:
            return
        blocker = QSignalBlocker(self.box)
        self.box.clear()
        for number, (text, path) in enumerate(entries):
            self.box.addItem(text, path)
            tip = f"{text}\n{path}" if path else "A model file in another folder"
            self.box.setItemData(number, write_tip(tip), Qt.ItemDataRole.ToolTipRole)
        blocker.unblock()

    def _choose(self, index: int) -> None:
        """Take the model of an entry, or ask for a file."""
        if path := self.box.itemData(index):
            self._field.value = Path(path)
        self._file.setVisible(not path)
        self._tell()

    def _show_choice(self, *_: object) -> None:
        """Show the entry of the path in the field; add it if it is a model from elsewhere."""
        path = self._path
        index = self.box.findData(str(path))
        if index < 0 and (model := read_model(path)) is not None:
            self._elsewhere.append(path)
            index = self.box.count() - 1
            self.box.insertItem(index, model.text, str(path))
            tip = write_tip(f"{model.text}\n{path}")
            self.box.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        blocker = QSignalBlocker(self.box)
        self.box.setCurrentIndex(index if index >= 0 else self.box.count() - 1)
        blocker.unblock()
        self._file.setVisible(index < 0)
        self._tell()

    def _tell(self) -> None:
        """Show the tooltip of the chosen entry on the closed list, which elides a long text."""
        self.box.setToolTip(self.box.currentData(Qt.ItemDataRole.ToolTipRole) or "")


class _Box(NameList):
    """A list that is never wider than its column, and is read again when it opens."""

    cut = Qt.TextElideMode.ElideRight

    def __init__(self, refresh: Callable[[], None]) -> None:
        super().__init__()
        self._refresh = refresh
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.setSizeAdjustPolicy(policy)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def showPopup(self) -> None:  # noqa: N802  Qt's name
        """Open the list, wide enough for its entries."""
        self._refresh()
        view = self.view()
        bar = view.verticalScrollBar().sizeHint().width()
        view.setMinimumWidth(max(self.width(), view.sizeHintForColumn(0) + bar))
        super().showPopup()


def list_models(folder: Path, seconds: float = _SECONDS) -> tuple[list[ListedModel], bool]:
    """List the models of the runs in a folder, the newest first.

    Cards that have not changed are not read again. After `seconds` no further ones are read: then
    the list is not whole, which the second value says, and a further call reads on.
    """
    try:
        paths = list(folder.glob(f"*/{_RUN_MODEL}"))
    except (OSError, ValueError):
        paths = []
    stamped = [(stamp, path) for path in paths if (stamp := _read_stamp(path)) is not None]
    stamped.sort(key=lambda pair: (-pair[0][0], pair[1]))
    end = time.monotonic() + seconds
    models, is_whole = [], True
    for stamp, path in stamped[:_MOST_MODELS]:
        known = _known.get(path)
        if time.monotonic() > end and (known is None or known[0] != stamp):
            is_whole = False
            continue
        if (model := read_model(path)) is not None:
            models.append(model)
    return models, is_whole


def read_model(path: Path) -> ListedModel | None:
    """Describe a model file by its card; None if it is none, is damaged, or cannot be read."""
    stamp = _read_stamp(path)
    if stamp is None:
        return None
    known = _known.get(path)
    if known is None or known[0] != stamp:
        known = _known[path] = stamp, _describe(path, stamp)
    return known[1]


def describe_training(training: TrainingSummary | None) -> str:
    """Say how far a model was trained and how good it was, in a few words."""
    if training is None:
        return "nothing is said about its training"
    if training.epochs < 1:
        return "not trained: it has not finished an epoch"
    dice = training.scores.get("dice")
    score = "" if dice is None else f", Dice {dice:.2f} on the validation images"
    return f"trained for {training.epochs} epoch{'s' * (training.epochs != 1)}{score}"


def _read_stamp(path: Path) -> _Stamp | None:
    """When a file was changed, in ns, and its size; None if there is no file."""
    try:
        found = path.stat()
        return (found.st_mtime_ns, found.st_size) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _describe(path: Path, stamp: _Stamp) -> ListedModel | None:
    try:
        card = read_card(path)
    except (PixelwiseError, OSError):
        return None
    is_starter = path == starter_path()
    name = path.parent.name if path.name == _RUN_MODEL else path.stem
    dice = None if card.training is None else card.training.scores.get("dice")
    parts = [_STARTER if is_starter else name, _list_classes(card)]
    if dice is not None:
        parts.append(f"Dice {dice:.2f}")
    is_trained = card.training is not None and card.training.epochs >= 1
    if card.training is not None and not is_trained:
        parts.append("not trained")
    if not is_starter:
        parts.append(f"{datetime.fromtimestamp(stamp[0] / 1e9):%Y-%m-%d %H:%M}")
    return ListedModel(path, show_text(" · ".join(parts)), is_trained)


def _list_classes(card: Card) -> str:
    """Names of the classes but the background, the first ones of many."""
    names = [name for i, name in enumerate(card.class_names) if i != card.background]
    more = len(names) - _MOST_CLASSES
    if more == 1:
        return ", ".join(names)
    return ", ".join(names[:_MOST_CLASSES]) + (f" and {more} more" if more > 1 else "")
