"""State changes for event streams: Postgres notifies that views changed, and one query reads what the watchers lack."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from api.hub import Hub
from views import queries
from views.projection import CHANNEL

log = structlog.get_logger(__name__)

POLL_S = 2.0
"""The feed asks at least this often while a job is watched, in case a notification is lost."""
PAUSE_S = 0.02
"""The least pause between two queries. A busy pool commits hundreds of times a second."""
RECONNECT_S = 1.0

Read = Callable[..., Coroutine[Any, Any, Any]]


class Feed:
    """One listening connection and one task for all streams of the process."""

    def __init__(self, database_url: str, hub: Hub, read: Read) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self._dsn = url.render_as_string(hide_password=False)
        self._hub = hub
        self._read = read
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="views-listener", daemon=True)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._deliver())
        self._thread.start()

    async def close(self) -> None:
        self._closing.set()
        self._task.cancel()
        await asyncio.wait({self._task})
        await asyncio.to_thread(self._thread.join, 5)

    async def _deliver(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._hub.changed.wait()
            self._hub.changed.clear()
            watched = self._hub.watched()
            if not watched:
                continue
            try:
                self._hub.give_events(await self._read(queries.new_job_events, watched))
            except SQLAlchemyError as error:
                log.warning("feed waits for the database", error=type(error).__name__)
            await asyncio.sleep(PAUSE_S)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=3) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._wake()
                    while not self._closing.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._wake()
            except psycopg.Error as error:
                log.warning("feed waits for the database", error=type(error).__name__)
                self._closing.wait(RECONNECT_S)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hub.changed.set)
