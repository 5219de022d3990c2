"""Scheduler processes: hosts of the real LedgerWriter over the in-memory log, that crash, stall and start again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contract import codec, inputs
from contract.chain import Chain
from contract.topics import JOBS, LEDGER, dispatch_topic
from scheduling import snapshot
from scheduling.attempts.orders import clusters_for
from scheduling.state.pool import initial_state
from streams.ledger import outputs as out
from streams.ledger.phases import WriterPhase
from streams.ledger.writer import LedgerWriter
from tests.simulation.log import Broker, Record, Unclear
from tests.simulation.signatures import signature_of

POOL = "main"
TRICKLE_MS = 2_000
"""The time in ms between two records that reach a starved scheduler."""


@dataclass
class Snapshots:
    """The snapshots in the object store: content, offset and hash, newest last."""

    stored: list[tuple[int, str, bytes]] = field(default_factory=list)


class Scheduler:
    """One scheduler process. It reads, feeds the writer, and carries out what the writer says, each with a latency."""

    def __init__(
        self,
        broker: Broker,
        snapshots: Snapshots,
        name: str,
        *,
        built: Callable[[bytes], None],
        stored: Callable[[out.SnapshotReady], None],
        ended: Callable[[Scheduler], None],
        signed_from: int = -1,
    ) -> None:
        """`signed_from`: where in `jobs` the host begins to look at signatures; -1: it has no keys."""
        self.broker, self.timeline, self.name = broker, broker.timeline, name
        self.alive = True
        self.stalled_until_ms = 0
        self.stop_reason = ""
        self._built, self._stored, self._ended = built, stored, ended
        self._snapshots, self._signed_from = snapshots, signed_from
        self._mono_base_ms = self.timeline.between(0, 1 << 30)
        self._jobs_position: int | None = None
        self._due_at_ms: int | None = None
        self._lag_ms = self.timeline.chance.choice((1, 1, 30, 300, 3_000))
        """How long after its append a ledger record reaches this process, in ms."""
        self._inputs_max = self.timeline.chance.choice((500, 500, 2))
        """How many records of `jobs` one fetch brings."""
        self._jobs_wait_until_ms = 0
        self._trickle_until_ms = 0
        self.writer = self._open()
        writer_end = len(broker.topic(LEDGER))
        self.writer.ledger_end(writer_end)
        self.wake(1)

    def _open(self) -> LedgerWriter:
        if not self._snapshots.stored or self.timeline.happens(0.2):
            state, chain = initial_state(POOL), Chain(POOL)
        else:
            state = snapshot.decode(self._snapshots.stored[-1][2])
            chain = Chain.at(POOL, state.head_hash, state.seq, state.epoch, state.head_offset)
        return LedgerWriter(state, chain, session=self.name, release="simulated", signed_from=self._signed_from)

    @property
    def mono_ms(self) -> int:
        return self._mono_base_ms + self.timeline.now_ms

    @property
    def stalled(self) -> bool:
        return self.timeline.now_ms < self.stalled_until_ms

    @property
    def leading(self) -> bool:
        return self.alive and not self.stalled and self.writer.phase is WriterPhase.LEADING

    def crash(self) -> None:
        """kill -9."""
        self.alive = False
        self._ended(self)

    def stall(self, for_ms: int) -> None:
        """SIGSTOP, or a long pause of the machine: everything waits except the monotonic clock, so a snapshot is due
        soon after the process goes on."""
        self.stalled_until_ms = self.timeline.now_ms + for_ms
        self.wake(for_ms + 1)
        self.timeline.after(for_ms + self.timeline.between(1, 300), self.want_snapshot)

    def starve(self, for_ms: int) -> None:
        """Nothing of `jobs` arrives for a while, or only a record now and then. The ledger arrives."""
        until_ms = self.timeline.now_ms + for_ms
        if self.timeline.happens(0.5):
            self._jobs_wait_until_ms = until_ms
        else:
            self._trickle_until_ms = until_ms
        self.wake(for_ms + 1)

    def feed(self) -> None:
        """Ends the starvation: all of `jobs` arrives again."""
        self._jobs_wait_until_ms = self._trickle_until_ms = 0
        self.wake(1)

    def want_snapshot(self) -> None:
        if self.alive:
            self.writer.want_snapshot()
            self.wake(1)

    # -- events -----------------------------------------------------------------------------------------------

    def wake(self, delay_ms: int) -> None:
        """Plans a step in `delay_ms`, unless an earlier step is planned."""
        at_ms = self.timeline.now_ms + delay_ms
        if self._due_at_ms is not None and self.timeline.now_ms <= self._due_at_ms <= at_ms:
            return
        self._due_at_ms = at_ms
        self.timeline.after(delay_ms, lambda: self._turn(at_ms))

    def _turn(self, at_ms: int) -> None:
        if self._due_at_ms == at_ms:
            self._due_at_ms = None
        if not self.alive or self.stalled:
            return
        self._read_ledger()
        self._read_jobs()
        if self.alive:
            self._carry_out(self.writer.step(self.mono_ms))
        if self.alive:
            due_ms = self.writer.due_ms(self.mono_ms)
            if due_ms is not None:
                self.wake(max(1, due_ms))
            elif self.broker.down:
                self.wake(500)
            if not self.broker.down and self._behind():
                self.wake(self._lag_ms)
            if self._has_more_to_fetch():
                self.wake(max(2, self._jobs_wait_until_ms - self.timeline.now_ms))

    def _has_more_to_fetch(self) -> bool:
        """Whether a fetch would bring more. False while a batch is under way or the broker is down: the end of either
        wakes the process."""
        if self._jobs_position is None or self.writer.pending or self.broker.down:
            return False
        return self._jobs_position < len(self.broker.topic(JOBS))

    def _behind(self) -> bool:
        return self.writer.next_offset < len(self.broker.topic(LEDGER))

    def _read_ledger(self) -> None:
        for record in self.broker.read(LEDGER, self.writer.next_offset):
            if record.true_ms + self._lag_ms > self.timeline.now_ms:
                return
            assert record.value is not None
            self._carry_out(self.writer.read(record.offset, record.append_ms, record.value))
            if not self.alive:
                return

    def _read_jobs(self) -> None:
        if self._jobs_position is None or not self.alive or self.timeline.now_ms < self._jobs_wait_until_ms:
            return
        if self.writer.pending:  # the last fetch is not decided yet
            return
        records_max = self._inputs_max
        if self.timeline.now_ms < self._trickle_until_ms:
            records_max, self._jobs_wait_until_ms = 1, self.timeline.now_ms + TRICKLE_MS
        for record in self.broker.read(JOBS, self._jobs_position, records_max):
            self._jobs_position = record.offset + 1
            if record.value is None:
                self.writer.skip_to(self._jobs_position)
                continue
            body = codec.body_of(codec.decode_wire(record.value))
            key = record.key if isinstance(body, inputs.Submission) else ""
            is_signed = 0 <= self._signed_from <= record.offset
            signature = signature_of(record.key, body) if is_signed else ("", 0)
            given = inputs.Input(record.offset, record.append_ms, body, key, *signature)
            self.writer.receive(given, len(record.value))

    # -- outputs ----------------------------------------------------------------------------------------------

    def _carry_out(self, outputs: list[out.Output]) -> None:
        for output in outputs:
            if not self.alive:
                return
            match output:
                case out.Append():
                    self._append(output.record)
                case out.SendOrders():
                    self._send(output)
                case out.SeekJobs():
                    self._jobs_position = output.position
                    self.wake(1)
                case out.AskJobsEnd():
                    self._ask()
                case out.SnapshotReady():
                    self._stored(output)
                    self._snapshots.stored.append((output.offset, output.record_hash, output.data))
                case out.Stop():
                    self.stop_reason = output.reason
                    self.crash()
                case out.InputAhead():
                    pass

    def _append(self, record: bytes) -> None:
        self._built(record)

        def heard(outcome: Record | Unclear) -> None:
            if not self.alive:
                return
            if self.stalled:
                self.timeline.after(self.stalled_until_ms - self.timeline.now_ms + 1, lambda: heard(outcome))
                return
            if isinstance(outcome, Record):
                self._carry_out(self.writer.acked(outcome.offset, outcome.append_ms, self.mono_ms))
            else:
                self._carry_out(self.writer.unclear("simulated"))
            if self.alive:
                self._turn(-1)

        self.broker.produce(LEDGER, record, heard)

    def _send(self, output: out.SendOrders) -> None:
        for order in output.orders:
            for cluster in clusters_for(self.writer.state, order):
                self.broker.produce(dispatch_topic(cluster), codec.encode(order))

    def _ask(self) -> None:
        def answer() -> None:
            if self.alive and not self.stalled:
                end = None if self.broker.down else len(self.broker.topic(JOBS))
                self._carry_out(self.writer.jobs_end(end))
                if self.alive:
                    self._turn(-1)
            elif self.alive:
                self.timeline.after(self.stalled_until_ms - self.timeline.now_ms + 1, answer)

        self.timeline.after(self.timeline.between(1, 4), answer)
