"""Pools that are kept open in memory, with a policy, a version and a node; and what tests ask of them."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import REGISTRY

from contract.events import JobAccepted
from contract.inputs import (
    AliasMoved,
    JobSubmitted,
    NodeJoined,
    PolicyApplied,
    Requirements,
    Submission,
    VersionPublished,
)
from contract.names import job_id, payload_digest
from contract.policy import fingerprint
from contract.signing import Verifier
from streams.ledger.pool_host import PoolHost
from streams.ledger.pool_keeper import OnEnded, PoolKeeper
from tests.unit.streams.memory_pool import POLICY, POOLS, MemoryBroker, MemoryIO
from tests.unit.streams.said import VERSION
from tests.waiting import until_async


def keeper_of(
    broker: MemoryBroker,
    partition: int = 0,
    *,
    rest_s: float = 0.001,
    rest_max_s: float = 60.0,
    verifier: Verifier | None = None,
    snapshot_every_ms: int = 60_000,
) -> PoolKeeper:
    """A pool that is kept open in this process, as the scheduler does."""

    def open_host(on_ended: OnEnded) -> PoolHost:
        io: Any = MemoryIO(broker, partition)
        return PoolHost(io, snapshot_every_ms=snapshot_every_ms, verifier=verifier, on_ended=on_ended)

    keeper = PoolKeeper(partition, open_host, rest_s=rest_s, rest_max_s=rest_max_s)
    broker[partition].deliver = keeper.offer
    return keeper


def setup(broker: MemoryBroker, partition: int = 0) -> None:
    """A policy, a version that runs, and a node."""
    cluster = "local" if partition == 0 else "east"
    for said in (
        PolicyApplied(POLICY, fingerprint(POLICY)),
        VersionPublished("noop", VERSION, Requirements(("cpu",), 0), 60_000),
        AliasMoved("noop", "live", VERSION, 1),
        NodeJoined("n1", "s1", cluster, "cpu", 64, 0, 1_000, (VERSION,)),
    ):
        broker.say(said, partition)


async def led(*, jobs: int = 0, rest_s: float = 0.001, rest_max_s: float = 60.0) -> tuple[MemoryBroker, PoolKeeper]:
    """A pool that is led, with so many jobs accepted: 1, 2, 3…"""
    broker = MemoryBroker()
    keeper = keeper_of(broker, rest_s=rest_s, rest_max_s=rest_max_s)
    setup(broker)
    await until_async(lambda: is_led(broker), "the pool is led")
    for number in range(1, jobs + 1):
        broker.say(submitted(number))
    await accepted(broker, jobs)
    return broker, keeper


def is_led(broker: MemoryBroker, partition: int = 0) -> bool:
    return len(broker.batches(partition)) > 1


def submitted(number: int, partition: int = 0) -> JobSubmitted:
    inputs, salt = b'{"prompt":"x"}', "0" * 32
    digest = payload_digest(salt, inputs)
    submission = Submission(job_id(POOLS[partition], str(number)), "acme", "free", "noop", digest, "api")
    return JobSubmitted(submission, msgspec.Raw(inputs), salt)


def sessions(broker: MemoryBroker, partition: int = 0) -> list[str]:
    """By which host each ledger record was written."""
    return [dict(record.headers)["ce_source"].decode() for record in broker[partition].ledger]


def reopened(pool: str) -> float:
    return REGISTRY.get_sample_value("headrace_pool_reopened_total", {"pool": pool}) or 0.0


def shown(name: str, pool: str) -> list[Any]:
    return [s for m in REGISTRY.collect() for s in m.samples if s.name == name and s.labels.get("pool") == pool]


async def accepted(broker: MemoryBroker, count: int, partition: int = 0) -> None:
    await until_async(lambda: len(broker.events(JobAccepted, partition)) == count, f"{count} jobs are accepted")
