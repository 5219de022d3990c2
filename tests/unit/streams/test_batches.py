"""What a batch holds, when one is written, and what time it is then."""

from __future__ import annotations

from contract.batch import BATCH_BYTES_MAX, BATCH_INPUTS_MAX, ELAPSED_MAX_MS, INPUT_AHEAD_MAX_MS, TICK_MS
from contract.inputs import NodeLeft
from streams.ledger.clock import PoolClock
from streams.ledger.pace import ASK_EVERY_MS, GATHER_MS, Pace
from tests.unit.scheduling.preparing import PreparingPool, preparing_policy
from tests.unit.streams.memory_log import START_MS, Host, MemoryLog
from tests.unit.streams.said import Said


def leading() -> tuple[MemoryLog, Host, Said]:
    """A pool with a policy, a version and a node."""
    log, said = MemoryLog(), Said()
    host = Host(log, "a").lead()
    host.give(*said.setup(), said.node())
    host.settle()
    return log, host, said


class TestCutting:
    def test_inputs_beyond_the_limit_follow_in_the_next(self) -> None:
        log, host, said = leading()
        before = len(log.records)
        host.give(*(said.stray() for _ in range(BATCH_INPUTS_MAX + 20)))
        host.settle()
        sizes = [len(log.batch(offset).inputs) for offset in range(before, len(log.records))]
        assert sizes[:2] == [BATCH_INPUTS_MAX, 20]
        assert log.batch(before).position == log.batch(before).inputs[-1].offset + 1

    def test_a_batch_that_is_full_leaves_its_last_inputs_to_the_next(self) -> None:
        log, host, said = leading()
        before = len(log.records)
        host.give(*(said.job(n) for n in range(BATCH_INPUTS_MAX)))
        log.jobs_end = said.offset
        host.settle()
        batches = [log.batch(offset) for offset in range(before, len(log.records))]
        taken = [i.offset for batch in batches for i in batch.inputs]
        assert 0 < len(batches[0].inputs) < BATCH_INPUTS_MAX
        assert taken == list(range(taken[0], taken[0] + BATCH_INPUTS_MAX)), "each once, in order"
        assert not batches[0].caught_up
        assert log.batch(before).position == log.batch(before).inputs[-1].offset + 1
        assert all(len(record) <= BATCH_BYTES_MAX for _, record in log.records)

    def test_large_inputs_are_cut_by_bytes_and_one_always_goes(self) -> None:
        log, host, said = leading()
        before = len(log.records)
        for _ in range(3):
            host.writer.receive(said.heartbeat(), BATCH_BYTES_MAX)
        log.jobs_end = said.offset
        host.settle()
        assert [len(log.batch(offset).inputs) for offset in range(before, len(log.records))] == [1, 1, 1]

    def test_what_was_read_before_is_dropped(self) -> None:
        log, host, said = leading()
        job = said.job(1)
        host.give(job, job)
        host.settle()
        host.give(job)
        before = len(log.records)
        host.settle()
        assert len(log.records) == before

    def test_a_gap_is_passed_over_and_the_position_says_so(self) -> None:
        log, host, said = leading()
        said.offset += 7
        log.jobs_end = said.offset
        host.writer.skip_to(said.offset)
        host.pass_ms(TICK_MS)
        host.settle()
        assert log.batch(len(log.records) - 1).position == said.offset


class TestTicks:
    def test_a_rest_before_a_preparation_makes_a_batch_due(self) -> None:
        pool = PreparingPool()
        pool.submit(1)
        pool.stopped(1, "outage")
        pace = Pace(pool.state, PoolClock())
        pace.decided(1_000, caught_up=True)
        assert pace.due_ms(1_000) == preparing_policy().backoff_ms

    def test_a_pool_with_a_node_writes_at_least_every_five_seconds(self) -> None:
        log, host, _ = leading()
        before = len(log.records)
        host.pass_ms(TICK_MS - 1)
        host.settle()
        assert len(log.records) == before
        host.pass_ms(1)
        host.settle()
        batch = log.batch(len(log.records) - 1)
        assert (len(log.records), batch.inputs, batch.caught_up, batch.elapsed_ms) == (before + 1, (), True, TICK_MS)

    def test_a_pool_with_nothing_under_way_is_quiet(self) -> None:
        log, host, said = leading()
        host.give(said.say(NodeLeft("n1", "s1")))
        host.settle()
        before = len(log.records)
        host.pass_ms(60_000)
        host.settle()
        assert (len(log.records), host.writer.due_ms(host.mono_ms)) == (before, None)

    def test_a_tick_waits_until_jobs_is_read_as_far_as_it_went(self) -> None:
        log, host, said = leading()
        before = len(log.records)
        heartbeat = said.heartbeat()
        log.jobs_end = said.offset
        host.pass_ms(TICK_MS)
        host.settle()
        assert len(log.records) == before
        assert host.writer.due_ms(host.mono_ms) is None
        host.give(heartbeat)
        host.settle()
        batch = log.batch(before)
        assert (batch.inputs, batch.caught_up) == ((heartbeat,), True)

    def test_a_busy_pool_catches_up_too(self) -> None:
        """Else a pool that always has something to read would never lapse a lease."""
        log, host, said = leading()
        before = len(log.records)
        for _ in range(40):
            host.pass_ms(ASK_EVERY_MS // 10)
            host.give(said.heartbeat())
            host.settle()
        caught_up = [log.batch(offset).caught_up for offset in range(before, len(log.records))]
        assert sum(caught_up) >= 3

    def test_a_rebalance_is_followed_by_a_batch_that_has_read_everything(self) -> None:
        log, host, said = leading()
        host.give(said.say(NodeLeft("n1", "s1")))
        host.settle()
        before = len(log.records)
        host.pass_ms(ASK_EVERY_MS)
        host.writer.recheck()
        host.settle()
        assert [log.batch(offset).caught_up for offset in range(before, len(log.records))] == [True]


class TestTime:
    def test_now_is_the_brokers_clock_carried_on_by_the_hosts_own(self) -> None:
        log, host, said = leading()
        host.pass_ms(1_234)
        said.at_ms = START_MS
        host.give(said.heartbeat())
        host.settle()
        assert log.batch(len(log.records) - 1).now_ms == START_MS + 1_234

    def test_now_never_goes_back_when_the_brokers_clock_does(self) -> None:
        log, host, said = leading()
        host.pass_ms(1_000)
        host.give(said.heartbeat())
        host.settle()
        log.now_ms -= 3_600_000
        host.give(said.heartbeat())
        host.settle()
        host.give(said.heartbeat())
        host.settle()
        nows = [log.batch(offset).now_ms for offset in range(len(log.records))]
        assert nows == sorted(nows)

    def test_an_input_a_little_ahead_raises_now_and_one_far_ahead_is_reported(self) -> None:
        log, host, said = leading()
        said.at_ms = START_MS + INPUT_AHEAD_MAX_MS
        host.give(said.heartbeat())
        host.settle()
        assert log.batch(len(log.records) - 1).now_ms == START_MS + INPUT_AHEAD_MAX_MS
        assert host.ahead == []
        said.at_ms += INPUT_AHEAD_MAX_MS + 1
        host.give(said.heartbeat())
        host.settle()
        assert log.batch(len(log.records) - 1).now_ms == START_MS + INPUT_AHEAD_MAX_MS
        assert [(a.offset, a.ahead_ms) for a in host.ahead] == [(said.offset - 1, INPUT_AHEAD_MAX_MS + 1)]

    def test_lease_time_is_the_hosts_own_and_at_most_ten_seconds_a_batch(self) -> None:
        log, host, said = leading()
        log.now_ms += 7_200_000
        host.give(said.heartbeat())
        host.settle()
        elapsed_ms = log.batch(len(log.records) - 1).elapsed_ms
        assert elapsed_ms <= GATHER_MS, "a jump of the broker's clock is no lease time"
        host.pass_ms(60_000)
        host.give(said.heartbeat())
        host.settle()
        elapsed = [log.batch(offset).elapsed_ms for offset in range(len(log.records))]
        assert max(elapsed) == ELAPSED_MAX_MS

    def test_the_first_batches_of_a_writer_count_no_time_of_its_predecessors(self) -> None:
        log, host, _ = leading()
        host.pass_ms(60_000)
        new = Host(log, "b", mono_ms=5_000_000).lead()
        assert log.batch(new.writer.state.head_offset - 1).elapsed_ms == 0
        assert log.batch(new.writer.state.head_offset).elapsed_ms == 0

    def test_lease_time_stands_still_while_the_broker_does_not_say_where_jobs_ends(self) -> None:
        """An outage of ours: the answer comes a minute late, and none of that minute is lease time."""
        log, host, said = leading()
        host.answers = False
        host.pass_ms(TICK_MS)
        host.step()
        host.pass_ms(60_000)
        heartbeat = said.heartbeat()
        log.jobs_end = said.offset
        host.answers = True
        host._carry_out(host.writer.jobs_end(log.jobs_end))
        host.give(heartbeat)
        before = len(log.records)
        host.settle()
        batch = log.batch(before)
        assert (batch.caught_up, batch.elapsed_ms) == (True, TICK_MS)
        assert len(host.writer.state.nodes) == 1
        host.pass_ms(70)
        host.give(said.heartbeat())
        host.settle()
        assert log.batch(before + 1).elapsed_ms == 70, "nor does the next batch make up for it"

    def test_no_answer_is_no_reason_to_stand_still_for_ever(self) -> None:
        log, host, _said = leading()
        host.answers = False
        host.pass_ms(TICK_MS)
        host.step()
        host._carry_out(host.writer.jobs_end(None))
        assert host.writer.due_ms(host.mono_ms) == ASK_EVERY_MS
        host.answers = True
        host.pass_ms(ASK_EVERY_MS)
        before = len(log.records)
        host.settle()
        assert log.batch(before).elapsed_ms == TICK_MS + ASK_EVERY_MS


def test_jobs_that_ends_before_what_was_read_stops_the_writer() -> None:
    log, host, _ = leading()
    log.jobs_end = 1
    host.pass_ms(TICK_MS)
    host.step()
    assert "made anew" in host.stopped


def test_an_answer_older_than_what_was_read_since_is_no_damage() -> None:
    """The broker said where `jobs` ended; before the answer was heard, more was written, read and decided."""
    log, host, said = leading()
    host.answers = False
    host.pass_ms(TICK_MS)
    host.step()
    asked_end = log.jobs_end
    host.give(said.job(1))
    host.settle()
    assert host.writer.state.position > asked_end
    host._carry_out(host.writer.jobs_end(asked_end))
    assert host.stopped == ""


def test_words_of_nodes_alone_wait_a_little_and_what_a_user_sends_into_a_quiet_pool_does_not() -> None:
    log, host, said = leading()
    host.pass_ms(10 * GATHER_MS)
    host.give(said.job(1))
    host.settle()
    before = len(log.records)
    host.give(said.heartbeat())
    host.step()
    assert host.flight == []
    assert host.writer.due_ms(host.mono_ms) == GATHER_MS
    host.give(said.job(2))
    host.step()
    host.land()
    assert len(log.batch(before).inputs) == 2


def test_a_busy_pool_gathers_what_users_send_too() -> None:
    log, host, said = leading()
    for number in range(3):
        host.pass_ms(GATHER_MS)
        host.give(said.job(number))
        host.settle()
    before = len(log.records)
    host.give(said.job(10))
    host.step()
    assert host.flight == []
    host.give(said.job(11))
    host.pass_ms(GATHER_MS)
    host.settle()
    assert len(log.batch(before).inputs) == 2
