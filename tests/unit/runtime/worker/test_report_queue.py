"""What a node says: in order, one record under way, nothing dropped, at most one heartbeat waiting."""

from __future__ import annotations

import msgspec
import pytest

from contract.bounds import REPORTS_BYTES_MAX
from contract.codec import encode
from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, Report, Started, Succeeded, cached_digest
from runtime.worker.report_queue import BRIEF_RECORDS, NodeRecord, ReportQueue

NODE, SESSION = "node-1", "s1"
JOINED = NodeJoined(NODE, SESSION, "main", "cpu", 1, 0, 0)
HEARTBEAT = NodeHeartbeat(NODE, SESSION)


@pytest.fixture
def queue() -> ReportQueue:
    return ReportQueue(NODE)


def test_what_gathers_while_a_record_is_under_way_goes_into_the_next(queue: ReportQueue) -> None:
    reports: list[Report] = [Started("j1", "1.1.0"), Succeeded("j1", "1.1.0", "m"), Started("j2", "1.2.0")]
    queue.report(SESSION, reports[0])
    first = queue.next()
    assert first == NodeReport(NODE, SESSION, (reports[0],))
    queue.report(SESSION, reports[1])
    queue.report(SESSION, reports[2])
    assert queue.next() is None
    assert queue.delivered() == first
    assert queue.next() == NodeReport(NODE, SESSION, tuple(reports[1:]))


def test_a_record_without_an_ack_counts_as_waiting(queue: ReportQueue) -> None:
    queue.report(SESSION, Started("j1", "1.1.0"))
    queue.next()
    queue.report(SESSION, Started("j2", "1.2.0"))
    assert len(queue) == 2
    queue.delivered()
    assert len(queue) == 1


def test_reports_of_two_sessions_never_share_a_record_nor_pass_a_join(queue: ReportQueue) -> None:
    old, new = Started("j1", "1.1.0"), Started("j2", "1.2.0")
    queue.report(SESSION, old)
    queue.say(JOINED)
    queue.report("s2", new)
    said = []
    while (record := queue.next()) is not None:
        said.append(record)
        queue.delivered()
    assert said == [NodeReport(NODE, SESSION, (old,)), JOINED, NodeReport(NODE, "s2", (new,))]


def test_heartbeats_do_not_pile_up(queue: ReportQueue) -> None:
    queue.report(SESSION, Started("j1", "1.1.0"))
    queue.next()
    assert queue.wants_heartbeat
    queue.heartbeat(HEARTBEAT)
    assert not queue.wants_heartbeat
    queue.delivered()
    assert queue.next() == HEARTBEAT
    assert queue.wants_heartbeat


def test_a_heartbeat_keeps_its_place_between_reports(queue: ReportQueue) -> None:
    before, after = Started("j1", "1.1.0"), Succeeded("j1", "1.1.0", "m")
    queue.report(SESSION, before)
    queue.heartbeat(HEARTBEAT)
    queue.report(SESSION, after)
    said = []
    while (record := queue.next()) is not None:
        said.append(record)
        queue.delivered()
    assert said == [NodeReport(NODE, SESSION, (before,)), HEARTBEAT, NodeReport(NODE, SESSION, (after,))]


def said(queue: ReportQueue, record_bytes_max: int = 2**20) -> tuple[list[NodeRecord], list[NodeRecord]]:
    """(what a broker with this limit takes, what is dropped)"""
    taken: list[NodeRecord] = []
    dropped: list[NodeRecord] = []
    refused: set[bytes] = set()
    while (record := queue.next()) is not None:
        raw = encode(record)
        assert raw not in refused, "a record that was refused came again as it was"
        if len(raw) <= record_bytes_max:
            taken.append(queue.delivered())
            continue
        refused.add(raw)
        lost = queue.refused()
        if lost is not None:
            dropped.append(lost)
    return taken, dropped


def many(queue: ReportQueue, count: int) -> list[Report]:
    reports: list[Report] = [Started("main-" + "0" * 32, f"1.{number}.0") for number in range(count)]
    for report in reports:
        queue.report(SESSION, report)
    return reports


def reports_of(records: list[NodeRecord]) -> list[Report]:
    return [report for record in records if isinstance(record, NodeReport) for report in record.reports]


def test_a_record_is_cut_by_its_bytes(queue: ReportQueue) -> None:
    reports = many(queue, 3_000)
    taken, _ = said(queue)
    assert reports_of(taken) == reports
    sizes = [len(encode(record)) for record in taken]
    assert max(sizes) <= REPORTS_BYTES_MAX
    assert min(sizes[:-1]) > REPORTS_BYTES_MAX - 200


def test_reports_refused_for_their_size_are_said_in_smaller_records(queue: ReportQueue) -> None:
    reports = many(queue, 1_000)
    queue.heartbeat(HEARTBEAT)
    taken, dropped = said(queue, 1_000)
    assert (reports_of(taken), dropped) == (reports, [])
    assert taken[-1] == HEARTBEAT
    many(queue, 100)
    first = queue.next()
    assert first is not None
    assert len(encode(first)) <= 1_000, "what was refused is not tried again"


def test_a_report_that_is_refused_alone_is_dropped_and_the_next_is_said(queue: ReportQueue) -> None:
    queue.report(SESSION, Started("j" * 500, "1.1.0"))
    queue.report(SESSION, Started("j", "1.2.0"))
    taken, dropped = said(queue, 300)
    assert reports_of(taken) == [Started("j", "1.2.0")]
    assert reports_of(dropped) == [Started("j" * 500, "1.1.0")]


LISTING = NodeHeartbeat(NODE, SESSION, ("1.1.0",), ("1.2.0",), ("v" * 300,), ("v" * 300,))


def test_a_join_and_a_heartbeat_refused_for_their_size_come_without_versions_for_a_while(queue: ReportQueue) -> None:
    joined = msgspec.structs.replace(JOINED, cached=("v" * 300,))
    queue.say(joined)
    queue.heartbeat(LISTING)
    brief = msgspec.structs.replace(LISTING, loaded=(), cached=())
    assert said(queue, 300) == ([JOINED, brief], [])
    for _ in range(BRIEF_RECORDS - 2):
        queue.heartbeat(LISTING)
        assert said(queue) == ([brief], [])
    queue.heartbeat(LISTING)
    assert said(queue) == ([LISTING], [])


def test_what_is_refused_with_no_version_to_leave_out_is_dropped(queue: ReportQueue) -> None:
    queue.say(JOINED)
    queue.heartbeat(LISTING)
    queue.say(NodeLeft(NODE, SESSION))
    taken, dropped = said(queue, 10)
    assert taken == []
    assert dropped == [JOINED, msgspec.structs.replace(LISTING, loaded=(), cached=()), NodeLeft(NODE, SESSION)]


def test_a_heartbeat_that_was_refused_gives_way_to_one_that_waits(queue: ReportQueue) -> None:
    queue.heartbeat(LISTING)
    queue.next()
    queue.heartbeat(HEARTBEAT)
    queue.refused()
    assert said(queue) == ([HEARTBEAT], [])


def beat(*cached: str) -> NodeHeartbeat:
    return NodeHeartbeat(NODE, SESSION, cached=cached, cached_digest=cached_digest(cached))


def named(*cached: str) -> NodeHeartbeat:
    """As `beat`, without the list."""
    return NodeHeartbeat(NODE, SESSION, cached_digest=cached_digest(cached))


def beaten(queue: ReportQueue, *cached: str) -> NodeRecord | None:
    queue.heartbeat(beat(*cached))
    return queue.next()


def test_cached_versions_are_listed_with_the_join_and_again_only_when_they_change(queue: ReportQueue) -> None:
    queue.say(msgspec.structs.replace(JOINED, cached=("v1",)))
    queue.next()
    queue.delivered()
    assert beaten(queue, "v1") == named("v1")
    queue.delivered()
    assert beaten(queue, "v1", "v2") == beat("v1", "v2")
    queue.delivered()
    assert beaten(queue, "v1", "v2") == named("v1", "v2")


def test_a_changed_list_goes_with_every_heartbeat_until_the_broker_has_one(queue: ReportQueue) -> None:
    assert beaten(queue, "v1") == beat("v1")
    queue.refused()
    for _ in range(BRIEF_RECORDS):
        record = queue.next() or beaten(queue, "v1")
        assert record == NodeHeartbeat(NODE, SESSION), "a digest of a list that the broker refuses would be asked for"
        queue.delivered()
    for _ in range(2):
        assert beaten(queue, "v1") in (beat("v1"), named("v1"))
        queue.delivered()
    assert beaten(queue, "v1") == named("v1")


def test_a_list_that_the_scheduler_asks_for_comes_once(queue: ReportQueue) -> None:
    for expected in (beat("v1"), named("v1")):
        assert beaten(queue, "v1") == expected
        queue.delivered()
    queue.heartbeat(beat("v1"))
    queue.list_versions()
    for expected in (beat("v1"), named("v1")):
        assert (queue.next() or beaten(queue, "v1")) == expected
        queue.delivered()


def test_an_order_to_tell_that_comes_while_a_digest_is_under_way_is_not_lost(queue: ReportQueue) -> None:
    for expected in (beat("v1"), named("v1")):
        assert beaten(queue, "v1") == expected
        if expected != named("v1"):
            queue.delivered()
    queue.list_versions()
    queue.delivered()
    assert beaten(queue, "v1") == beat("v1")
