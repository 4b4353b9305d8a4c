"""Threads for short work that must not block the window, such as saving an array; no torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer

_POLL_MS = 20
_THREADS = 2
_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="pixelwise")


def run_in_thread(
    work: Callable[[], Any],
    parent: QObject,
    *,
    then: Callable[[Any], None],
    failed: Callable[[Exception], None],
    abandoned: Callable[[], None] = lambda: None,
) -> None:
    """Do `work` in a thread; `then` gets its result, or `failed` its error, in Qt's thread.

    If `parent` is gone by then, only `abandoned` is called, to clean up.
    """
    _Watch(_pool.submit(work), parent, then=then, failed=failed, abandoned=abandoned)


class _Watch(QObject):
    """Polls whether the work is done."""

    def __init__(
        self,
        future: Future[Any],
        parent: QObject,
        *,
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        abandoned: Callable[[], None],
    ) -> None:
        super().__init__(parent)
        self._parent = parent
        self._abandon = partial(_abandon, future, abandoned)
        parent.destroyed.connect(self._abandon)
        self._future, self._then, self._failed = future, then, failed
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_POLL_MS)

    def _look(self) -> None:
        if not self._future.done():
            return
        self._timer.stop()
        self._parent.destroyed.disconnect(self._abandon)
        self.deleteLater()
        error = self._future.exception()
        if isinstance(error, Exception):
            self._failed(error)
        else:
            self._then(self._future.result())


def _abandon(future: Future[Any], clean: Callable[[], None], *_: object) -> None:
    """Clean up as soon as the work is done."""
    future.add_done_callback(lambda _: clean())
