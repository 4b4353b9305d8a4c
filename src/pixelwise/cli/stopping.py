"""Stopping a training by Ctrl-C or a signal, so that it saves first."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from types import FrameType

from pixelwise.cli.console import note
from pixelwise.errors import WriteError
from pixelwise.events import Event
from pixelwise.runs import RunFolder, request_stop


@contextmanager
def stop_on_signals(
    run: RunFolder, events: Generator[Event, None, None]
) -> Iterator[Iterator[Event]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second Ctrl-C ends at once.

    So does a first one before training has begun, because the folder may belong to another process.
    If the request cannot be written, the events end, which also stops training.
    """
    from pixelwise.training.distributed import count_processes

    asked = refused = begun = False
    is_alone = count_processes()[0] == 1  # else only rank 0 sees events

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked, refused
        if asked or not (begun if is_alone else run.events.exists()):
            raise KeyboardInterrupt
        asked = True
        try:
            request_stop(run)
        except WriteError as error:
            refused = True
            note(f"{error} Training stops anyway.")
        else:
            note("Stopping after this step; the run will be saved.")

    def iter_until_refused() -> Iterator[Event]:
        nonlocal begun
        with closing(events):
            for event in events:
                begun = True
                yield event
                if refused:
                    return

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield iter_until_refused()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
