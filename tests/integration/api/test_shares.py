"""Over a real socket: whoever opens connections and says nothing keeps nobody out."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from api import connections
from runtime.open_files import raise_open_files
from tests.integration.api.conftest import Caller

SILENT = 1_100
"""More than one address may have."""


def test_silent_connections_keep_nobody_out(base_url: str, caller: Caller) -> None:
    there = urlsplit(base_url)
    assert there.hostname
    assert there.port
    assert raise_open_files() > 2 * SILENT + connections.FILES_KEPT
    with ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(socket.create_connection((there.hostname, there.port), timeout=60))
        assert httpx.get(f"{base_url}/healthz", timeout=60).status_code == 200
        assert caller.http.get("/v1/jobs").status_code == 200


def test_a_connection_that_does_not_end_its_headers_is_ended(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.05)
    there = urlsplit(base_url)
    with socket.create_connection((there.hostname or "", there.port or 0), timeout=60) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        with suppress(ConnectionResetError):
            assert slow.recv(1) == b""
