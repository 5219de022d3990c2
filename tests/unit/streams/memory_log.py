"""A ledger in memory and hosts that drive writers on it: what Kafka does, with no Kafka, one step at a time."""

from __future__ import annotations

from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import decode_batch
from contract.inputs import Input
from contract.orders import Order
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state
from streams.ledger.outputs import Append, AskJobsEnd, InputAhead, Output, SeekJobs, SendOrders, SnapshotReady, Stop
from streams.ledger.writer import LedgerWriter

START_MS = 1_700_000_000_000


class MemoryLog:
    """One partition: records get an offset and the broker's append time."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.now_ms = START_MS
        self.jobs_end = 0
        """Of `jobs`, which all writers read."""

    def append(self, record: bytes) -> int:
        self.records.append((self.now_ms, record))
        return len(self.records) - 1

    def batch(self, offset: int) -> Batch:
        return decode_batch(self.records[offset][1])


class Host:
    """One writer's, whose appends wait in `flight` until the test lets them land."""

    def __init__(self, log: MemoryLog, session: str, *, state: State | None = None, mono_ms: int = 0) -> None:
        self.log = log
        self.writer = LedgerWriter(state or initial_state("main"), session=session, release="1.0")
        self.writer.ledger_end(len(log.records))
        self.mono_ms = mono_ms
        self.answers = True
        self._answered = False
        self.flight: list[Append] = []
        self.orders: list[Order] = []
        self.seeks: list[int] = []
        self.snapshots: list[SnapshotReady] = []
        self.ahead: list[InputAhead] = []
        self.stopped = ""

    def step(self) -> None:
        self._carry_out(self.writer.step(self.mono_ms))

    def read(self, until: int | None = None) -> None:
        """Read what the log holds, up to an offset."""
        end = len(self.log.records) if until is None else until
        while self.writer.next_offset < end and not self.stopped:
            offset = self.writer.next_offset
            at_ms, record = self.log.records[offset]
            self._carry_out(self.writer.read(offset, at_ms, record))

    def land(self) -> int:
        """The record in flight is appended and acknowledged; its offset."""
        offset = self.lose_ack()
        self._carry_out(self.writer.acked(offset, self.log.records[offset][0], self.mono_ms))
        return offset

    def lose_ack(self) -> int:
        """The record in flight is appended, and nobody hears of it."""
        return self.log.append(self.flight.pop().record)

    def pass_ms(self, elapsed_ms: int) -> None:
        self.mono_ms += elapsed_ms
        self.log.now_ms += elapsed_ms

    def give(self, *inputs: Input) -> None:
        for given in inputs:
            self.writer.receive(given, 200)
            self.log.jobs_end = max(self.log.jobs_end, given.offset + 1)

    def settle(self) -> None:
        """Step, land and read back until nothing happens any more."""
        while not self.stopped:
            self._answered = False
            self.step()
            if self.flight:
                self.land()
                self.read()
            elif not self._answered:
                if not self.writer.pending:
                    return
                self.mono_ms += self.writer.due_ms(self.mono_ms) or 0  # nodes' words alone wait a little

    def lead(self) -> Host:
        self.read()
        self.settle()
        assert self.writer.phase == "leading", self.stopped
        return self

    def _carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Append():
                    assert not self.flight, "at most one batch in flight"
                    self.flight.append(output)
                case SendOrders(orders):
                    self.orders += orders
                case SeekJobs(position):
                    self.seeks.append(position)
                case AskJobsEnd():
                    if self.answers:
                        self._answered = True
                        self._carry_out(self.writer.jobs_end(self.log.jobs_end))
                case SnapshotReady():
                    self.snapshots.append(output)
                case InputAhead():
                    self.ahead.append(output)
                case Stop(reason):
                    self.stopped = reason


def reader_hash(log: MemoryLog) -> str:
    """State hash of a reader that folds the log from its beginning."""
    state, chain = initial_state("main"), Chain("main")
    for offset, (_, record) in enumerate(log.records):
        judged = chain.offer(offset, record)
        if isinstance(judged, Counted):
            fold(state, judged.batch, judged.hash, offset)
    return snapshot.state_hash(state)
