"""One process of ours: a Python module with the settings of its role in the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from local.processes import Process
from runtime.private_memory import PROCESS_HEADER
from runtime.proxies import except_loopback
from runtime.roles import Role, environment_of, variables_of
from runtime.settings import Settings, variable_of

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
"""How long a node may drain. Jobs that still run then are requeued when the stack starts again."""


class StackProgram:
    """`python -m module arguments…`.

    With a `ready_url`, the program is ready when a GET of the URL, which is at its `port`, answers 200 and names this
    process: another stack may have been started at the same moment on the same port. Without a `ready_url`, the program
    is ready while it runs."""

    def __init__(
        self,
        name: str,
        module: str,
        role: Role,
        settings: Settings,
        logs: Path,
        *,
        arguments: Sequence[str] = (),
        ready_url: str = "",
        port: int = 0,
        join_token: Callable[[], str] | None = None,
    ) -> None:
        """`join_token` draws one for each start of a node."""
        self.name = name
        self.port = port
        self._ready_url = ready_url
        self._join_token = join_token
        self._settings = variables_of(role) - {variable_of("join_token")}
        self._client = httpx.Client(timeout=2, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        """Kept, because making a client takes 20 ms. It asks this machine only, so no proxy is used."""
        environment = environment_of(role, settings, except_loopback(os.environ)) | {"PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", module, *arguments]
        self.process: Process | None = Process(name, command, logs / f"{name}.log", env=environment)

    @property
    def key_id(self) -> str:
        """Of the installation key from which the key is derived with which the program signs; empty: it signs
        nothing."""
        return self._environment().get(variable_of("signing_key"), "").partition(".")[0]

    def is_as(self, other: StackProgram) -> bool:
        """Both have the same settings, whatever their join tokens."""
        mine, its = self._environment(), other._environment()
        return all(mine.get(name) == its.get(name) for name in self._settings)

    def start(self) -> None:
        process = self._running()
        if self._join_token is not None:
            process.env = {**(process.env or {}), variable_of("join_token"): self._join_token()}
        process.start()

    def ready(self) -> bool:
        if not self.alive():
            return False
        if not self._ready_url:
            return True
        try:
            answer = self._client.get(self._ready_url)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.headers.get(PROCESS_HEADER) == str(self._running().pid)

    def await_ready(self) -> None:
        self._running().await_ready(self.ready, READY_TIMEOUT_S)

    def alive(self) -> bool:
        return self._running().alive()

    def kill(self) -> None:
        self._running().kill()

    def stop(self) -> None:
        self._running().stop(STOP_TIMEOUT_S)

    def _environment(self) -> dict[str, str]:
        return self._running().env or {}

    def _running(self) -> Process:
        assert self.process is not None
        return self.process
