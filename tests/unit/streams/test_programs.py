"""scheduler, intake and projector as whole programs, on the twin: what befalls one part of them delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from contract.events import InputQuarantined, JobAccepted, JobDispatched, JobSucceeded, NodeLost, Opened
from contract.topics import JOBS, LEDGER, SUBMISSIONS
from streams.hosting import inbox
from streams.ledger import jobs_reader
from streams.ledger.writer import LedgerWriter
from tests.twin.faults import Fate
from tests.twin.host import JOIN_S
from tests.twin.installation import INPUTS, POOLS, Installation, Program
from tests.twin.log import Kind
from tests.unit.streams.led_pools import reopened

MAIN, OTHER = 0, 1
AWAY_S = 300.0


def live(test: Callable[[Installation], Coroutine[Any, Any, None]]) -> None:
    """The test, in an installation with a policy and a version."""
    with Installation() as here:

        async def run() -> None:
            here.setup()
            await test(here)

        here.run(run)


def accepted(here: Installation, partition: int) -> int:
    return len(here.events(JobAccepted, partition))


def succeeded(here: Installation, partition: int) -> int:
    return len(here.events(JobSucceeded, partition))


# -- pools of one process ----------------------------------------------------------------------------------------------


async def _two_pools(here: Installation) -> Program:
    scheduler = here.scheduler()
    for partition in here.partitions:
        here.node(f"node-{partition}", partition)
        here.submit(partition)
    await here.until(lambda: [succeeded(here, partition) for partition in here.partitions] == [1, 1])
    return scheduler


async def _other_goes_on(here: Installation, jobs: int = 5, within_s: float = 10.0) -> None:
    before = succeeded(here, OTHER)
    here.submit(OTHER, jobs)
    await here.until(lambda: succeeded(here, OTHER) == before + jobs, within_s)


def test_a_pool_whose_ledger_does_not_answer_delays_no_other() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        log = here.kafka.topics[LEDGER]
        here.submit(MAIN, 3)
        here.kafka.hold_writes(LEDGER, MAIN)
        await asyncio.sleep(1)
        records = log.logs[MAIN].end
        await _other_goes_on(here)
        assert log.logs[MAIN].end == records
        here.kafka.release(LEDGER)
        await here.until(lambda: succeeded(here, MAIN) == 4)

    live(test)


def test_a_pool_that_is_full_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides nothing, so its bounds fill one after the other: undecided inputs, inbox, and the fetches stop."""
    monkeypatch.setattr(jobs_reader, "UNDECIDED_MAX", 3)
    monkeypatch.setattr(inbox, "WAITING_BYTES", 2_000)
    monkeypatch.setattr(inbox.Inbox.__init__, "__kwdefaults__", {"waiting_bytes": 2_000, "waiting_bytes_max": 6_000})

    async def test(here: Installation) -> None:
        scheduler = here.scheduler()
        for partition in here.partitions:
            here.node(f"node-{partition}", partition)
        await here.until(lambda: all(here.batches(partition) for partition in here.partitions))
        await asyncio.sleep(1)
        here.kafka.hold_writes(LEDGER, MAIN)
        for _ in range(20):
            here.submit(MAIN, 5)
            await asyncio.sleep(0.05)
        assert scheduler.app.flow.holds, "nothing more is fetched for it"
        await _other_goes_on(here)
        here.kafka.release(LEDGER)
        await here.until(lambda: accepted(here, MAIN) == 100)
        assert here.verify(MAIN).findings == []

    live(test)


def test_a_pool_that_raises_delays_no_other_and_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    real = LedgerWriter.step

    def step(writer: LedgerWriter, mono_ms: int) -> Any:
        if writer.state.pool == POOLS[MAIN] and broken:
            raise RuntimeError("a violet walrus")
        return real(writer, mono_ms)

    broken: list[int] = []
    monkeypatch.setattr(LedgerWriter, "step", step)

    async def test(here: Installation) -> None:
        await _two_pools(here)
        before = reopened(POOLS[MAIN])
        broken.append(1)
        here.submit(MAIN, 3)
        await _other_goes_on(here)
        await here.until(lambda: reopened(POOLS[MAIN]) >= before + 3)
        await _other_goes_on(here)
        broken.clear()
        await here.until(lambda: succeeded(here, MAIN) == 4, within_s=120)
        assert len(here.events(Opened, OTHER)) == 1
        assert here.verify(MAIN).findings == here.verify(OTHER).findings == []

    live(test)


def test_a_pool_that_is_taken_away_delays_no_other() -> None:
    async def test(here: Installation) -> None:
        first = await _two_pools(here)
        second = here.scheduler()
        await here.until(lambda: len(here.events(Opened, OTHER)) == 2)
        assert first.hosted.places().keys() == {MAIN}
        assert second.hosted.places().keys() == {OTHER}
        await second.stop()
        await _other_goes_on(here, within_s=20)
        here.submit(MAIN)
        await here.until(lambda: succeeded(here, MAIN) == 2)
        assert len(here.events(Opened, MAIN)) == 1

    live(test)


# -- unclear acknowledgements, gaps, rebalances, outages ---------------------------------------------------------------


def test_a_second_machine_of_one_name_stays_out_and_comes_in_once_the_first_is_lost() -> None:
    async def test(here: Installation) -> None:
        here.scheduler()
        first = here.node("node", work=lambda _: 20.0)
        here.submit(MAIN, 2)
        await here.until(lambda: first.runs.total() == 2)
        second = here.node("node", machine="another")
        await here.until(lambda: second.refused)
        assert second.refused == "name_taken"
        await here.until(lambda: succeeded(here, MAIN) == 2, within_s=60)
        assert (first.sessions, set(first.runs.values()), second.runs.total()) == (1, {1}, 0)
        assert len(here.events(JobDispatched, MAIN)) == 2
        first.close()
        here.kafka.reconnect()
        await here.until(lambda: here.events(NodeLost, MAIN), within_s=60)
        third = here.node("node", machine="another")
        here.submit(MAIN)
        await here.until(lambda: third.runs.total() == 1)

    live(test)


@pytest.mark.parametrize("fate", [Fate.UNCONFIRMED, Fate.LOST])
def test_after_an_unclear_append_the_ledger_says_what_happened(fate: Fate) -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        here.kafka.faults.next_fates(LEDGER, fate)
        here.submit(MAIN, 3)
        await here.until(lambda: succeeded(here, MAIN) == 4)
        assert len(here.events(Opened, MAIN)) == 2
        verdict = here.verify(MAIN)
        assert (verdict.findings, verdict.jobs) == ([], 4)

    live(test)


def test_orders_that_are_lost_are_sent_again_by_the_next_heartbeats() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        here.kafka.faults.next_fates("dispatch.main-cluster", *[Fate.LOST] * 3)
        here.submit(MAIN, 3)
        await here.until(lambda: succeeded(here, MAIN) == 4)
        assert len(here.events(Opened, MAIN)) == 1

    live(test)


def test_gaps_of_every_kind_in_jobs_are_passed_over_at_once() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        log = here.kafka.log(JOBS, MAIN)
        here.kafka.write(JOBS, b"aborted", partition=MAIN, transaction="foreign")
        log.finish(here.kafka.now_ms(), "foreign", Kind.ABORT)
        log.leave_gap(7)
        here.kafka.write(JOBS, None, partition=MAIN, key=b"erased")
        here.submit(MAIN)
        assert await here.until(lambda: succeeded(here, MAIN) == 2) < 3
        assert here.verify(MAIN).findings == []

    live(test)


def _ends_in_a_tombstone(here: Installation) -> None:
    here.kafka.write(JOBS, None, partition=MAIN, key=b"erased")


def _ends_in_an_abort(here: Installation) -> None:
    here.kafka.write(JOBS, b"aborted", partition=MAIN, transaction="foreign")
    here.kafka.log(JOBS, MAIN).finish(here.kafka.now_ms(), "foreign", Kind.ABORT)


@pytest.mark.parametrize("end", [_ends_in_a_tombstone, _ends_in_an_abort])
def test_a_topic_that_ends_in_no_record_keeps_no_lease_from_lapsing(end: Callable[[Installation], None]) -> None:
    """A lapse is decided only by who has read `jobs` to its end, and no heartbeat comes any more."""

    async def test(here: Installation) -> None:
        here.scheduler()
        node = here.node("node")
        here.submit(MAIN)
        await here.until(lambda: succeeded(here, MAIN) == 1)
        node.close()
        end(here)
        await here.until(lambda: here.events(NodeLost, MAIN), within_s=60)

    live(test)


def test_an_order_that_is_sent_at_once_when_the_node_has_joined_is_heard() -> None:
    async def test(here: Installation) -> None:
        here.scheduler()
        here.submit(MAIN, 2)
        await here.until(lambda: accepted(here, MAIN) == 2)
        node = here.node("node")
        assert await here.until(lambda: node.runs.total() == 2) < 1

    live(test)


@pytest.mark.parametrize("fate", [Fate.UNCONFIRMED, Fate.LOST])
def test_what_a_node_says_is_said_again_until_it_is_heard_and_no_job_runs_twice(fate: Fate) -> None:
    async def test(here: Installation) -> None:
        here.scheduler()
        node = here.node("node", work=lambda _: 3.0)
        here.submit(MAIN, 2)
        await here.until(lambda: node.runs.total() == 2)
        await asyncio.sleep(1)
        here.kafka.faults.next_fates(JOBS, *[fate] * 6)
        await here.until(lambda: succeeded(here, MAIN) == 2, within_s=8)
        assert set(node.runs.values()) == {1}
        assert len(here.events(JobDispatched, MAIN)) == 2

    live(test)


def test_an_open_transaction_in_jobs_holds_its_pool_up_and_no_other() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        here.kafka.write(JOBS, b"{}", partition=MAIN, transaction="foreign")
        here.submit(MAIN)
        await _other_goes_on(here)
        assert accepted(here, MAIN) == 1
        here.kafka.log(JOBS, MAIN).finish(here.kafka.now_ms(), "foreign", Kind.COMMIT)
        await here.until(lambda: succeeded(here, MAIN) == 2)
        (quarantined,) = here.events(InputQuarantined, MAIN)
        assert [(kept.partition, kept.offset) for kept in here.quarantined(JOBS)] == [(MAIN, quarantined.offset)]

    live(test)


def test_a_rebalance_while_much_waits_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_reader, "UNDECIDED_MAX", 5)
    monkeypatch.setattr(inbox.Inbox.__init__, "__kwdefaults__", {"waiting_bytes": 4_000, "waiting_bytes_max": 9_000})

    async def test(here: Installation) -> None:
        first = here.scheduler()
        await here.until(lambda: all(here.batches(partition) for partition in here.partitions))
        here.kafka.hold_writes(LEDGER, MAIN)
        for _ in range(20):
            here.submit(MAIN, 10)
            await asyncio.sleep(0.01)
        for _ in range(3):
            first.app.rebalance()
            await asyncio.sleep(0.2)
        second = here.scheduler()
        await asyncio.sleep(1)
        first.app.rebalance()
        here.kafka.release(LEDGER)
        await here.until(lambda: accepted(here, MAIN) == 200)
        await second.stop()
        verdict = here.verify(MAIN)
        assert (verdict.findings, verdict.jobs) == ([], 200)

    live(test)


def test_five_minutes_without_a_broker_loses_no_attempt_and_no_node() -> None:
    """Lease time stands still while the broker is away (design section 4)."""

    async def test(here: Installation) -> None:
        programs = [here.scheduler(), here.intake(), here.projector()]
        nodes = [here.node(f"node-{number}", work=lambda _: AWAY_S) for number in range(2)]
        here.submit(MAIN, 4)
        await here.until(lambda: sum(sum(node.runs.values()) for node in nodes) == 4)
        here.kafka.go_away()
        await asyncio.sleep(AWAY_S)
        here.kafka.come_back()
        assert await here.until(lambda: succeeded(here, MAIN) == 4) <= 10
        assert [node.sessions for node in nodes] == [1, 1]
        here.upstream(MAIN)
        here.submit(MAIN)
        await here.until(lambda: accepted(here, MAIN) == 6)
        for program in programs:
            await program.stop()
        assert here.verify(MAIN).findings == []

    live(test)


def test_a_ledger_that_ends_in_no_record_is_said_and_keeps_only_its_own_pool_down(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who writes into a ledger in a transaction leaves a marker, for which a fold waited for ever without a word."""

    async def test(here: Installation) -> None:
        scheduler = await _two_pools(here)
        await scheduler.stop()
        here.kafka.write(LEDGER, b"aborted", partition=MAIN, transaction="foreign")
        here.kafka.log(LEDGER, MAIN).finish(here.kafka.now_ms(), "foreign", Kind.ABORT)
        records = here.kafka.log(LEDGER, MAIN).end
        here.scheduler()
        await _other_goes_on(here, within_s=20)
        await asyncio.sleep(120)
        assert here.kafka.log(LEDGER, MAIN).end == records

    live(test)
    said = [line for line in capsys.readouterr().out.splitlines() if "expected the ledger to hold a record" in line]
    assert 1 <= len(said) <= 3


# -- intake and projector ----------------------------------------------------------------------------------------------


def test_intake_passes_on_what_upstream_sends_across_restarts_and_outages() -> None:
    async def test(here: Installation) -> None:
        here.scheduler()
        intake = here.intake("intake")
        here.upstream(MAIN, 5)
        await here.until(lambda: accepted(here, MAIN) == 5)
        here.registry.away = True
        here.upstream(OTHER, 5)
        await asyncio.sleep(5)
        assert accepted(here, OTHER) == 0
        await intake.stop()
        here.registry.away = False
        here.kafka.faults.next_fates(JOBS, Fate.UNCONFIRMED, Fate.LOST)
        here.intake("intake")
        await here.until(lambda: accepted(here, OTHER) == 5)
        assert [here.verify(partition).findings for partition in here.partitions] == [[], []]

    live(test)


def test_intake_goes_on_in_one_partition_while_the_other_waits() -> None:
    async def test(here: Installation) -> None:
        here.scheduler()
        here.intake()
        await asyncio.sleep(1)
        here.kafka.write(SUBMISSIONS, b"x" * 10, partition=0, key=b"nobody's")
        here.kafka.write(SUBMISSIONS, INPUTS, partition=1, key=POOLS[MAIN].encode())
        await here.until(lambda: accepted(here, MAIN) == 1)
        await here.until(lambda: here.quarantined(SUBMISSIONS))
        assert [(kept.partition, kept.offset) for kept in here.quarantined(SUBMISSIONS)] == [(0, 0)]

    live(test)


def test_a_broker_that_goes_away_while_ledgers_are_assigned_does_not_end_the_projector() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        first = here.projector()
        await here.until(lambda: set(here.views.positions) == set(POOLS))
        await first.stop()
        second = here.projector()
        await asyncio.sleep(JOIN_S / 2)
        here.kafka.go_away()
        await asyncio.sleep(60)
        here.kafka.come_back()
        here.submit(MAIN, 3)
        await here.until(lambda: succeeded(here, MAIN) == 4)
        end = here.batches(MAIN)[-1].seq
        await here.until(lambda: here.views.positions[POOLS[MAIN]].seq >= end, within_s=10)
        assert not second.task.done()

    live(test)


def test_the_projector_waits_for_its_database_and_goes_on_where_the_views_are() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        projector = here.projector()
        await here.until(lambda: set(here.views.positions) == set(POOLS))
        here.views.away = True
        here.submit(MAIN, 5)
        await here.until(lambda: succeeded(here, MAIN) == 6)
        shown = here.views.positions[POOLS[MAIN]]
        projector.app.rebalance()
        await asyncio.sleep(5)
        assert here.views.positions[POOLS[MAIN]] == shown
        here.views.away = False
        end = here.batches(MAIN)[-1].seq
        await here.until(lambda: here.views.positions[POOLS[MAIN]].seq >= end, within_s=10)

    live(test)


def test_views_that_were_emptied_meanwhile_are_folded_from_the_beginning() -> None:
    async def test(here: Installation) -> None:
        await _two_pools(here)
        here.projector()
        await here.until(lambda: set(here.views.positions) == set(POOLS))
        here.views.forget(POOLS[MAIN])
        here.submit(MAIN, 5)
        await here.until(lambda: succeeded(here, MAIN) == 6)
        end = here.batches(MAIN)[-1].seq
        await here.until(
            lambda: POOLS[MAIN] in here.views.positions and here.views.positions[POOLS[MAIN]].seq >= end, within_s=10
        )

    live(test)
