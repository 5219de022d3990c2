"""Taking a pool over: a newcomer decides nothing before it has seen itself count, and the old one stops."""

from __future__ import annotations

from contract.batch import Batch, hash_of
from contract.codec import decode_batch, encode
from contract.events import JobDispatched, Opened
from contract.orders import Run
from scheduling import snapshot
from streams.ledger.phases import WriterPhase
from streams.ledger.takeover import OPEN_TRIES_MAX
from tests.unit.streams.memory_log import Host, MemoryLog, reader_hash
from tests.unit.streams.said import Said


def opened(log: MemoryLog, offset: int) -> Opened:
    event = log.batch(offset).events[0]
    assert isinstance(event, Opened)
    return event


def zombie(log: MemoryLog, after: int, epoch: int, position: int = 99) -> bytes:
    """A batch by a writer that has read the log up to and with the record `after`."""
    last = log.batch(after)
    return encode(Batch("main", epoch, last.seq + 1, _hash(log, after), last.now_ms, 0, False, position, (), ()))


def _hash(log: MemoryLog, offset: int) -> str:
    return hash_of(log.records[offset][1])


def test_nothing_is_decided_before_opened_is_read_back() -> None:
    log, said = MemoryLog(), Said()
    host = Host(log, "a")
    host.step()
    host.land()
    host.give(*said.setup())
    host.step()
    assert not host.flight
    assert host.seeks == []
    host.read()
    assert host.writer.phase is WriterPhase.LEADING
    assert host.seeks == [0]


def test_a_newcomer_goes_on_where_the_ledger_says_and_sends_what_is_owed() -> None:
    log, said = MemoryLog(), Said()
    old = Host(log, "a").lead()
    old.give(*said.setup(), said.node(), said.job(1))
    old.settle()
    dispatched = [
        e for batch in map(log.batch, range(len(log.records))) for e in batch.events if isinstance(e, JobDispatched)
    ]
    assert len(dispatched) == 1

    new = Host(log, "b").lead()
    assert new.seeks == [said.offset]
    assert new.writer.state.epoch == 2
    runs = [order for order in new.orders if isinstance(order, Run)]
    assert [(run.dispatch, run.epoch) for run in runs] == [(dispatched[0].dispatch, 2)]


def test_the_old_one_stops_at_the_newcomers_opened() -> None:
    log = MemoryLog()
    old = Host(log, "a").lead()
    Host(log, "b").lead()
    old.read()
    assert "another scheduler has taken" in old.stopped


def test_the_old_ones_batch_that_lands_after_opened_does_not_count_and_stops_it() -> None:
    log, said = MemoryLog(), Said()
    old = Host(log, "a").lead()
    old.give(*said.setup())
    old.step()
    new = Host(log, "b").lead()
    old.land()
    old.read()
    assert old.stopped
    new.give(*Said().setup())
    new.settle()
    assert not new.stopped
    assert new.writer.ignored == 1
    assert snapshot.state_hash(new.writer.state) == reader_hash(log)
    assert new.writer.state.position == 3


def test_a_zombies_batch_that_lands_before_opened_is_folded_and_opened_is_tried_again() -> None:
    log, said = MemoryLog(), Said()
    old = Host(log, "a").lead()
    old.give(*said.setup())
    old.step()
    new = Host(log, "b")
    new.read()
    new.step()
    old.land()
    new.land()
    new.read()
    phases = [new.writer.phase]
    new.settle()
    phases.append(new.writer.phase)
    assert phases == [WriterPhase.OPENING, WriterPhase.LEADING]
    assert new.seeks == [3], "what the zombie's batch read is not read again"
    assert snapshot.state_hash(new.writer.state) == reader_hash(log)


def test_of_two_newcomers_at_once_one_leads_and_the_other_stops() -> None:
    log = MemoryLog()
    one, other = Host(log, "a"), Host(log, "b")
    one.step()
    other.step()
    one.land()
    other.land()
    for host in (one, other):
        host.read()
        host.settle()
    one.read()
    assert one.stopped
    assert other.writer.phase is WriterPhase.LEADING
    assert opened(log, len(log.records) - 2).session == "b"
    assert other.writer.state.epoch == 2
    assert snapshot.state_hash(other.writer.state) == reader_hash(log)


def test_a_newcomer_that_always_comes_too_late_gives_up() -> None:
    log = MemoryLog()
    Host(log, "a").lead()
    new = Host(log, "b")
    new.read()
    for _ in range(OPEN_TRIES_MAX):
        assert not new.stopped
        new.step()
        log.append(zombie(log, _last_counted(log), epoch=1))
        new.land()
        new.read()
    assert "was not won" in new.stopped


def _last_counted(log: MemoryLog) -> int:
    return next(
        offset for offset in reversed(range(len(log.records))) if decode_batch(log.records[offset][1]).epoch == 1
    )


def test_an_unclear_delivery_stops_the_writer_and_the_next_one_finds_out() -> None:
    log, said = MemoryLog(), Said()
    old = Host(log, "a").lead()
    old.give(*said.setup(), said.node(), said.job(1))
    old.step()
    old.lose_ack()
    old._carry_out(old.writer.unclear("time-out"))
    assert "unclear" in old.stopped
    assert old.orders == [], "no order may be sent for a batch that may not be in the ledger"
    old.step()
    assert not old.flight
    new = Host(log, "b").lead()
    assert new.seeks == [said.offset]
    assert len([order for order in new.orders if isinstance(order, Run)]) == 1


def test_orders_go_out_only_after_the_ack() -> None:
    log, said = MemoryLog(), Said()
    host = Host(log, "a").lead()
    host.give(*said.setup(), said.node(), said.job(1))
    host.step()
    assert host.orders == []
    host.land()
    assert len([order for order in host.orders if isinstance(order, Run)]) == 1


def test_damage_stops_the_writer() -> None:
    log = MemoryLog()
    Host(log, "a").lead()
    log.append(b"{}")
    new = Host(log, "b")
    new.read()
    assert "damaged" in new.stopped


def with_snapshot() -> tuple[MemoryLog, Said, Host]:
    """A log whose writer has made a snapshot of its last record."""
    log, said = MemoryLog(), Said()
    host = Host(log, "a").lead()
    host.give(*said.setup())
    host.settle()
    host.writer.want_snapshot()
    host.settle()
    return log, said, host


class TestSnapshots:
    def test_only_of_what_was_read_back(self) -> None:
        log, said = MemoryLog(), Said()
        host = Host(log, "a").lead()
        host.give(*said.setup())
        host.step()
        host.writer.want_snapshot()
        host.land()
        host.step()
        assert host.snapshots == []
        assert not host.flight
        host.read()
        host.step()
        (ready,) = host.snapshots
        assert (ready.offset, ready.record_hash) == (len(log.records) - 1, _hash(log, len(log.records) - 1))
        assert snapshot.state_hash(snapshot.decode(ready.data)) == reader_hash(log)

    def test_a_start_from_one_reads_only_the_tail(self) -> None:
        log, said, host = with_snapshot()
        host.give(said.job(1))
        host.settle()
        state = snapshot.decode(host.snapshots[0].data)
        new = Host(log, "b", state=state)
        assert new.writer.next_offset == host.snapshots[0].offset > 0
        new.lead()
        assert snapshot.state_hash(new.writer.state) == reader_hash(log)
        assert new.seeks == [said.offset]

    def test_a_ledger_whose_tail_was_cut_is_found(self) -> None:
        log, _, host = with_snapshot()
        state = snapshot.decode(host.snapshots[0].data)
        del log.records[host.snapshots[0].offset :]
        new = Host(log, "b", state=state)
        new.read()
        new.step()
        assert "cut" in new.stopped

    def test_a_ledger_that_was_edited_at_the_snapshot_is_found(self) -> None:
        log, _, host = with_snapshot()
        offset = host.snapshots[0].offset
        at_ms, record = log.records[offset]
        log.records[offset] = (at_ms, record.replace(b'"position":3', b'"position":4'))
        new = Host(log, "b", state=snapshot.decode(host.snapshots[0].data))
        new.read()
        assert "edited" in new.stopped
