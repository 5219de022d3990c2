"""What a node says: in order, one record under way, nothing dropped, at most one heartbeat waiting."""

from __future__ import annotations

import pytest

from contract.inputs import NodeHeartbeat, NodeJoined, NodeReport, Started, Succeeded
from gpu_worker.outbox import REPORTS_MAX, Outbox

NODE, SESSION = "node-1", "s1"
JOINED = NodeJoined(NODE, SESSION, "main", "cpu", 1, 0, 0)
HEARTBEAT = NodeHeartbeat(NODE, SESSION)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(NODE)


def test_what_gathers_while_a_record_is_under_way_goes_into_the_next(outbox: Outbox) -> None:
    reports = [Started("j1", "1.1.0"), Succeeded("j1", "1.1.0", "m"), Started("j2", "1.2.0")]
    outbox.report(SESSION, reports[0])
    first = outbox.next()
    assert first == NodeReport(NODE, SESSION, (reports[0],))
    outbox.report(SESSION, reports[1])
    outbox.report(SESSION, reports[2])
    assert outbox.next() is None
    assert outbox.delivered() == first
    assert outbox.next() == NodeReport(NODE, SESSION, tuple(reports[1:]))


def test_a_record_without_an_ack_counts_as_waiting(outbox: Outbox) -> None:
    outbox.report(SESSION, Started("j1", "1.1.0"))
    outbox.next()
    outbox.report(SESSION, Started("j2", "1.2.0"))
    assert len(outbox) == 2
    outbox.delivered()
    assert len(outbox) == 1


def test_reports_of_two_sessions_never_share_a_record_nor_pass_a_join(outbox: Outbox) -> None:
    old, new = Started("j1", "1.1.0"), Started("j2", "1.2.0")
    outbox.report(SESSION, old)
    outbox.say(JOINED)
    outbox.report("s2", new)
    said = []
    while (record := outbox.next()) is not None:
        said.append(record)
        outbox.delivered()
    assert said == [NodeReport(NODE, SESSION, (old,)), JOINED, NodeReport(NODE, "s2", (new,))]


def test_heartbeats_do_not_pile_up(outbox: Outbox) -> None:
    outbox.report(SESSION, Started("j1", "1.1.0"))
    outbox.next()
    assert outbox.wants_heartbeat
    outbox.heartbeat(HEARTBEAT)
    assert not outbox.wants_heartbeat
    outbox.delivered()
    assert outbox.next() == HEARTBEAT
    assert outbox.wants_heartbeat


def test_a_heartbeat_keeps_its_place_between_reports(outbox: Outbox) -> None:
    before, after = Started("j1", "1.1.0"), Succeeded("j1", "1.1.0", "m")
    outbox.report(SESSION, before)
    outbox.heartbeat(HEARTBEAT)
    outbox.report(SESSION, after)
    said = []
    while (record := outbox.next()) is not None:
        said.append(record)
        outbox.delivered()
    assert said == [NodeReport(NODE, SESSION, (before,)), HEARTBEAT, NodeReport(NODE, SESSION, (after,))]


def test_a_record_has_a_limit(outbox: Outbox) -> None:
    for number in range(REPORTS_MAX + 1):
        outbox.report(SESSION, Started("j", f"1.{number}.0"))
    record = outbox.next()
    assert isinstance(record, NodeReport)
    assert len(record.reports) == REPORTS_MAX
    outbox.delivered()
    assert outbox.next() is not None
