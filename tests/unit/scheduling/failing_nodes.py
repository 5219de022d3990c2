"""Pools of a few nodes, on which jobs fail."""

from __future__ import annotations

import msgspec

from contract.inputs import Requirements
from tests.unit.scheduling.dispatched import with_east
from tests.unit.scheduling.specification import Pool, a_job, submission

PAIR = Requirements(("cpu",), 0, ranks=2)


def pool_of(*nodes: str, slots: int = 1, staged_per_slot: int = 0) -> Pool:
    pool = Pool(msgspec.structs.replace(with_east(100, staged_per_slot), failures_max=3))
    pool.publish()
    for node in nodes:
        pool.join(node, slots=slots)
    return pool


def queue(pool: Pool, *numbers: int) -> None:
    """The jobs come one after the other."""
    for number in numbers:
        pool.tell(submission(number), after_ms=1)


def where(pool: Pool, number: int) -> str:
    """The node that has the job's open attempt; empty: the job waits, or has ended."""
    job = pool.state.jobs.get(a_job(number))
    return job.open.node if job is not None and job.open is not None else ""


def beats(pool: Pool, after_ms: int = 5_000) -> None:
    for node in sorted(pool.state.nodes):
        pool.beat(node, after_ms=after_ms)
        after_ms = 0


def fail_on(pool: Pool, number: int, node: str) -> None:
    """The job goes to the node, which is the only free one, and fails there."""
    job = a_job(number)
    assert pool.attempt(job).node == node
    pool.start(job, node)
    pool.fail(job, node=node)
