"""The resources of one API process: its connections, its threads, and the answers that it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request

from api.catalog import Catalog
from api.feed import Feed
from api.hub import Hub
from api.metrics import Metrics
from api.policies import Policies
from api.progress import ProgressReader
from api.threads import AnsweringThreads
from contract import signers
from registry.keys import Keyring
from runtime import jobs_writer, postgres
from runtime.kafka import Delivery, Producer
from runtime.object_store_health import store_of_moment
from runtime.outage_watch import OutageWatch
from runtime.postgres import outage
from runtime.postgres_troubles import DATABASE_ERRORS, READ_ONLY, in_a_sentence, trouble_of
from runtime.settings import Settings

THREADS = 16
"""For calls that block: Postgres and the object store. Each thread has one database connection."""
DELIVERY_TIMEOUT_MS = 5_000
"""A submission that the broker has not acknowledged within this time is answered 503."""
STATEMENT_TIMEOUT_MS = 10_000
PATIENCE_S = 12.0
"""A call that takes longer is answered 503. Postgres ends a statement sooner, if Postgres runs at all."""

KEY_TTL_S = 5.0
"""A key that was revoked may still work here for so long."""
LEDGER_READS_MAX = 2
"""How many ledgers are read at once. Each keeps a thread and a core busy for seconds."""

P = ParamSpec("P")
T = TypeVar("T")


class BrokerClock:
    """The time of the broker, estimated from its last ack: how long a job has waited up to now. Nothing is decided by
    it."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def adjust_to(self, delivery: Delivery) -> None:
        self._ahead_ms = delivery.timestamp_ms - round(time.time() * 1000)

    def now_ms(self) -> int:
        return round(time.time() * 1000) + self._ahead_ms


class Resources:
    """Made before the first request, closed after the last."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.engine = postgres.engine(
            settings,
            pool_size=THREADS,
            max_overflow=0,
            hide_parameters=True,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        )
        self.store = store_of_moment(settings)  # a store that hangs is told of; nobody waits for it
        self.producer = Producer(settings.kafka, "headrace-api", delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
        self.signer = jobs_writer.signer_of(settings, signers.API)
        self.clock = BrokerClock()
        self.ledger_reads = asyncio.Semaphore(LEDGER_READS_MAX)
        self.database = OutageWatch("the API waits for the database", "the API reaches the database again")
        self.writes = OutageWatch("the database takes no writes of the API", "the database takes writes again")
        self._threads = AnsweringThreads(THREADS)
        self.keyring = Keyring(self.engine, KEY_TTL_S)
        self.catalog = Catalog(self.engine, self.in_thread)
        self.policies = Policies(self.engine, self.in_thread, signs=self.signer.signs)
        self.hub = Hub()
        self._feed = Feed(settings.database_url, self.hub, self.read)
        self._progress = ProgressReader(settings.kafka, self.hub)

    def start(self) -> None:
        """Begins to listen for what event streams show. Call in the event loop."""
        self._feed.start()
        self._progress.start()

    async def close(self) -> None:
        self.hub.close()
        await self._feed.close()
        await asyncio.to_thread(self._progress.close)
        await asyncio.to_thread(self.producer.close)
        self._threads.close()
        self.engine.dispose()

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns. It runs in a thread and does not block the event loop. DatabaseSilent when it has
        not returned within PATIENCE_S: then it may still be at work."""
        try:
            found = await self._threads.run(partial(function, *args, **kwargs), PATIENCE_S)
        except DATABASE_ERRORS as error:
            if outage(error) and trouble_of(error) is not READ_ONLY:
                self.database.failed(in_a_sentence(error))
            raise
        self.database.worked()
        return found

    async def in_store(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, which asks the object store alone: the store's own time-outs end it, and no error
        of the database stands for them."""
        return await self.in_thread_for_long(function, *args, **kwargs)

    async def in_thread_for_long(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `in_thread`, however long it takes: for work that is bounded in another way."""
        return await self._threads.run(partial(function, *args, **kwargs), None)

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the query returns, on a connection of its own."""

        def run() -> T:
            with self.engine.connect() as connection:
                return query(connection, *args, **kwargs)

        return await self.in_thread(run)

    async def write(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the change returns, in a transaction that commits when it returns and rolls back when it raises."""

        def run() -> T:
            with self.engine.begin() as connection:
                return change(connection, *args, **kwargs)

        try:
            done = await self.in_thread(run)
        except DATABASE_ERRORS as error:
            if outage(error):
                self.writes.failed(in_a_sentence(error))
            raise
        self.writes.worked()
        return done


def resources_of(request: Request) -> Resources:
    resources = request.app.state.resources
    assert isinstance(resources, Resources)
    return resources
