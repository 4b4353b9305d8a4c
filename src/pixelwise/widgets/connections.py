"""Connections to napari's events, which outlive the widget that made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Connections:
    """Connections that end together; `end` also works after their widget is gone."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., None]]] = []

    def make(self, emitter: Any, act: Callable[..., None]) -> None:
        """Connect."""
        emitter.connect(act)
        self._made.append((emitter, act))

    def end(self, *_: object) -> None:
        """Disconnect all."""
        while self._made:
            emitter, act = self._made.pop()
            emitter.disconnect(act)
