"""What Faust is to our processors, on the twin: a member of a group that fetches, delivers one by one, and loses its
place.

`TwinApp` has as much of a Faust app as streams.hosting.faust_app.seek_to, hold_back, records_of and in_batches ask of
one, so the classes Scheduler, Intake and Projector take a TwinApp for an app. Like Faust it starts all partitions anew
at the committed offsets after each rebalance, and delivers what was fetched before a seek.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import IllegalStateError
from confluent_kafka import TopicPartition
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from runtime.kafka import Record
from streams.hosting.faust_parts import MeasuredQueue
from streams.hosting.flow import FlowControl
from streams.hosting.gaps import PROVEN
from tests.twin.groups import Member
from tests.twin.kafka import TwinKafka, record_of

FETCH_RECORDS = 500
BUFFERED_MAX = 131_072
"""Records, as stream_buffer_maxsize of our apps."""
COMMIT_EVERY_S = 2.0
SESSION_S = 6.0
JOIN_S = 0.05
"""Between the revocation and the new assignment nothing can be sought."""
LOOK_S = 30.0

_numbers = count(1)


class TwinFlow(FlowControl):
    """Flow control that wakes the fetching."""

    def __init__(self, kafka: TwinKafka) -> None:
        super().__init__()
        self._kafka = kafka

    def _note(self, held: bool) -> None:
        super()._note(held)
        with self._kafka.world.lock:
            self._kafka.world.changed()


class TwinApp:
    """One process of a group. Call `host` once."""

    def __init__(self, kafka: TwinKafka, group: str, name: str = "") -> None:
        """`name` names the process among those of the group: a successor of the same name has what it had."""
        self.kafka, self.group = kafka, group
        self.client_id = name or f"{group}-{next(_numbers)}"
        self.flow = TwinFlow(kafka)
        self.consumer = self
        self.fetched = 0
        """Records fetched so far, also such as were fetched again."""
        self._member: Member | None = None
        self._positions: dict[TP, int] = {}
        self._read: dict[TP, int | None] = {}
        """The offset delivered last, or sought: nothing before it is delivered."""
        self._joining = True
        self._buffer = MeasuredQueue(
            maxsize=BUFFERED_MAX, flow_control=FlowControlEvent(initially_suspended=False), flow=self.flow
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopping = False
        self._begun = asyncio.Event()

    async def host(
        self,
        topic: str,
        body: Callable[[Any], Awaitable[None]],
        *,
        assigned: Callable[[set[int]], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        places: Callable[[], Mapping[int, int]],
    ) -> None:
        """As streams.hosting.faust_app.host, until `stop` or `kill` is called. Raises what the body raises."""
        self._stop, self._places, self._topic = stop, places, topic
        with self.kafka.world.lock:
            self._member = self.kafka.groups.join(
                self.group,
                [topic],
                instance=self.client_id,
                session_s=SESSION_S,
                is_reached=lambda: self.kafka.is_reached_by(self.client_id),
            )
        self._tasks = [
            asyncio.create_task(self._run_body(body)),
            asyncio.create_task(self._fetch(assigned)),
            asyncio.create_task(self._commit_again_and_again()),
        ]
        self._begun.set()
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self._cancel()
        for task in done:
            if not task.cancelled() and (failure := task.exception()):
                raise failure

    async def stop(self) -> None:
        """SIGTERM: as the programs stop, and leave their group."""
        await self._begun.wait()
        await self._stop()
        self._commit()
        self._cancel()
        with self.kafka.world.lock:
            if self._member is not None:
                self.kafka.groups.leave(self._member)
                self._member.gone_at_s = self.kafka.world.now_s()
            self.kafka.world.changed()

    def kill(self) -> None:
        """kill -9, as far as the group knows: no word of this process is heard, and it hears none. Whatever else the
        process had goes on, and nobody hears that either if its clients are cut off too."""
        self._cancel()
        self.kafka.cut_off(self.client_id)

    def rebalance(self) -> None:
        """Have the group share the partitions out again."""
        with self.kafka.world.lock:
            self.kafka.groups.share_out(self.group)

    # -- as a Faust app, its consumer and its stream -----------------------------------------------------------------

    @property
    def app(self) -> TwinApp:
        return self

    async def seek(self, place: TP, offset: int) -> None:
        """Deliver what lies at the offset and behind. IllegalStateError while the group rebalances, and for what is
        not ours."""
        if self._joining or place not in self._positions:
            raise IllegalStateError(f"No current assignment for partition {place}")
        self._positions[place], self._read[place] = offset, offset or None
        with self.kafka.world.lock:
            self.kafka.world.changed()

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self._buffer.get()

    # -- fetching ----------------------------------------------------------------------------------------------------

    async def _run_body(self, body: Callable[[Any], Awaitable[None]]) -> None:
        await body(self)

    async def _fetch(self, assigned: Callable[[set[int]], Awaitable[None]]) -> None:
        member = self._member
        assert member is not None
        while not self._stopping:
            if (change := member.take_change()) is not None:
                await self._rejoin(change[1], assigned)
            for place in sorted(self.flow.open_of(set(self._positions))):
                await self._deliver(place, self._fetched(place))
            await asyncio.to_thread(self._wait, member)

    def _wait(self, member: Member) -> None:
        """Until there is something to fetch, or a rebalance."""
        with self.kafka.world.lock:
            self.kafka.wait_until(lambda: self._stopping or member.has_change or self._has_more(), LOOK_S)

    def _has_more(self) -> bool:
        if not self.kafka.is_reached_by(self.client_id) or self._buffer.full():
            return False
        return any(
            self._positions.get(place, 0) < self.kafka.log(*place).stable_end
            for place in self.flow.open_of(set(self._positions))
        )

    async def _rejoin(self, places: list[tuple[str, int]], assigned: Callable[[set[int]], Awaitable[None]]) -> None:
        self._joining = True
        await asyncio.sleep(JOIN_S)
        committed = self.kafka.groups.committed(self.group)
        self._positions = {TP(*place): max(committed.get(place, 0), self.kafka.log(*place).start) for place in places}
        self._read = dict(self._positions)
        self._joining = False
        await assigned({partition for _, partition in places})

    def _fetched(self, place: TP) -> list[Record]:
        """What one fetch brings, each record with what the fetch proves (streams.hosting.fetching)."""
        if not self.kafka.is_reached_by(self.client_id) or place not in self._positions:
            return []
        log, position = self.kafka.log(*place), self._positions[place]
        if position < log.start or position > log.end:
            position = log.start  # as auto.offset.reset=earliest
        if self.kafka.faults.jumps():
            position = self.kafka.faults.random.randrange(log.start, log.stable_end + 1)
        entries = list(islice(log.from_offset(position, committed=True), FETCH_RECORDS))
        end = entries[-1].offset + 1 if len(entries) == FETCH_RECORDS else max(position, log.stable_end)
        empty_from = PROVEN.start_of(*place, position)
        records = []
        for entry in entries:
            records.append(record_of(*place, entry, empty_from))
            empty_from = entry.offset + 1
        PROVEN.prove(*place, empty_from, end)
        self._positions[place] = end
        self.fetched += len(records)
        return records

    async def _deliver(self, place: TP, records: list[Record]) -> None:
        for record in records:
            read = self._read.get(place)
            if read is None or record.offset >= read:
                await self._buffer.put(SimpleNamespace(message=SimpleNamespace(record=record)))
                self._read[place] = record.offset  # also after a seek back: then what was sought is left out

    # -- committing --------------------------------------------------------------------------------------------------

    async def _commit_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            self._commit()

    def _commit(self) -> None:
        if not self.kafka.is_reached_by(self.client_id):
            return
        ours = [
            TopicPartition(self._topic, partition, offset)
            for partition, offset in self._places().items()
            if TP(self._topic, partition) in self._positions
        ]
        member = self._member
        if member is not None and not member.is_fenced and member in self.kafka.groups.members(self.group):
            self.kafka.groups.commit(self.group, member, ours)

    def _cancel(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        with self.kafka.world.lock:
            self.kafka.world.changed()
