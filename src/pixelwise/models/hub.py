"""Whether a file on the internet can be reached, answered within seconds."""

from __future__ import annotations

from threading import Thread
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE_S: Final = 4.0
"""How long a server and the names of servers may take to answer."""


def require_reachable(url: str) -> None:
    """Ask the server of a file whether it is there.

    The clients of the hubs try again for half a minute where there is no network. The look-up of a
    name knows no limit, so that it is waited for in a thread.

    Raises
    ------
    OSError
        There is no answer, or one that says no.
    """
    failed: list[OSError] = [TimeoutError(f"no answer within {PATIENCE_S:g} s")]
    thread = Thread(target=_ask, args=(url, failed), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if failed:
        raise failed[0]


def _ask(url: str, failed: list[OSError]) -> None:
    """Ask for the head of a file, and empty the list if it is there."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S):  # noqa: S310  https
            failed.clear()
    except HTTPError as error:
        failed[:] = [OSError(f"the server answers {error.code}")]
    except (OSError, ValueError) as error:
        failed[:] = [error if isinstance(error, OSError) else OSError(str(error))]
