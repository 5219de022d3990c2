"""`python -m streams.intake`: from `submissions`, the public door for Kafka producers, to `jobs`.

Theory of operation. At least once: a record counts as read when its job is acknowledged in `jobs`, or it itself in
`quarantine`; a copy that is written twice is the same job, and the scheduler drops it. The position is our own
(streams.intake_positions). What cannot be a job is set aside with its reason and the stream goes on; what cannot be
checked, because the registry is away, waits.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from faust.types import TP
from sqlalchemy.exc import OperationalError

from contract.codec import encode, headers_for
from contract.topics import JOBS, SUBMISSIONS
from runtime.kafka import DeliveryUnclear, Producer, Record, Watermarks
from runtime.object_store import ObjectStore
from runtime.postgres import engine
from runtime.settings import Settings
from streams.admission import Admission, Admitted, NotYet, Refused
from streams.faust_app import die, host, in_batches, make_app, seek_to, start, wait_for_broker
from streams.follower import Follower
from streams.intake_positions import IntakePositions
from streams.metrics import INTAKE
from streams.quarantine import set_aside

GROUP = "headrace-intake"
SOURCE = "headrace/intake"
TAKE_RECORDS = 500
POSITIONS_EVERY_S = 1.0
RETRY_S = 0.5
NOT_YET_TRIES = 20
"""Times RETRY_S: how long a submission waits for its version to be told to the scheduler, which may refuse it then."""
DELIVERY_TIMEOUT_MS = 120_000

log = structlog.get_logger(__name__)


class Intake:
    """The partitions of `submissions` that this process reads."""

    def __init__(self, settings: Settings, app: Any) -> None:
        self._settings, self._app = settings, app
        self._producer = Producer(settings.kafka, "headrace-intake", delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
        self._watermarks = Watermarks(settings.kafka)
        self._positions = IntakePositions(ObjectStore(settings), settings.kafka)
        self._admission = Admission(engine(settings))
        self._followers: dict[int, Follower] = {}
        self._done: dict[int, int] = {}
        """Next record of each partition whose predecessors are all acknowledged elsewhere."""
        self._written: dict[int, int] = {}

    async def assigned(self, partitions: set[int]) -> None:
        """Faust's assignment after a rebalance: all partitions that are ours now."""
        for partition in set(self._followers) - partitions:
            self._followers.pop(partition).close()
            await self._write(partition)
        for partition in sorted(partitions):
            if partition in self._followers:
                await self._followers[partition].seek()
            else:
                position = await asyncio.to_thread(self._positions.read, partition)
                self._done[partition] = self._written[partition] = position
                self._followers[partition] = Follower(
                    self._settings.kafka,
                    SUBMISSIONS,
                    partition,
                    position,
                    watermarks=self._watermarks,
                    seek=self._seek,
                    on_gap=partial(self._done.__setitem__, partition),
                )
                log.info("reading submissions", partition=partition, position=position)

    async def take(self, delivered: Sequence[Record]) -> None:
        """Bring each record where it belongs, in order, and wait until all are acknowledged there."""
        records = [
            record
            for record in delivered
            if record.partition in self._followers and await self._followers[record.partition].wants(record.offset)
        ]
        judged = await self._judge(records)
        try:
            await asyncio.gather(*(self._pass_on(record, outcome) for record, outcome in judged))
        except DeliveryUnclear as error:
            die("submissions could not be passed on; they are read again", found=str(error))
        for record in records:
            self._done[record.partition] = record.offset + 1

    async def write_positions(self) -> None:
        """Write those that have moved, again and again."""
        while True:
            await asyncio.sleep(POSITIONS_EVERY_S)
            for partition in list(self._followers):
                await self._write(partition)

    async def stop(self) -> None:
        """SIGTERM."""
        await asyncio.gather(*(self._write(partition) for partition in list(self._followers)))
        log.info("stopped")

    async def _judge(self, records: Sequence[Record]) -> list[tuple[Record, Admitted | Refused]]:
        """What each record is. Waits for the registry as long as it is away."""
        said = False
        judged: list[tuple[Record, Admitted | Refused]] = []
        tries = 0
        while len(judged) < len(records):
            rest = records[len(judged) :]
            try:
                judged += await asyncio.to_thread(self._admit, rest, tries < NOT_YET_TRIES)
                continue
            except _Interrupted as interrupted:
                judged += interrupted.judged
                tries = tries + 1 if not interrupted.judged else 0
                if interrupted.registry_away and not said:
                    said = True
                    log.warning("waiting for the registry", found=interrupted.registry_away)
            await asyncio.sleep(RETRY_S)
        return judged

    def _admit(self, records: Sequence[Record], patient: bool) -> list[tuple[Record, Admitted | Refused]]:
        judged: list[tuple[Record, Admitted | Refused]] = []
        for record in records:
            try:
                judged.append((record, self._admission.admit(record, patient=patient)))
            except Refused as refused:
                judged.append((record, refused))
            except NotYet:
                raise _Interrupted(judged, "") from None
            except OperationalError as error:
                raise _Interrupted(judged, type(error.orig).__name__) from None
        return judged

    async def _pass_on(self, record: Record, outcome: Admitted | Refused) -> None:
        place = f"{record.partition}-{record.offset}"
        if isinstance(outcome, Refused):
            reason = str(outcome)
            await set_aside(self._producer, SOURCE, SUBMISSIONS, record.partition, record.offset, reason, record.value)
            log.warning("a submission was quarantined", partition=record.partition, offset=record.offset, reason=reason)
            INTAKE.labels("quarantined").inc()
            return
        submitted = outcome.record
        await self._producer.asend(
            JOBS,
            encode(submitted),
            key=uuid.uuid4().hex.encode(),
            headers=headers_for(submitted, place, SOURCE, outcome.traceparent),
            partition=outcome.partition,
        )
        INTAKE.labels("passed_on").inc()

    async def _write(self, partition: int) -> None:
        done = self._done[partition]
        if done == self._written[partition]:
            return
        try:
            await asyncio.to_thread(self._positions.write, partition, done)
        except Exception as error:
            log.warning("intake's position was not written; tried again", partition=partition, found=repr(error))
        else:
            self._written[partition] = done

    async def _seek(self, topic: str, partition: int, offset: int) -> None:
        await seek_to(self._app, TP(topic, partition), offset)


class _Interrupted(Exception):
    """Not all records could be judged now."""

    def __init__(self, judged: list[tuple[Record, Admitted | Refused]], registry_away: str) -> None:
        super().__init__()
        self.judged, self.registry_away = judged, registry_away


async def serve(settings: Settings, group: str) -> None:
    """Run until SIGTERM."""
    await wait_for_broker(settings, SUBMISSIONS)
    app = make_app(group, settings)
    intake = Intake(settings, app)

    async def pass_on(stream: Any) -> None:
        await in_batches(stream, intake.take, TAKE_RECORDS)

    writing = asyncio.create_task(intake.write_positions())
    await host(app, SUBMISSIONS, pass_on, assigned=intake.assigned, stop=intake.stop)
    writing.cancel()


def main() -> None:
    start("intake", serve, GROUP)


if __name__ == "__main__":
    main()
