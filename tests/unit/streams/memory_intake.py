"""What the partitions of intake share, in memory: each answer is the test's.

The follower, the place and the quarantine are the real ones; Faust, the broker, the store and the registry are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from contract.inputs import JobSubmitted, Submission
from contract.signing import RecordSigner
from contract.topics import SUBMISSIONS
from runtime.kafka import Record
from streams.door.admission import Admitted, NotYet, RegistryAway
from streams.door.intake_partition import IntakePartition
from streams.door.intake_positions import BegunPlace, IntakePosition
from streams.door.skips import Skips
from streams.hosting.follower import Follower, OnExpired
from streams.hosting.gaps import Gaps
from tests.unit.streams.memory_producer import MemoryProducer
from tests.waiting import until_async, within


class Installation:
    """What intake's partitions share: each answer is the test's."""

    def __init__(self) -> None:
        self.producer = MemoryProducer()
        self.gaps = Gaps()
        self.judging = ThreadPoolExecutor(1)
        self.held: dict[int, tuple[int, int]] = {}
        """First offset kept and end of a partition."""
        self.stored: dict[int, int] = {}
        self.lost_before = 0
        self.reads = 0
        self.written: list[tuple[int, IntakePosition]] = []
        self.ordered: set[tuple[int, int]] = set()
        self.seeks: list[tuple[int, int]] = []
        self.paused: set[int] = set()
        self.outcomes: dict[int, BaseException] = {}
        """By offset: what its check raises; else it is a job."""
        self.registry_away = False
        self.views_away, self.looked_for_erasures = False, 0
        self.erasures: set[str] = set()
        """Jobs."""
        self.store_away = False

    # -- as Admission, IntakePositions, Skips, Watermarks

    def erased(self, jobs: Sequence[str]) -> frozenset[str]:
        self.looked_for_erasures += 1
        if self.views_away:
            raise RegistryAway("OperationalError")
        return frozenset(self.erasures.intersection(jobs))

    def admit(self, record: Record, *, patient: bool) -> Admitted:
        if self.registry_away:
            raise RegistryAway("OperationalError")
        outcome = self.outcomes.get(record.offset)
        if outcome is not None and not (isinstance(outcome, NotYet) and not patient):
            raise outcome
        return a_job(record)

    def begin(self, partition: int) -> BegunPlace:
        if self.store_away:
            raise ConnectionError
        self.reads += 1
        offset, (low, _) = self.stored.get(partition, 0), self.held.get(partition, (0, 0))
        before = IntakePosition(offset, lost=self.lost_before)
        return BegunPlace(before.after_loss(offset, low) if offset < low else before, before.lost)

    def write(self, partition: int, position: IntakePosition) -> None:
        self.written.append((partition, position))

    def list_orders(self, partition: int) -> frozenset[int]:
        return frozenset(offset for number, offset in self.ordered if number == partition)

    def remove(self, partition: int, offset: int) -> None:
        self.ordered.discard((partition, offset))

    def of(self, _topic: str, partition: int) -> tuple[int, int]:
        return self.held.get(partition, (0, 0))

    def pause(self, partition: int, whether: bool) -> None:
        (self.paused.add if whether else self.paused.discard)(partition)

    # -- a partition

    def partition(self, number: int) -> IntakePartition:
        async def seek(_topic: str, partition: int, offset: int) -> None:
            self.seeks.append((partition, offset))

        def follow(partition: int, position: int, on_expired: OnExpired) -> Follower:
            where: Any = self
            return Follower(
                SUBMISSIONS, partition, position, watermarks=where, seek=seek, gaps=self.gaps, on_expired=on_expired
            )

        parts: Any = self
        return IntakePartition(
            number,
            producer=parts.producer,
            signer=RecordSigner(None),
            admission=parts,
            judging=self.judging,
            positions=parts,
            skips=cast(Skips, SimpleNamespace(ordered=self.list_orders, remove=self.remove)),
            follow=follow,
            pause=self.pause,
        )


def a_record(offset: int, follows: int | None = None, size: int = 10, partition: int = 0) -> Record:
    headers = [("ce_id", str(offset).encode())]
    return Record(SUBMISSIONS, partition, offset, 1, b"acme", b"x" * size, headers, follows)


def a_job(record: Record) -> Admitted:
    submission = Submission(f"main-{record.offset:032x}", "acme", "free", "echo", "sha256:0", "kafka")
    return Admitted(JobSubmitted(submission, msgspec.Raw(b"{}"), "0" * 32), 0, "")


def numbers(producer: MemoryProducer) -> list[int]:
    """Offsets of the submissions whose jobs were written."""
    return [int(record.submission.job[-32:], 16) for record in producer.submitted()]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(within(60, test()))


async def wants(partition: IntakePartition, offset: int) -> None:
    """Wait until the partition's follower wants this offset next."""
    await until_async(
        lambda: partition._follower is not None and partition._follower.wanted == offset, f"offset {offset} is wanted"
    )


async def opened(partition: IntakePartition) -> None:
    await until_async(lambda: partition.place is not None, "it follows")


def is_at(partition: IntakePartition, offset: int) -> bool:
    return partition.place == offset
