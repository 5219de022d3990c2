"""What Kafka must do for runtime.kafka, and for whoever uses it, to work. Each case is a function of a ground."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from contract.bounds import MESSAGE_BYTES_MAX
from contract.topics import Topic
from runtime import kafka
from runtime.kafka_records import CLIENT
from tests.conformance.ground import KafkaGround
from tests.twin.producer import batch_bytes
from tests.unit.streams.batches import AnyName
from tests.waiting import until

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
COMPACTED = APPEND_TIME | {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "100",
}
SOON_S = 0.3
"""What has not come within this time does not come."""

Case = Callable[[KafkaGround], None]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def values(records: list[kafka.Record]) -> list[bytes | None]:
    return [record.value for record in records]


def written(ground: KafkaGround, topic: str, *texts: bytes, partition: int = 0) -> None:
    producer = kafka.Producer(ground.bootstrap, "conformance")
    for text in texts:
        producer.send(topic, text, partition=partition)
    producer.close()


UNPACKED = {"compression.type": "uncompressed"}
"""The broker unpacks what our producers packed, and holds the limit against the unpacked size."""


# -- records -----------------------------------------------------------------------------------------------------------


@case
def a_record_comes_back_as_it_was_sent_with_the_brokers_time(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    producer = kafka.Producer(ground.bootstrap, "conformance")
    before_ms = int(time.time() * 1000)
    delivery = producer.send_and_wait(topic, b"value", key=b"\xff", headers=[("h", b"\xfe")], partition=1)
    later = producer.send_and_wait(topic, b"", partition=1)
    producer.close()
    assert (delivery.partition, delivery.offset, later.offset) == (1, 0, 1)
    assert before_ms - 1_000 <= delivery.timestamp_ms <= later.timestamp_ms <= before_ms + 60_000
    first, second = kafka.read_range(ground.bootstrap, topic, 1, 0, 2)
    assert first == kafka.Record(topic, 1, 0, delivery.timestamp_ms, b"\xff", b"value", [("h", b"\xfe")])
    assert second == kafka.Record(topic, 1, 1, later.timestamp_ms, None, b"", [])


@case
def a_tombstone_has_no_value(ground: KafkaGround) -> None:
    topic = ground.topic()
    producer = kafka.Producer(ground.bootstrap, "conformance")
    producer.send_and_wait(topic, None, key=b"key", partition=0)
    producer.close()
    found = kafka.read_one(ground.bootstrap, topic, 0, 0)
    assert found is not None
    assert (found.key, found.value) == (b"key", None)


@case
def a_header_may_have_no_value_and_a_name_that_is_no_text_costs_the_headers(ground: KafkaGround) -> None:
    topic = ground.topic()
    ground.write_raw(topic, 0, (b"k", b"no value", [("ce_id", None), ("ce_id", b"2")]))
    ground.write_raw(topic, 0, (None, b"odd", [("ce_id", b"1"), (AnyName.of(b"\xff"), b"?")]))
    none, odd = kafka.read_range(ground.bootstrap, topic, 0, 0, 2)
    assert (none.value, none.headers) == (b"no value", [("ce_id", None), ("ce_id", b"2")])
    assert (odd.value, odd.headers) == (b"odd", [])


@case
def what_one_producer_writes_to_a_partition_lies_in_order(ground: KafkaGround) -> None:
    topic = ground.topic(2)

    async def send_all(producer: kafka.Producer) -> list[kafka.Delivery]:
        return await asyncio.gather(*(producer.asend(topic, b"%d" % n, partition=n % 2) for n in range(100)))

    producer = kafka.Producer(ground.bootstrap, "conformance")
    sent = [producer.send_and_wait(topic, b"first", partition=partition) for partition in (0, 1)]
    outcomes: list[Any] = []
    for number in range(100):
        producer.send(topic, b"%d" % number, partition=number % 2, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    until(lambda: len(outcomes) == 100, "every record is reported")
    producer.close()
    assert [delivery.offset for delivery in sent] == [0, 0]
    for partition in (0, 1):
        assert [o.offset for o in outcomes if o.partition == partition] == list(range(1, 51))
        read = list(kafka.read_range(ground.bootstrap, topic, partition, 1, 51))
        assert values(read) == [b"%d" % number for number in range(partition, 100, 2)]


@case
def a_record_of_the_topics_size_is_taken_and_one_byte_more_is_refused(ground: KafkaGround) -> None:
    most = 70_000
    topic = ground.topic(config={"max.message.bytes": str(most), **UNPACKED})
    key, headers = b"a key", [("ce_id", b"1"), ("traceparent", b"x" * 200)]
    room = most - batch_bytes(key, bytes(60_000), headers) + 60_000
    assert batch_bytes(key, bytes(room), headers) == most
    producer = kafka.Producer(ground.bootstrap, "conformance")
    with pytest.raises(kafka.DeliveryRefused, match=f"^{topic}: MSG_SIZE_TOO_LARGE$"):
        producer.send_and_wait(topic, bytes(room + 1), key=key, headers=headers, partition=0)
    assert producer.send_and_wait(topic, bytes(room), key=key, headers=headers, partition=0).offset == 0
    producer.close()


@case
def a_record_over_the_clients_own_limit_is_refused_at_once(ground: KafkaGround) -> None:
    topic = ground.topic(config={"max.message.bytes": str(2 * MESSAGE_BYTES_MAX)})
    producer = kafka.Producer(ground.bootstrap, "conformance")
    most = MESSAGE_BYTES_MAX - 36  # what librdkafka counts for a record beside its texts
    for size in (MESSAGE_BYTES_MAX + 1, most + 1):
        with pytest.raises(kafka.DeliveryRefused):
            producer.offer(topic, bytes(size), partition=0)
    assert producer.send_and_wait(topic, bytes(most), partition=0).offset == 0
    producer.close()


# -- reading -----------------------------------------------------------------------------------------------------------


@case
def end_means_the_end_when_the_reader_was_made(ground: KafkaGround) -> None:
    topic = ground.topic()
    written(ground, topic, b"old")
    reader = kafka.Reader(ground.bootstrap, {(topic, 0): "end"})
    written(ground, topic, b"new")
    assert values(until(lambda: reader.read(1), "the new record")) == [b"new"]
    reader.close()


@case
def a_reader_starts_where_it_is_told_and_knows_its_position(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    written(ground, topic, *(b"%d" % number for number in range(5)))
    reader = kafka.Reader(ground.bootstrap, {(topic, 0): 2, (topic, 1): "beginning"})
    assert (reader.position((topic, 0)), reader.position((topic, 1))) == (2, 0)
    read: list[kafka.Record] = []
    while len(read) < 3:
        part = reader.read(10, 2)
        assert 1 <= len(part) <= 2
        read += part
    assert values(read) == [b"2", b"3", b"4"]
    assert reader.position((topic, 0)) == 5
    assert reader.read(SOON_S, 10) == []
    reader.close()


@case
def an_offset_that_the_log_does_not_have_is_gone(ground: KafkaGround) -> None:
    topic = ground.topic()
    written(ground, topic, b"0", b"1", b"2", b"3")
    ground.trim(topic, 0, 2)
    assert kafka.offsets(ground.bootstrap, topic, 0) == (2, 4)
    for offset in (1, 5):
        reader = kafka.Reader(ground.bootstrap, {(topic, 0): offset})
        with pytest.raises(kafka.OffsetGone):
            until(lambda reader=reader: reader.read(1), "an answer")  # type: ignore[misc]
        reader.close()
    at_end = kafka.Reader(ground.bootstrap, {(topic, 0): 4})
    assert at_end.read(SOON_S) == []
    at_end.close()
    for start, end in ((1, 3), (3, 5)):
        with pytest.raises(kafka.OffsetGone):
            list(kafka.read_range(ground.bootstrap, topic, 0, start, end))
    assert values(list(kafka.read_range(ground.bootstrap, topic, 0, 2, 4))) == [b"2", b"3"]
    assert list(kafka.read_range(ground.bootstrap, topic, 0, 9, 9)) == []
    assert kafka.read_one(ground.bootstrap, topic, 0, 1) is kafka.read_one(ground.bootstrap, topic, 0, 4) is None


@case
def a_lookup_gives_each_record_and_none_for_what_is_not_there(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    written(ground, topic, *(b"%d" % number for number in range(20)), partition=1)
    lookup = kafka.Lookup(ground.bootstrap, topic, client_id="conformance-lookup")
    for offset in (3, 4, 5, 19, 0, 4):
        found = lookup.at(1, offset)
        assert found is not None
        assert (found.offset, found.value) == (offset, b"%d" % offset)
    assert [lookup.at(*place) for place in ((1, 20), (1, 9_999), (0, 0))] == [None] * 3
    written(ground, topic, b"later", partition=1)
    later = lookup.at(1, 20)
    assert later is not None
    assert later.value == b"later"
    lookup.close()


@case
def a_partition_can_be_paused_resumed_and_sought(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    written(ground, topic, b"a", b"b", b"c")
    written(ground, topic, b"other", partition=1)
    consumer = ground.consumer({"group.id": "conformance", "enable.auto.commit": False})
    places = [TopicPartition(topic, number, 0) for number in (0, 1)]
    consumer.assign(places)
    consumer.pause(places[:1])
    assert _polled(consumer) == b"other"
    assert consumer.poll(SOON_S) is None
    consumer.resume(places[:1])
    assert [_polled(consumer) for _ in range(3)] == [b"a", b"b", b"c"]
    consumer.seek(TopicPartition(topic, 0, 1))
    assert [_polled(consumer) for _ in range(2)] == [b"b", b"c"]
    assert consumer.position(places[:1])[0].offset == 3
    consumer.close()
    with pytest.raises(RuntimeError):
        consumer.poll(0)


def _polled(consumer: Any, within_s: float = 20.0) -> bytes | None:
    message = until(lambda: consumer.poll(0.2), "a record", within_s)
    assert message.error() is None, message.error()
    value: bytes | None = message.value()
    return value


@case
def the_end_of_a_partition_is_told_once_each_time_it_is_reached(ground: KafkaGround) -> None:
    topic = ground.topic()
    written(ground, topic, b"a")
    consumer = ground.consumer({"group.id": "conformance", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert _polled(consumer) == b"a"
    told = until(lambda: consumer.poll(0.2), "the end is told")
    assert told.error().code() == KafkaError._PARTITION_EOF
    assert consumer.poll(SOON_S) is None
    written(ground, topic, b"b")
    assert _polled(consumer) == b"b"
    assert until(lambda: consumer.poll(0.2), "the end is told").error().code() == KafkaError._PARTITION_EOF
    consumer.close()


# -- gaps --------------------------------------------------------------------------------------------------------------


@case
def only_what_is_committed_is_read_and_markers_take_offsets(ground: KafkaGround) -> None:
    topic = ground.topic()
    upstream = ground.transactional(topic)
    upstream.init_transactions(30)
    for text, finish in ((b"aborted", upstream.abort_transaction), (b"committed", upstream.commit_transaction)):
        upstream.begin_transaction()
        upstream.produce(topic, text, partition=0)
        upstream.flush()
        finish()
    until(lambda: kafka.offsets(ground.bootstrap, topic, 0) == (0, 4), "both have ended")
    found = list(kafka.read_range(ground.bootstrap, topic, 0, 0, 4))
    assert [(record.offset, record.value) for record in found] == [(2, b"committed")]
    lookup = kafka.Lookup(ground.bootstrap, topic, client_id="conformance-lookup")
    assert [lookup.at(0, offset) for offset in (0, 1, 3)] == [None] * 3
    lookup.close()
    written(ground, topic, b"behind the marker")
    assert [r.offset for r in kafka.read_range(ground.bootstrap, topic, 0, 0, 5)] == [2, 4]
    reader = kafka.Reader(ground.bootstrap, {(topic, 0): 3})
    assert [r.offset for r in until(lambda: reader.read(1), "what is behind the marker")] == [4]
    reader.close()


@case
def no_end_is_promised_that_cannot_be_read_and_all_written_is_known_all_the_same(ground: KafkaGround) -> None:
    topic = ground.topic()
    upstream = ground.transactional(topic)
    upstream.init_transactions(30)
    upstream.begin_transaction()
    upstream.produce(topic, b"open", partition=0)
    upstream.flush()
    written(ground, topic, b"behind it")
    watermarks = kafka.Watermarks(ground.bootstrap)
    assert (watermarks.of(topic, 0), watermarks.end_of_all_written(topic, 0)) == ((0, 0), 2)
    reader = kafka.Reader(ground.bootstrap, {(topic, 0): "end"})
    assert reader.read(SOON_S) == []
    assert kafka.read_one(ground.bootstrap, topic, 0, 0) is None
    upstream.commit_transaction()
    read: list[kafka.Record] = []
    while len(read) < 2:  # what was open when it asked for the end
        read += until(lambda: reader.read(0.2), "a record")
    assert values(read) == [b"open", b"behind it"]
    until(lambda: watermarks.of(topic, 0) == (0, 3), "the transaction has ended")
    watermarks.close()
    reader.close()


@case
def a_compacted_topic_keeps_the_newest_of_each_key_where_it_was(ground: KafkaGround) -> None:
    topic = ground.topic(config=COMPACTED)
    producer = kafka.Producer(ground.bootstrap, "conformance")
    for key, value in ((b"a", b"a0"), (b"b", b"b1"), (b"a", b"a2"), (b"b", None), (b"c", b"c4")):
        producer.send_and_wait(topic, value, key=key, partition=0)

    def kept() -> set[int]:
        """After one more record, which lets the broker begin a segment and clean those before."""
        end = producer.send_and_wait(topic, b"last", key=b"last", partition=0).offset + 1
        ground.compact(topic, 0)
        return {record.offset for record in kafka.read_range(ground.bootstrap, topic, 0, 0, end)}

    until(lambda: not {0, 1} & kept(), "what has newer records is gone")
    assert {2, 4} < kept()
    producer.close()
    low, end = kafka.offsets(ground.bootstrap, topic, 0)
    assert (low, kafka.read_one(ground.bootstrap, topic, 0, end)) == (0, None)
    assert kafka.read_one(ground.bootstrap, topic, 0, 0) is None
    reader = kafka.Reader(ground.bootstrap, {(topic, 0): 0})
    read = until(lambda: reader.read(1, 1), "the first that is left")
    assert (read[0].offset, reader.position((topic, 0))) == (2, 3)
    assert values(read) == [b"a2"]
    reader.close()


# -- questions ---------------------------------------------------------------------------------------------------------


@case
def topics_follow_what_is_wanted_and_say_so(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    assert kafka.partitions(ground.bootstrap, topic) == 2
    assert kafka.ensure_topics(ground.bootstrap, [Topic(topic, 3, {"retention.ms": "1000"})]) == []
    assert kafka.partitions(ground.bootstrap, topic) == 3
    assert kafka.offsets(ground.bootstrap, topic, 2) == (0, 0)
    new = f"{topic}-new"
    assert kafka.ensure_topics(ground.bootstrap, [Topic(new, 1, APPEND_TIME)]) == [new]
    with pytest.raises(kafka.TopicMismatch, match=r"to have 1 partitions, found 3"):
        kafka.ensure_topics(ground.bootstrap, [Topic(topic, 1, {}, exact=True)])
    with pytest.raises(kafka.TopicMismatch):
        kafka.ensure_topics(ground.bootstrap, [Topic(topic, 3, {"no.such.setting": "1"})])
    change = kafka.TopicChange(ground.bootstrap, [Topic(f"{topic}-trial", 1, {}), Topic(topic, 4, {})])
    change.check()
    with pytest.raises(kafka.OffsetGone):
        kafka.partitions(ground.bootstrap, f"{topic}-trial")
    change.make_room()
    assert kafka.partitions(ground.bootstrap, topic) == 4
    assert change.put_back() == []
    with pytest.raises(kafka.OffsetGone):
        until(lambda: not kafka.partitions(ground.bootstrap, f"{topic}-trial"), "the topic is gone")


@case
def offsets_are_known_by_place_and_by_time(ground: KafkaGround) -> None:
    topic = ground.topic()
    producer = kafka.Producer(ground.bootstrap, "conformance")
    times_ms = []
    for number in range(3):
        times_ms.append(producer.send_and_wait(topic, b"%d" % number, partition=0).timestamp_ms)
        time.sleep(0.01)
    producer.close()
    ground.trim(topic, 0, 1)
    place = TopicPartition(topic, 0)

    def asked(spec: Any) -> int:
        (future,) = ground.admin().list_offsets({place: spec}).values()
        return int(future.result(20).offset)

    assert asked(OffsetSpec.earliest()) == 1  # type: ignore[no-untyped-call]
    assert asked(OffsetSpec.latest()) == 3  # type: ignore[no-untyped-call]
    assert asked(OffsetSpec.for_timestamp(times_ms[2])) == 2
    assert asked(OffsetSpec.for_timestamp(times_ms[2] + 3_600_000)) == -1


@case
def of_a_topic_that_does_not_exist_nothing_is_known(ground: KafkaGround) -> None:
    missing = ground.topic() + "-missing"
    with pytest.raises(kafka.OffsetGone, match="expected a topic"):
        kafka.partitions(ground.bootstrap, missing)
    with pytest.raises(KafkaException) as raised:
        kafka.offsets(ground.bootstrap, missing, 0)
    assert raised.value.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)
    producer = kafka.Producer(ground.bootstrap, "conformance", delivery_timeout_ms=1_000)
    with pytest.raises(kafka.DeliveryUnclear) as unclear:
        producer.send_and_wait(missing, b"words", partition=0)
    assert not isinstance(unclear.value, kafka.DeliveryRefused)
    producer.close()


@case
def a_partition_that_is_newer_than_the_producer_is_written_to(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    producer = kafka.Producer(ground.bootstrap, "conformance")
    producer.send_and_wait(topic, b"old", partition=0)
    with pytest.raises(kafka.DeliveryUnclear, match="no such partition"):
        producer.offer(topic, b"too soon", partition=2)
    kafka.ensure_topics(ground.bootstrap, [Topic(topic, 4, APPEND_TIME)])
    producer.learn(topic)
    outcomes: list[object] = []
    producer.offer(topic, b"new", partition=2, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    until(lambda: outcomes, "a report")
    assert isinstance(outcomes[0], kafka.Delivery)
    kafka.ensure_topics(ground.bootstrap, [Topic(topic, 5, APPEND_TIME)])
    assert producer.send_and_wait(topic, b"newer", partition=4).partition == 4
    producer.close()


@case
def who_writes_in_bursts_hears_of_failures_only(ground: KafkaGround) -> None:
    topic = ground.topic(config={"max.message.bytes": "65536", **UNPACKED})
    producer = kafka.Producer(ground.bootstrap, "conformance", in_bursts=True)
    outcomes: list[object] = []
    for size in (10, 100_000, 10):
        producer.offer(topic, bytes(size), partition=0, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    producer.close()
    assert [type(outcome) for outcome in outcomes] == [kafka.DeliveryRefused]
    assert kafka.offsets(ground.bootstrap, topic, 0) == (0, 2)


# -- a broker that does not answer -------------------------------------------------------------------------------------


@case
def without_a_broker_a_delivery_is_unclear_after_its_time(ground: KafkaGround) -> None:
    producer = kafka.Producer(ground.nowhere, "conformance", delivery_timeout_ms=300)
    with pytest.raises(kafka.DeliveryUnclear, match=r"^topic: _MSG_TIMED_OUT$") as raised:
        producer.send_and_wait("topic", b"secret words", partition=0)
    assert not isinstance(raised.value, kafka.DeliveryRefused)
    outcomes: list[object] = []
    producer.send("topic", b"secret words", partition=0, on_delivery=outcomes.append)
    assert producer.flush(0.01) == 1
    until(lambda: outcomes, "a report")
    assert isinstance(outcomes[0], kafka.DeliveryUnclear)
    assert "secret" not in str(outcomes)
    producer.close()


@case
def without_a_broker_questions_fail_and_a_reader_waits(ground: KafkaGround) -> None:
    consumer = ground.consumer(
        {**CLIENT, "bootstrap.servers": ground.nowhere, "group.id": "conformance", "enable.auto.commit": False}
    )
    with pytest.raises(KafkaException) as raised:
        consumer.list_topics("topic", timeout=0.3)
    assert raised.value.args[0].code() == KafkaError._TRANSPORT
    with pytest.raises(KafkaException) as raised:
        consumer.get_watermark_offsets(TopicPartition("topic", 0), timeout=0.3)
    assert raised.value.args[0].code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)
    consumer.close()
    reader = kafka.Reader(ground.nowhere, {("topic", 0): 5})
    assert reader.read(SOON_S) == []
    assert reader.position(("topic", 0)) == 5
    reader.close()


# -- groups ------------------------------------------------------------------------------------------------------------


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
    assert _polled(member) == b"a"
    place = TopicPartition(topic, 0)
    assert member.committed([place], timeout=10)[0].offset < 0
    member.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    assert member.committed([place], timeout=10)[0].offset == 2
    member.close()
    again = _member(ground, group, topic, "first")
    assert _polled(again) == b"c"
    again.close()
