"""Intake of one partition: the place moves past what was passed on and past nothing else; partitions do not wait for
each other.

The follower, the place and the quarantine are the real ones; Faust, the broker, the store and the registry are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from contract.bounds import REFUSAL_BYTES_MAX
from contract.topics import JOBS, QUARANTINE, SUBMISSIONS
from runtime.kafka import Record
from streams import metrics
from streams.door import held_up, intake_partition, skips, under_way
from streams.door.admission import Admitted, NotYet, Refused, RegistryAway
from streams.door.intake_positions import IntakePosition
from streams.door.skips import SKIPPED
from streams.hosting import follower
from tests.unit.streams.memory_intake import Installation, a_job, a_record, is_at, numbers, opened, run, wants
from tests.waiting import until_async


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setattr(intake_partition, "RETRY_S", 0.001)
    monkeypatch.setattr(intake_partition, "JUDGING_MAX_S", 0.5)
    monkeypatch.setattr(skips, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(intake_partition, "REST_S", 0.001)
    monkeypatch.setattr(held_up, "SAID_AFTER_S", 0.0)
    installation = Installation()
    yield installation
    installation.judging.shutdown()


def test_the_place_stays_before_what_is_under_way_whatever_lies_behind_it(installation: Installation) -> None:
    """51 records arrive while the registry is away; behind them the log holds a marker and no more."""

    async def test() -> None:
        installation.registry_away = True
        installation.stored[0] = 100
        partition = installation.partition(0)
        await opened(partition)
        installation.gaps.prove(SUBMISSIONS, 0, 151, 152)
        for offset in range(100, 151):
            await partition.deliver(a_record(offset, offset))
        await wants(partition, 152)
        assert partition.place == 100
        await partition.write_place()
        await partition.close()
        await partition.write_place()
        assert {position.offset for _, position in installation.written} == {100}

    run(test)


def test_once_passed_on_it_moves_behind_the_marker(installation: Installation) -> None:
    async def test() -> None:
        partition = installation.partition(0)
        await opened(partition)
        installation.gaps.prove(SUBMISSIONS, 0, 1, 3)
        await partition.deliver(a_record(0, 0))
        await until_async(lambda: partition.place == 3, "it has passed the marker")
        assert numbers(installation.producer) == [0]
        await partition.close()

    run(test)


def test_nor_when_what_is_under_way_expires(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "STALL_S", 0.001)

    async def test() -> None:
        installation.registry_away = True
        installation.stored[0] = 100
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(100, 151):
            await partition.deliver(a_record(offset))
        installation.held[0] = (152, 160)
        await wants(partition, 152)
        assert partition.place == 100
        installation.registry_away = False
        await until_async(lambda: partition.place == 152, "all are passed on")
        assert numbers(installation.producer) == list(range(100, 151))
        await partition.close()

    run(test)


def test_a_version_that_is_not_relayed_holds_up_its_own_partition_only_and_what_came_before_goes(
    installation: Installation,
) -> None:
    async def test() -> None:
        installation.outcomes[1] = NotYet()
        one, other = installation.partition(0), installation.partition(1)
        await opened(one)
        await opened(other)
        for offset in range(3):
            await one.deliver(a_record(offset))
        await other.deliver(a_record(0, partition=1))
        await until_async(lambda: numbers(installation.producer) == [0, 0], "both firsts are passed on")
        await until_async(lambda: (one.place, other.place) == (1, 1), "both places have moved")
        await until_async(lambda: one.place == 3, "its time is over: the scheduler may refuse it")
        assert numbers(installation.producer) == [0, 0, 1, 2]
        await asyncio.gather(one.close(), other.close())

    run(test)


def test_what_is_refused_is_set_aside_once_and_the_rest_goes_on(installation: Installation) -> None:
    async def test() -> None:
        installation.outcomes[1] = Refused("expected JSON, found bytes that are not")
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(3):
            await partition.deliver(a_record(offset))
        await until_async(lambda: partition.place == 3, "all are done")
        assert numbers(installation.producer) == [0, 2]
        (refused,) = installation.producer.quarantined()
        assert (refused.offset, refused.reason) == (1, "expected JSON, found bytes that are not")
        await partition.close()

    run(test)


def test_a_copy_that_comes_after_the_erasure_is_neither_passed_on_nor_kept(installation: Installation) -> None:
    """Security review, finding 12: it stayed in `jobs` for 30 days."""

    async def test() -> None:
        installation.erasures = {a_job(a_record(1)).record.submission.job}
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(3):
            await partition.deliver(a_record(offset))
        await until_async(lambda: partition.place == 3, "all are done")
        assert numbers(installation.producer) == [0, 2]
        (refused,) = installation.producer.quarantined()
        assert (refused.offset, refused.reason, refused.value_base64) == (1, intake_partition.ERASED, "")
        await partition.close()

    run(test)


def test_while_nobody_can_tell_what_was_erased_nothing_is_passed_on(installation: Installation) -> None:
    async def test() -> None:
        installation.views_away = True
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(0))
        await until_async(lambda: installation.looked_for_erasures > 1, "it asks again")
        assert (numbers(installation.producer), partition.place) == ([], 0)
        installation.views_away = False
        await until_async(lambda: partition.place == 1, "it is passed on")
        assert numbers(installation.producer) == [0]
        await partition.close()

    run(test)


def test_what_jobs_refuses_for_its_size_is_quarantined_and_never_sent_again(installation: Installation) -> None:
    async def test() -> None:
        installation.producer.bytes_max = {JOBS: 10, QUARANTINE: REFUSAL_BYTES_MAX}
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(0, size=60_000))
        await until_async(lambda: partition.place == 1, "it is done")
        (refused,) = installation.producer.quarantined()
        assert "too large" in refused.reason
        assert (refused.value_bytes, installation.producer.refused) == (60_000, 1)
        await partition.close()

    run(test)


def test_a_broker_that_is_away_is_waited_for(installation: Installation) -> None:
    async def test() -> None:
        installation.producer.away = True
        installation.outcomes[1] = Refused("expected something else")
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(3):
            await partition.deliver(a_record(offset))
        await until_async(lambda: installation.producer.unclear > 5, "it tries again")
        assert partition.place == 0
        installation.producer.away = False
        await until_async(lambda: partition.place == 3, "all are done")
        assert sorted(numbers(installation.producer)) == [0, 2]
        assert [record.offset for record in installation.producer.quarantined()] == [1]
        await partition.close()

    run(test)


def test_an_operator_has_a_record_that_waits_skipped_and_the_place_says_what_it_waits_for(
    installation: Installation,
) -> None:
    async def test() -> None:
        installation.outcomes[1] = RegistryAway("OperationalError")
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(3):
            await partition.deliver(a_record(offset))
        await until_async(lambda: partition.place == 1, "it waits")

        await partition.write_place()
        (_, place) = installation.written[-1]
        assert place.offset == 1
        assert "OperationalError" in place.waits_for
        assert place.since_ms > 1_600_000_000_000
        installation.ordered.add((0, 1))
        await until_async(lambda: partition.place == 3, "it goes on")
        assert numbers(installation.producer) == [0, 2]
        assert [(r.offset, r.reason) for r in installation.producer.quarantined()] == [(1, SKIPPED)]
        await until_async(lambda: not installation.ordered, "the order is done with")
        await partition.write_place()
        assert installation.written[-1] == (0, IntakePosition(3))
        await partition.close()

    run(test)


def test_a_record_that_the_broker_does_not_take_can_be_skipped_too(installation: Installation) -> None:
    async def test() -> None:
        installation.producer.away_for = {JOBS}
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(0))
        await until_async(lambda: installation.producer.unclear > 2, "it is admitted, and tried again")
        installation.ordered.add((0, 0))
        await until_async(lambda: partition.place == 1, "it goes on")
        assert [(r.offset, r.reason) for r in installation.producer.quarantined()] == [(0, SKIPPED)]
        await partition.close()

    run(test)


def test_one_that_starts_skips_before_it_looks_at_the_record_and_forgets_orders_for_what_is_done(
    installation: Installation,
) -> None:
    async def test() -> None:
        installation.stored[0] = 4
        installation.ordered |= {(0, 4), (0, 2)}
        installation.outcomes[4] = SystemExit()
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(4))
        await until_async(lambda: partition.place == 5, "it is skipped")
        installation.outcomes[5] = RegistryAway("x")
        await partition.deliver(a_record(5))
        await until_async(lambda: not installation.ordered, "the old order is removed")
        await partition.close()

    run(test)


FOUR_OF = {"RECORDS_MAX": 4, "BYTES_MAX": 4 * under_way._size(a_record(0))}


@pytest.mark.parametrize("bound", FOUR_OF)
def test_what_there_is_no_room_for_is_asked_for_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(under_way, bound, FOUR_OF[bound])

    async def test() -> None:
        installation.registry_away = True
        partition = installation.partition(0)
        await opened(partition)
        for offset in range(10):
            await partition.deliver(a_record(offset))
        assert installation.paused == {0}
        assert len(partition._under_way) == 4
        installation.registry_away = False
        await until_async(lambda: partition.place == 4, "there is room")
        await until_async(lambda: not installation.paused, "it goes on")
        assert installation.seeks[-1] == (0, 4)
        for offset in range(4, 10):
            await partition.deliver(a_record(offset))
            await until_async(partial(is_at, partition, offset + 1), "it is done")
        assert numbers(installation.producer) == list(range(10))
        await partition.close()

    run(test)


def test_a_store_that_is_away_at_the_start_is_waited_for(installation: Installation) -> None:
    async def test() -> None:
        installation.store_away = True
        installation.stored[0] = 7
        partition = installation.partition(0)
        await until_async(lambda: partition._held_up._waits_for, "it waits")
        assert partition.place is None
        installation.store_away = False
        await opened(partition)
        assert partition.place == 7
        await partition.close()

    run(test)


def test_a_failure_that_nobody_foresaw_begins_that_partition_anew_from_its_stored_place(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        installation.outcomes[0] = MemoryError("a violet walrus")
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(0))
        await until_async(lambda: installation.reads == 2, "it begins anew")
        del installation.outcomes[0]
        await opened(partition)
        await partition.deliver(a_record(0))
        await until_async(lambda: partition.place == 1, "it is passed on")
        await partition.close()

    run(test)
    said = capsys.readouterr().out
    assert "offset=0" in said
    assert "walrus" not in said


@pytest.mark.parametrize("while_it_runs", [False, True])
def test_what_expired_before_it_was_read_is_counted_said_and_stored(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], while_it_runs: bool
) -> None:
    """Case C25: 80 of 100 acknowledged submissions were gone with one INFO line."""
    monkeypatch.setattr(follower, "STALL_S", 0.001)
    counted = metrics.SUBMISSIONS_LOST.labels("0")
    before = counted._value.get()

    async def test() -> None:
        installation.stored[0] = 20
        installation.held[0] = (20, 100) if while_it_runs else (100, 100)
        partition = installation.partition(0)
        await opened(partition)
        installation.held[0] = (100, 100)
        await wants(partition, 100)
        await partition.write_place()
        (_, place) = installation.written[-1]
        assert (place.offset, place.lost) == (100, 80)
        assert place.lost_ms > 0
        await partition.close()

    run(test)
    assert counted._value.get() == before + 80
    said = capsys.readouterr().out
    assert "lost=80" in said
    assert "[error" in said
    assert "words_kept" in said


@pytest.mark.parametrize("more", [0, 3])
def test_a_loss_that_was_said_is_not_said_again_at_each_start(
    installation: Installation, capsys: pytest.CaptureFixture[str], more: int
) -> None:
    counted = metrics.SUBMISSIONS_LOST.labels("0")
    before = counted._value.get()

    async def test() -> None:
        installation.stored[0], installation.lost_before = 20, 7
        installation.held[0] = (20 + more, 100)
        partition = installation.partition(0)
        await opened(partition)
        await partition.write_place()
        assert installation.written[-1][1].lost == 7 + more, "and is not forgotten"
        await partition.close()

    run(test)
    assert counted._value.get() == before + more
    said = capsys.readouterr().out
    assert ("lost" in said) is bool(more)
    assert f"lost={more} lost_in_all={7 + more}" in said or not more


def test_while_the_registry_does_not_answer_at_all_the_place_says_so(installation: Installation) -> None:
    """A server that stands still keeps the question: nothing comes back that could be tried again."""
    free = threading.Event()

    def hang(record: Record, *, patient: bool) -> Admitted:
        assert free.wait(60)
        return a_job(record)

    async def test() -> None:
        installation.admit = hang  # type: ignore[method-assign]
        partition = installation.partition(0)
        await opened(partition)
        await partition.deliver(a_record(0))
        await until_async(lambda: "registry" in partition._held_up._waits_for, "it says for what it waits")
        free.set()
        await until_async(lambda: partition.place == 1, "it goes on")
        assert partition._held_up._waits_for == ""
        await partition.close()

    run(test)


def test_a_store_that_takes_no_positions_is_said_once_and_so_is_its_return(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour of it was 3,600 lines a partition."""

    async def test() -> None:
        partition = installation.partition(0)
        await opened(partition)
        write = installation.write

        def fail(partition: int, position: IntakePosition) -> None:
            raise ConnectionError("a violet walrus")

        installation.write = fail  # type: ignore[method-assign]
        for _ in range(50):
            await partition.write_place()
        installation.write = write  # type: ignore[method-assign]
        await partition.write_place()
        await partition.close()

    run(test)
    said = capsys.readouterr().out
    assert said.count("is not written") == 1
    assert said.count("is written again") == 1
    assert "walrus" not in said
