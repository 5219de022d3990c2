"""Headrace in memory: the programs and nodes of an installation in one event loop, on one twin of Kafka.

    def test_something(…) -> None:
        with Installation(seed=7) as here:
            here.run(lambda: body(here))

Programs are the product's classes, with the product's producers, readers, tails and followers. What Faust does is done
by tests.twin.host, the registry answers from memory, the store is tests.twin.object_store, and the views are
tests.twin.views.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar, cast
from unittest.mock import patch

import msgspec

from audit.ledger.reader import jobs_of_partition, ledger_of_partition
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import Verdict
from audit.verify.verification import Witnesses, verify
from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import decode_quarantined
from contract.events import Event
from contract.inputs import (
    AliasMoved,
    JobSubmitted,
    PolicyApplied,
    Requirements,
    Submission,
    VersionPublished,
    Wire,
)
from contract.names import job_id, payload_digest
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from contract.side_topics import Quarantined
from contract.topics import JOBS, LEDGER, QUARANTINE, SUBMISSIONS, topics_for
from runtime.kafka import Record
from runtime.settings import Settings
from streams.door.admission import Admission, Admitted, Refused, RegistryAway
from streams.hosting.faust_app import in_batches, records_of
from streams.hosting.gaps import PROVEN
from streams.intake import Intake
from streams.ledger import leading
from streams.projector import REST_S, TAKE_RECORDS, Projector
from streams.scheduler import Scheduler
from tests.twin.clock import TwinClock
from tests.twin.faults import Faults
from tests.twin.host import TwinApp
from tests.twin.kafka import TwinKafka
from tests.twin.node import TwinNode, Work
from tests.twin.object_store import TwinObjectStore, TwinState
from tests.twin.signing import intake_settings, scheduler_settings, writer_of
from tests.twin.simulated import SimulatedTime
from tests.twin.views import MemoryViews

VERSION = "sha256:" + "a" * 64
POOLS = ("main", "other")
POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={name: Pool(partition=number) for number, name in enumerate(POOLS)},
    clusters={f"{name}-cluster": Cluster(pool=name, limit=100) for name in POOLS},
    submission_partitions=2,
    backoff_ms=200,
)
SALT = "0" * 32
LOOK_EVERY_S = 0.1
INPUTS = b'{"prompt":"x"}'

Result = TypeVar("Result")


class Hosted(Protocol):
    """A program of ours, as far as its host knows."""

    async def assigned(self, partitions: set[int]) -> None: ...
    async def stop(self) -> None: ...
    def places(self) -> dict[int, int]: ...


class SimulatedClock(TwinClock):
    """The object store's clock: what it passes, everybody passes."""

    def __init__(self, time: SimulatedTime) -> None:
        super().__init__()
        self._time = time

    def now_s(self) -> float:
        return self._time.now_s()

    def pass_(self, seconds: float) -> None:
        if seconds:
            self._time.sleep(seconds)


class MemoryRegistry:
    """As streams.door.admission.Admission: every record of `submissions` is a job of the pool that its key names."""

    def __init__(self) -> None:
        self.away = False
        self.erasures: set[str] = set()
        """Jobs."""

    def erased(self, jobs: Sequence[str]) -> frozenset[str]:
        return frozenset(self.erasures.intersection(jobs))

    def admit(self, record: Record, *, patient: bool) -> Admitted:
        if self.away:
            raise RegistryAway("OperationalError")
        pool = (record.key or b"").decode()
        if pool not in POOLS:
            raise Refused("expected a pool of this installation")
        said = submission(pool, f"{record.partition}-{record.offset}", "kafka", record.timestamp_ms)
        return Admitted(said, POOLS.index(pool), "")


class Program:
    """One process: its app, what it hosts, and the task in which it runs."""

    def __init__(self, app: TwinApp, topic: str, hosted: Hosted, body: Callable[[Any], Awaitable[None]]) -> None:
        self.app, self.hosted = app, hosted
        self.task = asyncio.create_task(
            app.host(topic, body, assigned=hosted.assigned, stop=hosted.stop, places=hosted.places)
        )

    async def stop(self) -> None:
        """SIGTERM."""
        await self.app.stop()
        await self.task

    def lose_group(self) -> None:
        """The process hears and tells its group nothing any more, and does not know: a zombie, which writes on."""
        self.app.kill()


class Installation:
    """Servers and topics. Programs and nodes are started by the test, on the event loop."""

    def __init__(self, seed: int = 0, *, faults: Faults | None = None, policy: Policy = POLICY) -> None:
        self.time = SimulatedTime(seed)
        self.kafka = TwinKafka(world=self.time, faults=faults or Faults(seed))
        self.store = TwinObjectStore(seed=seed, state=TwinState(clock=SimulatedClock(self.time)))
        self.views, self.registry = MemoryViews(), MemoryRegistry()
        self.policy = policy
        self.settings = Settings(kafka=self.kafka.bootstrap, snapshot_dir="")
        self.acknowledged: dict[int, list[str]] = {number: [] for number in range(len(policy.pools))}
        """Jobs that somebody was promised, by partition."""
        self._chains: dict[int, tuple[Chain, list[Batch]]] = {}
        self._judged: Counter[int] = Counter()
        """Up to which offset of each ledger its batches are known."""
        self._open = ExitStack()

    def __enter__(self) -> Installation:
        self._open.enter_context(self.kafka.installed())
        self._open.enter_context(self.views.installed())
        self._open.enter_context(patch.object(leading, "gc", SimpleNamespace(collect=int, freeze=int)))  # it takes long
        PROVEN._stretches.clear()  # what fetches proved of another installation
        self.kafka.create(topics_for(self.policy))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(self, body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        return self.time.run(body)

    async def until(self, holds: Callable[[], object], within_s: float = 60.0) -> float:
        """Wait until it holds; the seconds that it took. AssertionError when it takes longer than `within_s`."""
        began_s = self.time.now_s()
        while not holds():
            assert self.time.now_s() - began_s < within_s, f"expected within {within_s:g} s what the test waits for"
            await asyncio.sleep(LOOK_EVERY_S)
        return self.time.now_s() - began_s

    # -- processes ---------------------------------------------------------------------------------------------------

    def scheduler(self, name: str = "") -> Program:
        app = TwinApp(self.kafka, "headrace-scheduler", name)
        hosted = Scheduler(scheduler_settings(self.kafka.bootstrap), app, self.store)

        async def schedule(stream: Any) -> None:
            async for record in records_of(stream):
                hosted.take(record)

        return Program(app, JOBS, hosted, schedule)

    def intake(self, name: str = "") -> Program:
        app = TwinApp(self.kafka, "headrace-intake", name)
        hosted = Intake(intake_settings(self.kafka.bootstrap), app, self.store, cast(Admission, self.registry))

        async def pass_on(stream: Any) -> None:
            async for record in records_of(stream):
                await hosted.deliver(record)

        return Program(app, SUBMISSIONS, hosted, pass_on)

    def projector(self, name: str = "") -> Program:
        app = TwinApp(self.kafka, "headrace-projector", name)
        hosted = Projector(self.settings, app)

        async def project(stream: Any) -> None:
            await in_batches(stream, hosted.take, TAKE_RECORDS, REST_S)

        return Program(app, LEDGER, hosted, project)

    def node(
        self, name: str, partition: int = 0, *, work: Work = lambda _: 1.0, slots: int = 2, machine: str = ""
    ) -> TwinNode:
        cluster = f"{POOLS[partition]}-cluster"
        return TwinNode(self.kafka, name, cluster, work, slots=slots, partition=partition, machine=machine)

    # -- what users do -----------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """A policy, and a version that runs."""
        for partition in self.acknowledged:
            for said in (
                PolicyApplied(self.policy, fingerprint(self.policy)),
                VersionPublished("noop", VERSION, Requirements(("cpu",), 0), 60_000),
                AliasMoved("noop", "live", VERSION, 1),
            ):
                self.say(said, partition)

    def say(self, said: Wire, partition: int = 0) -> int:
        """Into `jobs`, signed by somebody who may say this; the offset."""
        event_id = uuid.uuid4().hex
        record = writer_of(said).record(
            said, partition=partition, key=event_id.encode(), event_id=event_id, source="/twin"
        )
        return self.kafka.write(JOBS, record.value, partition=partition, key=record.key, headers=record.headers)

    def submit(self, partition: int = 0, number: int = 1) -> None:
        """Jobs that got a 202."""
        for _ in range(number):
            record = submission(POOLS[partition], f"api-{len(self.acknowledged[partition])}", "api")
            self.say(record, partition)
            self.acknowledged[partition].append(record.submission.job)

    def upstream(self, partition: int = 0, number: int = 1) -> None:
        """Records of `submissions`, for the pool of this partition."""
        for _ in range(number):
            place = self.kafka.faults.random.randrange(self.policy.submission_partitions)
            offset = self.kafka.write(SUBMISSIONS, INPUTS, partition=place, key=POOLS[partition].encode())
            self.acknowledged[partition].append(job_id(POOLS[partition], f"{place}-{offset}"))

    # -- what is found -----------------------------------------------------------------------------------------------

    def batches(self, partition: int = 0) -> list[Batch]:
        """Those that count. Damaged when a reader could not take the ledger."""
        chain, found = self._chains.setdefault(partition, (Chain(POOLS[partition]), []))
        for record in self.kafka.records(LEDGER, partition, self._judged[partition]):
            judged = chain.offer(record.offset, record.value or b"")
            self._judged[partition] = record.offset + 1
            if isinstance(judged, Counted):
                found.append(judged.batch)
        return found

    def events(self, kind: type[Event], partition: int = 0) -> list[Any]:
        return [event for batch in self.batches(partition) for event in batch.events if isinstance(event, kind)]

    def quarantined(self, topic: str) -> list[Quarantined]:
        """What lies in `quarantine` of this topic."""
        kept = [decode_quarantined(record.value or b"") for record in self.kafka.records(QUARANTINE)]
        return [record for record in kept if record.topic == topic]

    def verify(self, partition: int = 0) -> Verdict:
        """The auditor's verdict: every batch is decided again, and every promised job is in the ledger."""
        source, _ = ledger_of_partition(self.kafka.brokers, partition)
        records, kept_from = jobs_of_partition(self.kafka.brokers, partition)
        witnesses = Witnesses(jobs_topic=JobsTopic(records, kept_from), acknowledged=self.acknowledged[partition])
        return verify(source, POOLS[partition], witnesses)

    @property
    def partitions(self) -> Iterable[int]:
        return self.acknowledged


def submission(pool: str, name: str, via: str, submitted_ms: int = 0) -> JobSubmitted:
    said = Submission(job_id(pool, name), "acme", "free", "noop", payload_digest(SALT, INPUTS), via, submitted_ms)
    return JobSubmitted(said, msgspec.Raw(INPUTS), SALT)
