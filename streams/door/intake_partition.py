"""One partition of `submissions`: each of its records goes to `jobs` or to `quarantine`, in order.

Theory of operation. Partitions do not wait for each other: each has records under way, a task that works on them, and a
place. A record is *under way* from the moment it is taken until it is acknowledged elsewhere. The place is the first
record under way, or else where the follower goes on. So the place moves past records that were passed on and past
offsets that are proven to hold no record, and past nothing else, whenever it is asked for: by the clock, at a stop,
when the partition is taken away.

A record that cannot be checked or written now waits, and is tried again for ever; so does all behind it. Meanwhile the
log, the metrics and the stored place say which record waits and for what, and an operator may order that intake pass it
over (streams.door.skips).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from contract.signing import RecordSigner
from contract.topics import SUBMISSIONS
from runtime import jobs_writer
from runtime.kafka import DeliveryRefused, DeliveryUnclear, Producer, Record
from runtime.outage_watch import OutageWatch
from runtime.telemetry import without_words
from streams.door.admission import Admission, Admitted, NotYet, Refused, RefusedAsErased, RegistryAway, unforeseen
from streams.door.held_up import HeldUp
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.door.quarantine import set_aside
from streams.door.skips import SKIPPED, PartitionSkips, Skips
from streams.door.under_way import UnderWay
from streams.hosting.follower import Follower, OnExpired
from streams.hosting.resting import GrowingRest
from streams.metrics import INTAKE, SUBMISSIONS_LOST

SOURCE = "headrace/intake"
TAKE_RECORDS = 500
JUDGING_S = 0.1
"""A partition judges no longer than this before other partitions have their turn."""
JUDGING_MAX_S = 5.0
"""A partition, whose turn may come after those of all others, says that the registry does not answer after so long."""
RETRY_S = 0.5
NOT_YET_TRIES = 20
"""Times RETRY_S: a submission waits so long until its version is told to the scheduler. Then it may be refused."""
NOT_YET = "its version to be told to the scheduler: does the relay run?"
ERASED = "the words of its job were erased: a copy of them is neither run nor kept"
CLOSING_S = 3.0
REST_S, REST_MAX_S = 1.0, 60.0
"""Between a failure of the intake of one partition and its new beginning."""

Judged = tuple[Record, Admitted | Refused]
Outcome = TypeVar("Outcome")

log = structlog.get_logger(__name__)


class IntakePartition:
    """The intake of one partition, from assignment to revocation. All methods run on the event loop."""

    def __init__(
        self,
        partition: int,
        *,
        producer: Producer,
        signer: RecordSigner,
        admission: Admission,
        judging: Executor,
        positions: IntakePositions,
        skips: Skips,
        follow: Callable[[int, int, OnExpired], Follower],
        pause: Callable[[int, bool], None],
    ) -> None:
        """`judging` runs one thing at a time, for all partitions. `follow(partition, position, on_expired)` has records
        delivered, from `position` on. `pause(partition, whether)` stops fetching them, or starts again."""
        self._partition = partition
        self._producer, self._signer = producer, signer
        self._admission, self._judging = admission, judging
        self._positions, self._skips = positions, PartitionSkips(skips, partition, lambda: self.place)
        self._follow, self._pause = follow, pause
        self._follower: Follower | None = None
        """None: the stored place is not known yet."""
        self._under_way = UnderWay()
        self._paused = False
        self._arrived = asyncio.Event()
        self._held_up = HeldUp(partition)
        self._written: IntakePosition | None = None
        self._writing = OutageWatch(
            "intake's position is not written; tried again every second", "intake's position is written again"
        )
        self._lost = IntakePosition(0)
        """What was lost of the partition so far."""
        self._closing = False
        self._task = asyncio.create_task(self._run())

    @property
    def place(self) -> int | None:
        """The next record to pass on: all records before it are acknowledged elsewhere. None: not known yet."""
        if self._under_way.offset is not None:
            return self._under_way.offset
        return self._follower.wanted if self._follower is not None else None

    async def deliver(self, record: Record) -> None:
        """What Faust has. Does not wait: a record for which there is no room is asked for again later."""
        if self._follower is None or not await self._follower.take(record.offset, record.follows):
            return
        self._under_way.add(record)
        self._arrived.set()
        if self._under_way.is_full:
            self._paused = True
            self._follower.hold()
            self._pause(self._partition, True)

    async def seek(self) -> None:
        """Faust has rebalanced and may have lost its place."""
        if self._follower is not None and not self._paused:
            await self._follower.go_on()

    async def close(self) -> None:
        """Take nothing more. What is being passed on may be acknowledged within CLOSING_S."""
        self._closing = True
        if self._follower is not None:
            self._follower.hold()
        self._arrived.set()
        await asyncio.wait({self._task}, timeout=CLOSING_S)
        self._task.cancel()
        if self._follower is not None:
            self._follower.close()
        self._resume()
        self._held_up.forget()

    async def write_place(self) -> None:
        """Store the place and what its record waits for, if either has changed."""
        offset = self.place
        if offset is None:
            return
        if not self._closing:
            self._held_up.show(offset)
        place = msgspec.structs.replace(self._held_up.place(offset), lost=self._lost.lost, lost_ms=self._lost.lost_ms)
        if place == self._written:
            return
        try:
            await asyncio.to_thread(self._positions.write, self._partition, place)
        except Exception as error:  # a place that is not stored is only an older place
            self._writing.failed(without_words(error), topic=SUBMISSIONS, partition=self._partition, offset=offset)
        else:
            self._written = place
            self._writing.worked(topic=SUBMISSIONS, partition=self._partition, offset=offset)

    # -- from here on: the task ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Work. After an exception that nobody foresaw this partition alone begins anew, at its stored place."""
        rest = GrowingRest(REST_S, REST_MAX_S)
        while not self._closing:
            began_s = time.monotonic()
            try:
                await self._work()
            except Exception as error:  # the other partitions go on meanwhile
                log.error(
                    "intake of a partition failed and begins anew",
                    topic=SUBMISSIONS,
                    partition=self._partition,
                    offset=self.place,
                    found=without_words(error),
                )
                self._forget()
                await asyncio.sleep(rest.take_s(time.monotonic() - began_s))

    def _forget(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._resume()
        self._follower = None
        self._under_way.clear()
        self._held_up.ended()

    async def _work(self) -> None:
        await self._until_done(self._skips.look, "the object store")
        begun = await self._until_done(partial(asyncio.to_thread, self._positions.begin, self._partition), "its place")
        self._held_up.ended()
        position = begun.place.offset
        self._tell_loss(begun.place, begun.lost_before)
        self._follower = self._follow(self._partition, position, self._expired)
        log.info("reading submissions", topic=SUBMISSIONS, partition=self._partition, offset=position)
        tries = 0
        while not self._closing:
            await self._arrived.wait()
            if self._closing:
                return
            records = self._under_way.first(TAKE_RECORDS)
            if not records:
                self._arrived.clear()
                continue
            judged, obstacle = await self._judge(records, patient=tries < NOT_YET_TRIES)
            await self._pass_on(judged)
            if judged:
                tries = 0
                await self._drop(len(judged), self._follower)
            if obstacle:
                tries += obstacle == NOT_YET
                await self._wait(obstacle)

    def _expired(self, first: int, next_offset: int) -> None:
        """The records from `first` on, up to that at `next_offset`, are gone, and nobody has read them."""
        self._tell_loss(self._lost.after_loss(first, next_offset))

    def _tell_loss(self, now: IntakePosition, told: int = 0) -> None:
        """`now`: what was lost by now. `told`: how much of it an earlier process has noticed, and said."""
        more = now.lost - max(told, self._lost.lost)
        if now.lost > self._lost.lost:
            self._lost = now
        if more <= 0:
            return
        SUBMISSIONS_LOST.labels(str(self._partition)).inc(more)
        log.error(
            "submissions expired before intake had read them: they are lost, though their producers have an"
            " acknowledgement; raise the policy's words_kept above the longest outage of intake",
            topic=SUBMISSIONS,
            partition=self._partition,
            offset=now.offset,
            lost=more,
            lost_in_all=now.lost,
        )

    async def _judge(self, records: Sequence[Record], *, patient: bool) -> tuple[list[Judged], str]:
        """What the first records are, and what the next one waits for: empty when nothing does."""
        loop = asyncio.get_running_loop()
        judging = loop.run_in_executor(self._judging, partial(self._admit, records, self._skips.ordered, patient))
        while not (await asyncio.wait({judging}, timeout=JUDGING_MAX_S))[0]:
            self._held_up.by("the registry (no answer)", self.place)
        try:
            return judging.result()
        except RegistryAway as away:  # of erasures
            return [], f"the registry ({away})"

    def _admit(self, records: Sequence[Record], skipped: frozenset[int], patient: bool) -> tuple[list[Judged], str]:
        judged: list[Judged] = []
        until_s = time.monotonic() + JUDGING_S
        for record in records:
            if judged and time.monotonic() > until_s:
                break
            if record.offset in skipped:
                judged.append((record, Refused(SKIPPED)))
                continue
            try:
                judged.append((record, self._admission.admit(record, patient=patient)))
            except Refused as refused:
                judged.append((record, refused))
            except NotYet:
                return self._without_erased(judged), NOT_YET
            except RegistryAway as away:
                return self._without_erased(judged), f"the registry ({away})"
            patient = True
        return self._without_erased(judged), ""

    def _without_erased(self, judged: list[Judged]) -> list[Judged]:
        """As judged, but nothing is passed on whose words were erased. RegistryAway when nobody can tell."""
        jobs = {outcome.record.submission.job for _, outcome in judged if isinstance(outcome, Admitted)}
        erased = self._admission.erased(sorted(jobs))
        return [
            (record, RefusedAsErased(ERASED))
            if isinstance(outcome, Admitted) and outcome.record.submission.job in erased
            else (record, outcome)
            for record, outcome in judged
        ]

    async def _pass_on(self, judged: Sequence[Judged]) -> None:
        """Send until every record is acknowledged where it belongs."""
        while judged:
            judged = [left for left in await asyncio.gather(*(self._send(*one) for one in judged)) if left is not None]
            if judged:
                await self._wait("the broker to take a record")

    async def _send(self, record: Record, outcome: Admitted | Refused) -> Judged | None:
        """None when the record is acknowledged; else what to try again."""
        if record.offset in self._skips.ordered and not isinstance(outcome, Refused):
            outcome = Refused(SKIPPED)
        try:
            if isinstance(outcome, Refused):
                kept = None if isinstance(outcome, RefusedAsErased) else record.value
                await set_aside(self._producer, SOURCE, SUBMISSIONS, self._partition, record.offset, str(outcome), kept)
                INTAKE.labels("quarantined").inc()
                return None
            submitted = outcome.record
            place = f"{self._partition}-{record.offset}"
            await jobs_writer.asend(
                self._producer,
                self._signer.record(
                    submitted,
                    partition=outcome.partition,
                    key=uuid.uuid4().hex.encode(),
                    event_id=place,
                    source=SOURCE,
                    traceparent=outcome.traceparent,
                ),
            )
            INTAKE.labels("passed_on").inc()
        except DeliveryRefused:
            size = len(record.value or b"")
            reason = f"expected a submission that `jobs` takes, found one of {size} bytes, which is too large"
            return await self._send(record, Refused(reason))
        except DeliveryUnclear:
            return record, outcome
        except Exception as error:  # a submission that nobody foresaw is set aside, and the next ones go on
            if isinstance(outcome, Refused):
                raise
            return await self._send(record, unforeseen(record, error))
        return None

    async def _drop(self, count: int, follower: Follower) -> None:
        """The first `count` records under way are acknowledged elsewhere."""
        self._held_up.ended()
        for record in self._under_way.drop(count):
            await self._skips.note_passed(record.offset)
        if self._paused and self._under_way.is_roomy and not self._closing:
            self._resume()
            await follower.go_on()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._pause(self._partition, False)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _until_done(self, step: Callable[[], Awaitable[Outcome]], what: str) -> Outcome:
        """What `step` returns, tried again until it does not raise."""
        while True:
            try:
                return await step()
            except Exception as error:  # no record is passed over because a server is away
                await self._wait(f"{what} ({without_words(error)})")

    async def _wait(self, what: str) -> None:
        """Rest for a moment. Tells people when the partition waits for long, and looks for orders to skip the
        record."""
        self._held_up.by(what, self.place)
        if self._follower is not None:
            await self._skips.look_again()
        await asyncio.sleep(RETRY_S)
