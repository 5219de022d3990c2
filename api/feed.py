"""State changes for event streams: Postgres notifies that views changed, and one query reads what the watchers lack."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
from sqlalchemy import make_url

from api.hub import Hub
from api.problems import Problem
from runtime.outage_watch import OutageWatch
from runtime.postgres import is_pooled
from runtime.postgres_troubles import DATABASE_ERRORS
from runtime.telemetry import without_words
from views import queries
from views.projection import CHANNEL

POLL_S = 2.0
"""The feed asks at least this often while a job is watched, in case a notification is lost."""
PAUSE_S = 0.02
"""The least pause between two queries. A busy pool commits hundreds of times a second."""
POLL_POOLED_S = 0.5
"""How often the feed asks when a pooler stands before Postgres, through which nothing can be listened to."""

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
        watch = OutageWatch("event streams wait for the database", "event streams go on")
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._hub.changed.wait()
            self._hub.changed.clear()
            watched = self._hub.watched()
            if not watched:
                continue
            try:
                events = await self._read(queries.new_job_events, watched)
                self._hub.give_events(events)
                if len(events) >= queries.EVENTS_AT_ONCE_MAX:
                    self._hub.changed.set()
                watch.worked()
                await asyncio.sleep(PAUSE_S)
            except (*DATABASE_ERRORS, Problem) as error:
                await asyncio.sleep(watch.failed(type(error).__name__))
            except Exception as error:  # whatever it is, the streams of this process go on
                await asyncio.sleep(watch.failed(without_words(error)))

    def _listen(self) -> None:
        watch = OutageWatch("event streams do not hear from the database", "event streams hear from the database again")
        while not self._closing.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=3) as connection:
                    listens = not is_pooled(connection)
                    if listens:
                        connection.execute(f"LISTEN {CHANNEL}")
                    self._wake()
                    watch.worked()
                    while listens and not self._closing.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._wake()
                while not listens and not self._closing.wait(POLL_POOLED_S):
                    self._wake()
            except psycopg.Error as error:
                self._closing.wait(watch.failed(type(error).__name__))

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hub.changed.set)
