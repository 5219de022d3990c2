"""Whether this API process can serve: asked in the background, so that a probe is answered at once from what is known.

Theory of operation. Each part (Kafka, Postgres, the object store) is asked again and again by a task of its own, over a
connection and a thread of its own: what the requests do, or wait for, delays no question, and no question is opened
while one is open. A probe reads the last answers. So a slow answer changes nothing until the last one is older than
STALE_S, and a failure counts when the same part has failed twice in a row. Whoever probes sees how old each answer is.

Decision 0030 says which parts take the process out of service and which are only told of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from api.bodies import Health
from api.heard import Heard
from api.policies import SIGNING_TODO
from api.resources import STATEMENT_TIMEOUT_MS, Resources
from api.threads import AnsweringThreads
from contract.topics import JOBS
from registry import pools
from runtime import postgres
from runtime.kafka import Watermarks
from runtime.object_store import StoreFault
from runtime.object_store_health import ask, store_of_moment
from runtime.postgres import ReadOnly, require_writable
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
from views import queries
from views.queries import PoolView

ASK_EVERY_S = 5.0
STORE_EVERY_S = 10.0
"""A question to the object store is a write and a read, which cost money."""
ASK_AGAIN_S = 1.0
"""How soon a part is asked again that has failed."""
STALE_S = 20.0
"""A part that has not answered for so long does not do its work. A question of the slowest kind begins 10 s after the
last answer and has ended within 10 s, by an error if not by an answer: so this tells of parts that stand still."""
FAILURES_BELIEVED = 2
"""After so many failures in a row a part is away. One may be a connection that broke, or a machine that was busy."""

OK = "ok"
KAFKA, POSTGRES, OBJECT_STORE, POLICY, SIGNING = "kafka", "postgres", "object_store", "policy", "signing"

Found = TypeVar("Found")


class PartWatch(Generic[Found]):
    """Asks one part again and again, and keeps what is to be believed of it."""

    def __init__(
        self,
        question: Callable[[], Coroutine[Any, Any, Found]],
        every_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`question`: what the part answers. It raises when the part does not do its work."""
        self._question = question
        self._every_s = every_s
        self._now_s = now_s
        self._believed = ""
        """OK, or what is wrong. Empty: no answer yet."""
        self._failures = 0
        """In a row."""
        self._answered_s = now_s()
        self.found: Found | None = None
        """The last answer. None: none yet."""

    async def ask_once(self) -> None:
        try:
            self.found = await self._question()
        except Exception as error:  # readiness: whatever it is, the answer is that the part failed
            said = f"failed: {_sentence_of(error)}"
            self._failures += 1
        else:
            said, self._failures = OK, 0
        self._answered_s = self._now_s()
        if said == OK or self._failures >= FAILURES_BELIEVED or not self._believed:
            self._believed = said

    @property
    def rest_s(self) -> float:
        """How long to wait before the next question."""
        return ASK_AGAIN_S if self._failures else self._every_s

    @property
    def age_s(self) -> float:
        """How long ago the part answered last, or its watch began."""
        return self._now_s() - self._answered_s

    @property
    def state(self) -> str:
        """`ok`, or what is wrong. An answer is believed for STALE_S."""
        if self.age_s > STALE_S:
            return f"no answer for {self.age_s:.0f} s"
        return self._believed or "no answer yet"


class KnownPools(NamedTuple):
    """What Postgres knows of all pools."""

    views: list[PoolView]
    in_force: frozenset[str]
    """Pools with a policy in force."""
    waiting: list[str]
    """Pools that are known and have none: no scheduler has opened them yet."""


class Readiness:
    """What a probe is told."""

    def __init__(
        self,
        kafka: PartWatch[Any],
        postgres: PartWatch[KnownPools],
        object_store: PartWatch[None],
        *,
        signs: bool,
        heard: Heard | None = None,
    ) -> None:
        """`signs`: whether this process signs what it writes. `heard`: whether schedulers take it."""
        self._heard = heard or Heard()
        self._watches: Mapping[str, PartWatch[Any]] = {KAFKA: kafka, POSTGRES: postgres, OBJECT_STORE: object_store}
        self._postgres = postgres
        self._signs = signs
        self._has_begun = False
        """All that a job needs was there once, so the settings of this process are right."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to ask. Call in the event loop."""
        self._tasks = [asyncio.create_task(self._ask_for_ever(watch)) for watch in self._watches.values()]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def health(self) -> Health:
        """The state of every part and of the whole: `failing` when no request can be served, or when this process has
        never had all that a job needs; `degraded` when some part does not do its work."""
        parts = self._parts()
        lacking = {part for part, state in parts.items() if state != OK}
        failing = lacking & {POSTGRES, POLICY} if self._has_begun else lacking - {OBJECT_STORE}
        found = self._postgres.found
        return Health(
            "failing" if failing else "degraded" if lacking else "ok",
            parts,
            {part: round(watch.age_s, 1) for part, watch in self._watches.items()},
            found.waiting if found else [],
            {view.pool: view.unreadable for view in found.views if view.unreadable} if found else {},
        )

    async def _ask_for_ever(self, watch: PartWatch[Any]) -> None:
        while True:
            await watch.ask_once()
            self._parts()
            await asyncio.sleep(watch.rest_s)

    def _parts(self) -> dict[str, str]:
        """The state of every part. Notices, too, that this process has all that a job needs."""
        parts = {part: watch.state for part, watch in self._watches.items()}
        parts[POLICY], parts[SIGNING] = self._policy(), self._signing()
        lacking = {part for part, state in parts.items() if state != OK}
        self._has_begun = self._has_begun or lacking <= {OBJECT_STORE}
        return parts

    def _policy(self) -> str:
        found = self._postgres.found
        if found is None:
            return "not known yet"
        return OK if found.in_force else "no pool has a policy in force, so nothing can be submitted"

    def _signing(self) -> str:
        found = self._postgres.found
        wanted = [view.pool for view in found.views if view.signed_from >= 0] if found and not self._signs else []
        if not wanted:
            return self._taken()
        named = ", ".join(wanted)
        return (
            f"this API has no key to sign with, so it refuses jobs of pools that ask for it ({named}); {SIGNING_TODO}"
        )

    def _taken(self) -> str:
        unheard = self._heard.unheard
        if not unheard:
            return OK
        named = ", ".join(f"{job} of pool {pool}" for pool, job in sorted(unheard.items()))
        return (
            f"expected schedulers to take what this API writes, found that they set aside {named}: is its signing key"
            " derived from an installation key that is in force no longer? `headrace quarantine list` has the reason"
        )


class ReadinessQuestions:
    """The questions of one process, over connections and threads that nothing else uses."""

    def __init__(self, resources: Resources) -> None:
        settings = resources.settings
        self._threads = AnsweringThreads(3)  # one for each part: a part that hangs keeps its own
        self._engine = postgres.engine(
            settings, pool_size=1, max_overflow=0, statement_timeout_ms=STATEMENT_TIMEOUT_MS, hide_parameters=True
        )
        self._store = store_of_moment(settings)
        self._brokers = settings.brokers
        self._watermarks: Watermarks | None = None
        self._writes = resources.writes
        self._heard = resources.heard

    def readiness(self, *, signs: bool) -> Readiness:
        return Readiness(
            PartWatch(self._kafka, ASK_EVERY_S),
            PartWatch(self._postgres, ASK_EVERY_S),
            PartWatch(self._object_store, STORE_EVERY_S),
            signs=signs,
            heard=self._heard,
        )

    def close(self) -> None:
        self._threads.close()
        self._engine.dispose()

    async def _kafka(self) -> None:
        await self._threads.run(self._ask_kafka, None)

    async def _postgres(self) -> KnownPools:
        try:
            return await self._threads.run(lambda: known_pools(self._engine, self._heard), None)
        except ReadOnly as error:
            self._writes.failed(in_a_sentence(error))
            raise

    async def _object_store(self) -> None:
        await self._threads.run(lambda: ask(self._store, "api"), None)

    def _ask_kafka(self) -> None:
        """The client lasts: a new one finds no leader for a while when a broker has just come back. After an error it
        is made anew, because some errors leave a client that never answers again."""
        if self._watermarks is None:
            self._watermarks = Watermarks(self._brokers, client_id="headrace-readiness")
        try:
            self._watermarks.of(JOBS, 0)
        except KafkaException:
            self._watermarks.close()
            self._watermarks = None
            raise


def known_pools(engine: Engine, heard: Heard) -> KnownPools:
    """What Postgres knows; `heard` learns what became of what this process wrote. ReadOnly when Postgres takes no
    writes: then no job can be acknowledged."""
    with engine.connect() as connection:
        require_writable(connection)
        views = queries.pools(connection)
        in_force = frozenset(view.pool for view in queries.policies(connection))
        heard.look(connection)
        waiting = sorted(set(pools.known(connection)) - in_force)
    return KnownPools(views, in_force, waiting)


def _sentence_of(error: Exception) -> str:
    if isinstance(error, DATABASE_ERRORS):
        return in_a_sentence(error)
    if isinstance(error, KafkaException):
        return f"expected Kafka to answer, found {error.args[0].str()}"
    return str(error) if isinstance(error, StoreFault) else type(error).__name__
