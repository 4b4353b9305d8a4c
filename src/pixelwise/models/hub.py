"""Checks within seconds whether a file on the internet can be reached."""

from __future__ import annotations

from threading import Thread
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE_S: Final = 4.0
"""Time limit for the name look-up and the server's answer."""


def require_reachable(url: str) -> None:
    """Raise unless the server confirms that a file exists.

    Without a network, the hubs' clients retry for half a minute. A name look-up has no time limit,
    so it runs in a thread.

    Raises
    ------
    OSError
        There is no answer, or a negative one.
    """
    failed: list[OSError] = [TimeoutError(f"no answer within {PATIENCE_S:g} s")]
    thread = Thread(target=_ask, args=(url, failed), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if failed:
        raise failed[0]


def _ask(url: str, failed: list[OSError]) -> None:
    """Send a HEAD request, and clear the list if the file exists."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S):  # noqa: S310  https
            failed.clear()
    except HTTPError as error:
        failed[:] = [OSError(f"the server answers {error.code}")]
    except (OSError, ValueError) as error:
        failed[:] = [error if isinstance(error, OSError) else OSError(str(error))]
