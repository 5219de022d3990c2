"""Processors as the processes they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

from runtime.roles import Role
from runtime.settings import Settings
from tests.integration.databases import logged_in

DEADLINE_S = 60.0
DATABASE_ROLES = (Role.INTAKE, Role.PROJECTOR)


class Running:
    def __init__(self, process: subprocess.Popen[bytes], log: Path, stream: IO[bytes]) -> None:
        self.process, self.log, self._stream = process, log, stream

    def said(self, words: str) -> bool:
        return words in self.log.read_text()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self._stream.close()

    def terminate(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(DEADLINE_S)
        self._stream.close()
        return status


class Processes:
    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings, self._directory = settings, directory
        self._started: list[Running] = []

    def start(self, name: str, group: str, **changes: object) -> Running:
        """`python -m streams.<name>` in this consumer group, with settings changed and the login of its role."""
        settings = self._settings.model_copy(update={"data": self._directory, "snapshot_every_ms": 1_000, **changes})
        if name in DATABASE_ROLES and make_url(settings.database_url).host is None:  # a server that is there
            settings = logged_in(settings, name)
        log = self._directory / f"{name}-{uuid.uuid4().hex[:6]}.log"
        stream = log.open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", f"streams.{name}", "--group", group],
            env={**os.environ, **settings.environment()},
            stdout=stream,
            stderr=stream,
        )
        running = Running(process, log, stream)
        self._started.append(running)
        return running

    def kill_all(self) -> None:
        for running in self._started:
            if running.process.poll() is None:
                running.kill()
