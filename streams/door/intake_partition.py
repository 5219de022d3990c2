"""One partition of `submissions`: each of its records into `jobs` or `quarantine`, in order.

Theory of operation. Partitions do not wait for each other: each has what arrived, a task that works on it, and a place.
What arrived and is not acknowledged elsewhere is *under way*, in order; the place is the first of it, else where the
follower goes on. So the place moves past what was passed on and past what is proven to be no record, and past nothing
else, whenever it is asked for: by the clock, at a stop, when the partition is taken away.

What cannot be checked or written now waits, and is tried again for ever; so does all behind it. Meanwhile the log, the
metrics and the stored place say what waits for what, and an operator may order that it be skipped (streams.door.skips).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import structlog

from contract.codec import encode, headers_for
from contract.topics import JOBS, SUBMISSIONS
from runtime.kafka import DeliveryRefused, DeliveryUnclear, Producer, Record
from runtime.telemetry import without_words
from streams.door.admission import Admission, Admitted, NotYet, Refused, RegistryAway, unforeseen
from streams.door.held_up import HeldUp
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.door.quarantine import set_aside
from streams.door.skips import SKIPPED, Skips
from streams.hosting.follower import Follower
from streams.hosting.resting import GrowingRest
from streams.metrics import INTAKE

SOURCE = "headrace/intake"
TAKE_RECORDS = 500
UNDER_WAY_RECORDS_MAX = 4_000
UNDER_WAY_BYTES_MAX = 16 * 1024 * 1024
"""Beyond either nothing more is taken until half of it is done."""
JUDGING_S = 0.1
"""A partition judges no longer than this before others have their turn."""
RETRY_S = 0.5
NOT_YET_TRIES = 20
"""Times RETRY_S: how long a submission waits for its version to be told to the scheduler, which may refuse it then."""
NOT_YET = "its version to be told to the scheduler: does the relay run?"
SKIPS_EVERY_S = 2.0
CLOSING_S = 3.0
REST_S, REST_MAX_S = 1.0, 60.0
"""Between a failure of one partition's intake and its new beginning."""

Judged = tuple[Record, Admitted | Refused]
Outcome = TypeVar("Outcome")

log = structlog.get_logger(__name__)


class IntakePartition:
    """From assignment to revocation. All methods run on the event loop."""

    def __init__(
        self,
        partition: int,
        *,
        producer: Producer,
        admission: Admission,
        judging: Executor,
        positions: IntakePositions,
        skips: Skips,
        follow: Callable[[int, int], Follower],
        pause: Callable[[int, bool], None],
    ) -> None:
        """`judging` runs one thing at a time, of all partitions. `follow(partition, position)` has the records from
        there on delivered; `pause(partition, whether)` has no more of them fetched, or again."""
        self._partition = partition
        self._producer, self._admission, self._judging = producer, admission, judging
        self._positions, self._skips = positions, skips
        self._follow, self._pause = follow, pause
        self._follower: Follower | None = None
        self._under_way: deque[Record] = deque()
        self._bytes = 0
        self._held = False
        self._arrived = asyncio.Event()
        self._skipped: frozenset[int] = frozenset()
        self._skips_asked_s = float("-inf")
        self._held_up = HeldUp(partition)
        self._written: IntakePosition | None = None
        self._closing = False
        self._task = asyncio.create_task(self._run())

    @property
    def place(self) -> int | None:
        """The next record to pass on: all before it are acknowledged elsewhere, or there is none. None at first."""
        if self._under_way:
            return self._under_way[0].offset
        return self._follower.wanted if self._follower is not None else None

    async def deliver(self, record: Record) -> None:
        """What Faust has. Does not wait: what there is no room for is asked for again later."""
        if self._follower is None or not await self._follower.take(record.offset, record.follows):
            return
        self._under_way.append(record)
        self._bytes += _size(record)
        self._arrived.set()
        if len(self._under_way) >= UNDER_WAY_RECORDS_MAX or self._bytes >= UNDER_WAY_BYTES_MAX:
            self._held = True
            self._follower.hold()
            self._pause(self._partition, True)

    async def seek(self) -> None:
        """Faust has rebalanced and may have lost its place."""
        if self._follower is not None and not self._held:
            await self._follower.go_on()

    async def close(self) -> None:
        """Take nothing more; what is being passed on may be acknowledged for a moment yet."""
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
        """Store the place and what is waited for, if either has changed."""
        offset = self.place
        if offset is None:
            return
        if not self._closing:
            self._held_up.show(offset)
        place = self._held_up.place(offset)
        if place == self._written:
            return
        try:
            await asyncio.to_thread(self._positions.write, self._partition, place)
        except Exception as error:
            log.warning(
                "intake's position was not written; tried again",
                topic=SUBMISSIONS,
                partition=self._partition,
                offset=offset,
                found=without_words(error),
            )
        else:
            self._written = place

    # -- from here on: the task ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Work; what fails in a way that nobody foresaw begins anew where the stored place is, this partition alone."""
        rest = GrowingRest(REST_S, REST_MAX_S)
        while not self._closing:
            began_s = time.monotonic()
            try:
                await self._work()
            except Exception as error:
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
        self._follower, self._bytes = None, 0
        self._under_way.clear()
        self._held_up.ended()

    async def _work(self) -> None:
        await self._until_done(self._look_for_skips, "the object store")
        position = await self._until_done(
            partial(asyncio.to_thread, self._positions.read, self._partition), "its place"
        )
        self._held_up.ended()
        self._follower = self._follow(self._partition, position)
        log.info("reading submissions", topic=SUBMISSIONS, partition=self._partition, offset=position)
        tries = 0
        while not self._closing:
            await self._arrived.wait()
            if self._closing:
                return
            records = list(islice(self._under_way, TAKE_RECORDS))
            if not records:
                self._arrived.clear()
                continue
            judged, obstacle = await self._judge(records, patient=tries < NOT_YET_TRIES)
            await self._pass_on(judged)
            if judged:
                tries = 0
                await self._done(len(judged))
            if obstacle:
                tries += obstacle == NOT_YET
                await self._wait(obstacle)

    async def _judge(self, records: Sequence[Record], *, patient: bool) -> tuple[list[Judged], str]:
        """What the first records are, and what the next one waits for: empty when nothing does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._judging, partial(self._admit, records, self._skipped, patient))

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
                return judged, NOT_YET
            except RegistryAway as away:
                return judged, f"the registry ({away})"
            patient = True
        return judged, ""

    async def _pass_on(self, judged: Sequence[Judged]) -> None:
        """Until every one is acknowledged where it belongs."""
        while judged:
            judged = [left for left in await asyncio.gather(*(self._send(*one) for one in judged)) if left is not None]
            if judged:
                await self._wait("the broker to take a record")

    async def _send(self, record: Record, outcome: Admitted | Refused) -> Judged | None:
        """None when it is acknowledged; else what to try again."""
        if record.offset in self._skipped and not isinstance(outcome, Refused):
            outcome = Refused(SKIPPED)
        try:
            if isinstance(outcome, Refused):
                await set_aside(
                    self._producer, SOURCE, SUBMISSIONS, self._partition, record.offset, str(outcome), record.value
                )
                INTAKE.labels("quarantined").inc()
                return None
            submitted = outcome.record
            place = f"{self._partition}-{record.offset}"
            await self._producer.asend(
                JOBS,
                encode(submitted),
                key=uuid.uuid4().hex.encode(),
                headers=headers_for(submitted, place, SOURCE, outcome.traceparent),
                partition=outcome.partition,
            )
            INTAKE.labels("passed_on").inc()
        except DeliveryRefused:
            size = len(record.value or b"")
            reason = f"expected a submission that `jobs` takes, found one of {size} bytes, which is too large"
            return await self._send(record, Refused(reason))
        except DeliveryUnclear:
            return record, outcome
        except Exception as error:
            if isinstance(outcome, Refused):
                raise
            return await self._send(record, unforeseen(record, error))
        return None

    async def _done(self, number: int) -> None:
        self._held_up.ended()
        for record in [self._under_way.popleft() for _ in range(number)]:
            self._bytes -= _size(record)
            if record.offset in self._skipped:
                await self._obeyed(record.offset)
        roomy = len(self._under_way) < UNDER_WAY_RECORDS_MAX // 2 and self._bytes < UNDER_WAY_BYTES_MAX // 2
        if self._held and roomy and not self._closing:
            assert self._follower is not None
            self._resume()
            await self._follower.go_on()

    def _resume(self) -> None:
        if self._held:
            self._held = False
            self._pause(self._partition, False)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _until_done(self, step: Callable[[], Awaitable[Outcome]], what: str) -> Outcome:
        while True:
            try:
                return await step()
            except Exception as error:
                await self._wait(f"{what} ({without_words(error)})")

    async def _wait(self, what: str) -> None:
        """For a moment. Says so when it goes on for long, and looks whether an operator wants the record skipped."""
        self._held_up.by(what, self.place)
        if self._follower is not None and time.monotonic() - self._skips_asked_s > SKIPS_EVERY_S:
            try:
                await self._look_for_skips()
            except Exception as error:
                log.debug("the store did not say what to skip", found=without_words(error))
        await asyncio.sleep(RETRY_S)

    async def _look_for_skips(self) -> None:
        self._skips_asked_s = time.monotonic()
        ordered = await asyncio.to_thread(self._skips.ordered, self._partition)
        passed = self.place or 0
        for offset in ordered:
            if offset < passed:
                await self._obeyed(offset)
        self._skipped = ordered

    async def _obeyed(self, offset: int) -> None:
        try:
            await asyncio.to_thread(self._skips.remove, self._partition, offset)
        except Exception as error:
            log.warning(
                "an order to skip is of no more use and could not be removed; it does nothing more",
                topic=SUBMISSIONS,
                partition=self._partition,
                offset=offset,
                found=without_words(error),
            )


def _size(record: Record) -> int:
    headers: Any = record.headers
    return len(record.value or b"") + len(record.key or b"") + sum(len(n) + len(v or b"") for n, v in headers)
