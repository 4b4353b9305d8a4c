from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pixelwise.models import hub
from pixelwise.models.hub import require_reachable


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


def test_a_server_that_answers(server: str) -> None:
    require_reachable(f"{server}/there")
    with pytest.raises(OSError, match="answers 404"):
        require_reachable(f"{server}/gone")


def test_no_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE_S", 0.2)
    over = threading.Event()

    def wait(*_: Any, **__: Any) -> Any:
        over.wait()
        raise OSError("over")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer"):
        require_reachable("http://nowhere.invalid/a")
    assert time.monotonic() - start < 3
    over.set()
