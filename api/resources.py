"""The resources of one API process: its connections, its threads, and the answers that it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request

from api.cancels import Cancels
from api.catalog import Catalog
from api.feed import Feed
from api.heard import Heard
from api.hub import Hub
from api.key_checks import KeyChecks
from api.metrics import Metrics
from api.policies import Policies
from api.problems import Problem
from api.progress import ProgressReader
from api.shares import ASKER, CallerShares
from api.threads import AnsweringThreads
from contract import signers
from registry.keys import Key, Keyring
from runtime import jobs_writer, postgres
from runtime.kafka import Delivery, Producer
from runtime.object_store_health import store_of_moment
from runtime.outage_watch import OutageWatch
from runtime.postgres import outage
from runtime.postgres_troubles import DATABASE_ERRORS, READ_ONLY, in_a_sentence, trouble_of
from runtime.settings import Settings

KEY_THREADS, VIEW_THREADS, CHECK_THREADS, STORE_THREADS, LEDGER_THREADS = 4, 16, 2, 6, 2
"""Threads for each kind of work that blocks, so that no kind waits for another: keys, all else that asks Postgres,
checks of inputs, the object store, ledgers. The first two kinds have a database connection for each thread."""
UPLOAD_THREADS, UPLOAD_THREADS_EACH = 3, 1
"""For looking at what was uploaded: a file of 200 MB may be read for that."""
UPLOAD_PATIENCE_S = 60.0
SENDERS_EACH_MAX, SENDERS_MAX = 4, 16
"""Requests that send pieces of uploads through this process, at once, of one tenant and of all: each has a block of
8 MiB in memory."""
KEY_THREADS_EACH, VIEW_THREADS_EACH, CHECK_THREADS_EACH, STORE_THREADS_EACH, LEDGER_THREADS_EACH = 2, 12, 1, 4, 1
"""Of these, what one address (keys) or one tenant (all others) may have at once."""
REQUESTS_EACH_MAX = 200
"""Requests of one tenant that this process serves at once, without event streams. Each may hold a body."""
DELIVERY_TIMEOUT_MS = 5_000
"""A submission that the broker has not acknowledged within this time is answered 503."""
STATEMENT_TIMEOUT_MS = 10_000
PATIENCE_S = 12.0
"""A call that takes longer is answered 503. Postgres ends a statement sooner, if Postgres runs at all."""

LEDGER_PATIENCE_S = 30.0
"""As PATIENCE_S, for readings of a ledger, each of which may begin anew without snapshots."""
KEY_TTL_S = 5.0
"""A key that was revoked may still work here for so long."""
BUSY_RETRY_S = 2

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
            pool_size=KEY_THREADS + VIEW_THREADS,
            max_overflow=0,
            hide_parameters=True,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        )
        self.egress_policy = settings.egress_policy
        self.store = store_of_moment(settings)  # a store that hangs is told of; nobody waits for it
        self.producer = Producer(settings.brokers, "headrace-api", delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
        self.signer = jobs_writer.signer_of(settings, signers.API)
        self.cancels = Cancels()
        self.heard = Heard()
        self.clock = BrokerClock()
        self.ledger_askers = CallerShares(LEDGER_THREADS_EACH)
        self.requests = CallerShares(REQUESTS_EACH_MAX)
        self.senders, self.all_senders = CallerShares(SENDERS_EACH_MAX), CallerShares(SENDERS_MAX)
        self.database = OutageWatch("the API waits for the database", "the API reaches the database again")
        self.writes = OutageWatch("the database takes no writes of the API", "the database takes writes again")
        self._keys = AnsweringThreads(KEY_THREADS, each_max=KEY_THREADS_EACH)
        self._views = AnsweringThreads(VIEW_THREADS, each_max=VIEW_THREADS_EACH)
        self._checks = AnsweringThreads(CHECK_THREADS, each_max=CHECK_THREADS_EACH, busy=_busy)
        self._store = AnsweringThreads(STORE_THREADS, each_max=STORE_THREADS_EACH, busy=_store_slow)
        self._uploads = AnsweringThreads(UPLOAD_THREADS, each_max=UPLOAD_THREADS_EACH, busy=_store_slow)
        self._ledger = AnsweringThreads(LEDGER_THREADS, each_max=LEDGER_THREADS_EACH, busy=_busy)
        self._keyring = Keyring(self.engine, KEY_TTL_S)
        self.keys = KeyChecks(self._keyring, self._look_up)
        self.catalog = Catalog(self.engine, self.in_thread, self._in_check)
        self.policies = Policies(self.engine, self.in_thread, signs=self.signer.signs)
        self.hub = Hub()
        self._feed = Feed(settings.database_url, self.hub, self.read)
        self._progress = ProgressReader(settings.brokers, self.hub)

    def start(self) -> None:
        """Begins to listen for what event streams show. Call in the event loop."""
        self._feed.start()
        self._progress.start()

    async def close(self) -> None:
        self.hub.close()
        await self._feed.close()
        await asyncio.to_thread(self._progress.close)
        await asyncio.to_thread(self.producer.close)
        for threads in (self._keys, self._views, self._checks, self._store, self._uploads, self._ledger):
            threads.close()
        self.engine.dispose()

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, which asks Postgres. It runs in a thread and does not block the event loop.
        DatabaseSilent when it has not returned within PATIENCE_S: then it may still be at work."""
        return await self._ask_database(self._views, ASKER.get(), partial(function, *args, **kwargs))

    async def in_store(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, which asks the object store alone. Problem 503 when too many wait, or it has not
        returned within PATIENCE_S: a store that sends a byte now and then keeps its threads, and nobody else."""
        return await self._store.run(partial(function, *args, **kwargs), PATIENCE_S, ASKER.get())

    async def in_uploads(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `in_store`, for what reads a whole upload. Problem 503 when it has not returned within
        UPLOAD_PATIENCE_S."""
        return await self._uploads.run(partial(function, *args, **kwargs), UPLOAD_PATIENCE_S, ASKER.get())

    async def in_ledger(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, which reads a ledger and bounds what it reads itself. Problem 503 when it has not
        returned within LEDGER_PATIENCE_S: a store with endless lists of snapshots keeps a thread, and no caller."""
        return await self._ledger.run(partial(function, *args, **kwargs), LEDGER_PATIENCE_S, ASKER.get())

    @property
    def reads_ledgers(self) -> bool:
        """As many ledgers are read now as may be at once: each keeps a thread and a core busy for seconds."""
        return self._ledger.is_full

    async def _in_check(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, which only computes. One of a tenant's at a time."""
        return await self._checks.run(partial(function, *args, **kwargs), PATIENCE_S, ASKER.get())

    async def _look_up(self, secret: str, who: str) -> Key | None:
        return await self._ask_database(self._keys, who, partial(self._keyring.resolve, secret))

    async def _ask_database(self, threads: AnsweringThreads, who: str, function: Callable[[], T]) -> T:
        try:
            found = await threads.run(function, PATIENCE_S, who)
        except DATABASE_ERRORS as error:
            if outage(error) and trouble_of(error) is not READ_ONLY:
                self.database.failed(in_a_sentence(error))
            raise
        self.database.worked()
        return found

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


def _busy() -> Problem:
    return Problem(
        503,
        "busy",
        "this API does as much work of this kind as it can: send the same request again in a moment",
        retry_after_s=BUSY_RETRY_S,
    )


def _store_slow() -> Problem:
    return Problem(
        503,
        "store-unavailable",
        "the object store answers too slowly for all who ask: try again",
        retry_after_s=BUSY_RETRY_S,
    )


def resources_of(request: Request) -> Resources:
    resources = request.app.state.resources
    assert isinstance(resources, Resources)
    return resources
