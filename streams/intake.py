"""`python -m streams.intake`: from `submissions`, the public door for Kafka producers, to `jobs`.

Theory of operation. At least once: a record counts as read when its job is acknowledged in `jobs`, or the record itself
in `quarantine`. A copy that is written twice is the same job, and the scheduler drops it. The position is our own
(streams.door.intake_positions). Every record is taken, or refused with a reason and set aside; the stream goes on.
While the registry is away a record cannot be checked: it waits, and only what lies behind it in its partition waits
with it (streams.door.intake_partition).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from contract import signers
from contract.topics import SUBMISSIONS
from runtime import jobs_writer
from runtime.kafka import Producer, Record, Watermarks
from runtime.object_store import SHORT_READ_TIMEOUT_S, ObjectStore
from runtime.postgres import engine
from runtime.settings import Settings
from streams.door.admission import Admission
from streams.door.intake_partition import IntakePartition
from streams.door.intake_positions import IntakePositions
from streams.door.skips import Skips
from streams.hosting.faust_app import hold_back, host, make_app, records_of, seek_to, start, wait_for_broker
from streams.hosting.follower import Follower, OnExpired

GROUP = "headrace-intake"
POSITIONS_EVERY_S = 1.0
DELIVERY_TIMEOUT_MS = 120_000
STOPPING_S = 4.0

log = structlog.get_logger(__name__)


class Intake:
    """The partitions of `submissions` that this process reads."""

    def __init__(self, settings: Settings, app: Any, store: ObjectStore, admission: Admission) -> None:
        self._app = app
        self._producer = Producer(settings.brokers, "headrace-intake", delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
        self._signer = jobs_writer.signer_of(settings, signers.INTAKE)
        self._watermarks = Watermarks(settings.brokers)
        key = jobs_writer.key_of(settings, signers.INTAKE)
        self._positions, self._skips = IntakePositions(store, settings.brokers, key), Skips(store)
        self._admission = admission
        self._judging = ThreadPoolExecutor(1, "judging")
        self._partitions: dict[int, IntakePartition] = {}

    async def assigned(self, partitions: set[int]) -> None:
        """Faust's assignment after a rebalance: all partitions that are ours now."""
        gone = [self._partitions.pop(partition) for partition in set(self._partitions) - partitions]
        await asyncio.gather(*(_close(partition) for partition in gone))
        for number in sorted(partitions):
            if number in self._partitions:
                await self._partitions[number].seek()
            else:
                self._partitions[number] = IntakePartition(
                    number,
                    producer=self._producer,
                    signer=self._signer,
                    admission=self._admission,
                    judging=self._judging,
                    positions=self._positions,
                    skips=self._skips,
                    follow=self._follow,
                    pause=partial(hold_back, self._app, SUBMISSIONS),
                )

    async def deliver(self, record: Record) -> None:
        """What Faust has next."""
        partition = self._partitions.get(record.partition)
        if partition is not None:
            await partition.deliver(record)

    def places(self) -> dict[int, int]:
        """The next offset to pass on, for each partition that is read."""
        found = {number: partition.place for number, partition in self._partitions.items()}
        return {number: place for number, place in found.items() if place is not None}

    async def write_positions(self) -> None:
        """Write the places that have moved, for ever."""
        while True:
            await asyncio.sleep(POSITIONS_EVERY_S)
            await asyncio.gather(*(partition.write_place() for partition in list(self._partitions.values())))

    async def stop(self) -> None:
        """SIGTERM."""
        await asyncio.gather(*(_close(partition) for partition in list(self._partitions.values())))
        log.info("stopped")

    def _follow(self, partition: int, position: int, on_expired: OnExpired) -> Follower:
        return Follower(
            SUBMISSIONS,
            partition,
            position,
            watermarks=self._watermarks,
            seek=partial(seek_to, self._app),
            on_expired=on_expired,
        )


async def _close(partition: IntakePartition) -> None:
    """End the work, and store the place if the store answers in time: a place that is behind costs duplicates."""
    await partition.close()
    try:
        async with asyncio.timeout(STOPPING_S):
            await partition.write_place()
    except TimeoutError:
        log.warning("intake's position was not written in time; some submissions are passed on once more")


async def serve(settings: Settings, group: str) -> None:
    """Run until SIGTERM."""
    jobs_writer.process_signer(settings, signers.INTAKE)
    await wait_for_broker(settings, SUBMISSIONS)
    app = make_app(group, settings)
    store = ObjectStore(settings, read_timeout_s=SHORT_READ_TIMEOUT_S, tries=1)
    intake = Intake(
        settings, app, store, Admission(engine(settings), store, settings.egress_policy, settings.upload_kept_s)
    )

    async def pass_on(stream: Any) -> None:
        async for record in records_of(stream):
            await intake.deliver(record)

    writing = asyncio.create_task(intake.write_positions())
    await host(app, SUBMISSIONS, pass_on, assigned=intake.assigned, stop=intake.stop, places=intake.places)
    writing.cancel()


if __name__ == "__main__":
    start("intake", serve, GROUP)
