"""A pool as its users, its one node and its readers see it, without a scheduler of its own."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import count

import msgspec
from confluent_kafka import Consumer, TopicPartition

from contract import policy as policies
from contract.batch import Batch
from contract.bounds import SLOTS_MAX
from contract.chain import Chain, Counted
from contract.codec import decode_orders, decode_quarantined, decode_wire, encode
from contract.events import Event, Opened
from contract.inputs import (
    AliasMoved,
    JobSubmitted,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    PolicyApplied,
    Requirements,
    Started,
    Submission,
    Succeeded,
    VersionPublished,
    Wire,
)
from contract.names import dispatch_partition, job_id, payload_digest
from contract.orders import Run
from contract.policy import Cluster, Policy, Tier
from contract.results import EMPTY_MANIFEST
from contract.side_topics import Quarantined
from contract.topics import JOBS, LEDGER, QUARANTINE, dispatch_topic
from runtime.kafka import Producer, Reader, Record, offsets, read_range
from runtime.settings import Settings
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state

POOLS = 32
POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={f"pool{n}": policies.Pool(partition=n) for n in range(POOLS)},
    clusters={f"cluster{n}": Cluster(pool=f"pool{n}", limit=1_000) for n in range(POOLS)},
    backoff_ms=200,
)
VERSION = "sha256:" + "a" * 64
WORDS = "a violet walrus that no log may quote"
FIRST_AND_LAST = (0, POOLS - 1)
"""Shared out by halves or by turns, these two go to different processes. No other test has them."""
_unused = count(1)


class Pool:
    def __init__(self, settings: Settings, producer: Producer, number: int) -> None:
        self.settings, self._producer = settings, producer
        self.name, self.partition, self.cluster = f"pool{number}", number, f"cluster{number}"
        self.jobs: list[str] = []
        self.started: Counter[str] = Counter()
        """Run orders by job, as the node got them."""
        self._session = uuid.uuid4().hex
        self._node = "node" + str(number)
        self._orders: Reader | None = None

    @classmethod
    def unused(cls, settings: Settings, producer: Producer) -> Pool:
        return cls(settings, producer, next(_unused))

    # -- what is said to it

    def say(self, record: Wire) -> int:
        """Into `jobs`, acknowledged; its offset."""
        return self.say_bytes(encode(record))

    def say_bytes(self, value: bytes | None) -> int:
        key = uuid.uuid4().hex.encode()
        return self._producer.send_and_wait(JOBS, value, key=key, partition=self.partition).offset

    def setup(self) -> None:
        self.say(PolicyApplied(POLICY, policies.fingerprint(POLICY)))
        self.say(VersionPublished("noop", VERSION, Requirements(("cpu",), 0), 60_000))
        self.say(AliasMoved("noop", "live", VERSION, 1))

    def submit(self, number: int = 1, *, job: str = "") -> None:
        for _ in range(number):
            record = self.submission(job or job_id(self.name, uuid.uuid4().hex))
            self.say(record)
            self.jobs.append(record.submission.job)

    def submission(self, job: str = "", *, via: str = "api", submitted_ms: int = 0) -> JobSubmitted:
        job = job or job_id(self.name, uuid.uuid4().hex)
        inputs, salt = msgspec.json.encode({"prompt": WORDS}), "0" * 32
        digest = payload_digest(salt, inputs)
        submission = Submission(job, "acme", "free", "noop", digest, via, submitted_ms)
        return JobSubmitted(submission, msgspec.Raw(inputs), salt)

    # -- its node

    def join(self, slots: int = SLOTS_MAX) -> None:
        topic = dispatch_topic(self.cluster)
        self._orders = Reader(self.settings.brokers, {(topic, dispatch_partition(self._node, 1)): "end"})
        self.say(NodeJoined(self._node, self._session, self.cluster, "cpu", slots, 0, 1_000, (VERSION,)))

    def close(self) -> None:
        if self._orders is not None:
            self._orders.close()

    def work(self, timeout_s: float = 0.2) -> list[Run]:
        """Do what was ordered, as a node that reports each job as started and ended at once."""
        assert self._orders is not None, "join first"
        runs = []
        for record in self._orders.read(timeout_s):
            (order,) = decode_orders(record.value)
            if isinstance(order, Run) and order.session == self._session:
                runs.append(order)
        fresh = [run for run in runs if not self.started[run.job]]
        for run in runs:
            self.started[run.job] += 1
        reports = [report for run in fresh for report in (Started(run.job, run.dispatch), _done(run))]
        if reports:
            self.say(NodeReport(self._node, self._session, tuple(reports)))
        return runs

    def beat(self) -> None:
        self.say(NodeHeartbeat(self._node, self._session, loaded=(VERSION,), cached=(VERSION,)))

    # -- what its ledger says

    def records(self) -> Iterator[Record]:
        low, high = offsets(self.settings.brokers, LEDGER, self.partition)
        return read_range(self.settings.brokers, LEDGER, self.partition, low, high)

    def batches(self) -> list[Batch]:
        """Those that count."""
        chain = Chain(self.name)
        offered = (chain.offer(record.offset, record.value or b"") for record in self.records())
        return [judged.batch for judged in offered if isinstance(judged, Counted)]

    def events(self) -> list[Event]:
        return [event for batch in self.batches() for event in batch.events]

    def count(self, kind: type[Event]) -> Counter[str]:
        """Events of a kind by job."""
        return Counter(getattr(event, "job", "") for event in self.events() if isinstance(event, kind))

    def opened(self) -> list[Opened]:
        return [event for event in self.events() if isinstance(event, Opened)]

    def state(self, start: State | None = None) -> State:
        """As a reader folds it, from the beginning or from a snapshot."""
        state = start or initial_state(self.name)
        if start is None:
            chain = Chain(self.name)
        else:
            chain = Chain.at(self.name, state.head_hash, state.seq, state.epoch, state.head_offset)
        first = state.head_offset
        for record in self.records():
            if record.offset > first and isinstance(judged := chain.offer(record.offset, record.value or b""), Counted):
                fold(state, judged.batch, judged.hash, record.offset)
        return state

    def state_hash(self, start: State | None = None) -> str:
        return snapshot.state_hash(self.state(start))

    def quarantined(self, topic: str = JOBS) -> list[Quarantined]:
        low, high = offsets(self.settings.brokers, QUARANTINE, 0)
        found = [decode_quarantined(r.value) for r in read_range(self.settings.brokers, QUARANTINE, 0, low, high)]
        return [record for record in found if record.topic == topic and record.partition == self.partition]

    def submitted(self) -> list[JobSubmitted]:
        low, high = offsets(self.settings.brokers, JOBS, self.partition)
        values = [record.value for record in read_range(self.settings.brokers, JOBS, self.partition, low, high)]
        said = [decode_wire(value) for value in values if value]
        return [record for record in said if isinstance(record, JobSubmitted)]


def _done(run: Run) -> Succeeded:
    return Succeeded(run.job, run.dispatch, EMPTY_MANIFEST)


def commit(settings: Settings, group: str, topic: str, partition: int, offset: int) -> None:
    """Set a group's committed offset while none of its members is there."""
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": group, "broker.address.family": "v4"})
    try:
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    finally:
        consumer.close()


def committed(settings: Settings, group: str, topic: str, partition: int) -> int:
    """A group's committed offset; below 0: none."""
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": group, "broker.address.family": "v4"})
    try:
        (found,) = consumer.committed([TopicPartition(topic, partition)], timeout=10)
        return int(found.offset)
    finally:
        consumer.close()


def event_headers(event_id: str, source: str = "test") -> list[tuple[str, bytes]]:
    return [("ce_id", event_id.encode()), ("ce_source", source.encode())]
