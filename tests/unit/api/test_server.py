"""The server of the API's process."""

from __future__ import annotations

import sys

import pytest
import uvicorn

from api.__main__ import SWITCH_S, ApiServer
from api.app import Application
from runtime.settings import Settings


def test_a_thread_that_computes_for_one_tenant_gives_way_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []
    before = sys.getswitchinterval()
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: found.append(sys.getswitchinterval()))
    try:
        ApiServer(Application(Settings())).run([])
    finally:
        sys.setswitchinterval(before)
    assert found == [pytest.approx(SWITCH_S)]
