"""Groups, as far as hosts use them: partitions are shared out, and what was committed is kept."""

from __future__ import annotations

from typing import Any

from confluent_kafka import TopicPartition

from tests.conformance.ground import KafkaGround
from tests.conformance.kafka_case import case, polled, written
from tests.waiting import until


def _member(ground: KafkaGround, group: str, topic: str, name: str) -> Any:
    member = ground.consumer(
        {
            "group.id": group,
            "group.instance.id": name,
            "client.id": name,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 500,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    member.subscribe([topic])
    return member


def _partitions(*members: Any) -> list[list[int]]:
    for member in members:
        member.poll(0.05)
    return [sorted(place.partition for place in member.assignment()) for member in members]


@case
def a_group_shares_partitions_out_and_a_static_member_that_comes_back_has_its_own(ground: KafkaGround) -> None:
    topic = ground.topic(4)
    group = f"{topic}-group"
    first = _member(ground, group, topic, "first")
    until(lambda: _partitions(first) == [[0, 1, 2, 3]], "one member has all")
    second = _member(ground, group, topic, "second")
    until(lambda: sorted(map(len, _partitions(first, second))) == [2, 2], "each has half")
    ours, theirs = _partitions(first, second)
    assert sorted(ours + theirs) == [0, 1, 2, 3]
    second.close()
    again = _member(ground, group, topic, "second")
    until(lambda: _partitions(first, again) == [ours, theirs], "it has what it had")
    again.close()
    until(lambda: _partitions(first) == [[0, 1, 2, 3]], "after a session without it the other has all")
    first.close()


@case
def a_group_keeps_what_was_committed_and_a_member_goes_on_there(ground: KafkaGround) -> None:
    topic = ground.topic()
    group = f"{topic}-group"
    written(ground, topic, b"a", b"b", b"c")
    member = _member(ground, group, topic, "first")
    assert polled(member) == b"a"
    place = TopicPartition(topic, 0)
    assert member.committed([place], timeout=10)[0].offset < 0
    member.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    assert member.committed([place], timeout=10)[0].offset == 2
    member.close()
    again = _member(ground, group, topic, "first")
    assert polled(again) == b"c"
    again.close()
