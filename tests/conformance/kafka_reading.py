"""Reading given partitions: from where, how far, one by one, and over gaps."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, TopicPartition

from runtime import kafka
from tests.conformance.ground import KafkaGround
from tests.conformance.kafka_case import COMPACTED, SOON_S, case, polled, values, written
from tests.waiting import until


@case
def end_means_the_end_when_the_reader_was_made(ground: KafkaGround) -> None:
    topic = ground.topic()
    written(ground, topic, b"old")
    reader = kafka.Reader(ground.brokers, {(topic, 0): "end"})
    written(ground, topic, b"new")
    assert values(until(lambda: reader.read(1), "the new record")) == [b"new"]
    reader.close()


@case
def a_reader_starts_where_it_is_told_and_knows_its_position(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    written(ground, topic, *(b"%d" % number for number in range(5)))
    reader = kafka.Reader(ground.brokers, {(topic, 0): 2, (topic, 1): "beginning"})
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
    assert kafka.offsets(ground.brokers, topic, 0) == (2, 4)
    for offset in (1, 5):
        reader = kafka.Reader(ground.brokers, {(topic, 0): offset})
        with pytest.raises(kafka.OffsetGone):
            until(lambda reader=reader: reader.read(1), "an answer")  # type: ignore[misc]
        reader.close()
    at_end = kafka.Reader(ground.brokers, {(topic, 0): 4})
    assert at_end.read(SOON_S) == []
    at_end.close()
    for start, end in ((1, 3), (3, 5)):
        with pytest.raises(kafka.OffsetGone):
            list(kafka.read_range(ground.brokers, topic, 0, start, end))
    assert values(list(kafka.read_range(ground.brokers, topic, 0, 2, 4))) == [b"2", b"3"]
    assert list(kafka.read_range(ground.brokers, topic, 0, 9, 9)) == []
    assert kafka.read_one(ground.brokers, topic, 0, 1) is kafka.read_one(ground.brokers, topic, 0, 4) is None


@case
def a_lookup_gives_each_record_and_none_for_what_is_not_there(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    written(ground, topic, *(b"%d" % number for number in range(20)), partition=1)
    lookup = kafka.Lookup(ground.brokers, topic, client_id="conformance-lookup")
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
    assert polled(consumer) == b"other"
    assert consumer.poll(SOON_S) is None
    consumer.resume(places[:1])
    assert [polled(consumer) for _ in range(3)] == [b"a", b"b", b"c"]
    consumer.seek(TopicPartition(topic, 0, 1))
    assert [polled(consumer) for _ in range(2)] == [b"b", b"c"]
    assert consumer.position(places[:1])[0].offset == 3
    consumer.close()
    with pytest.raises(RuntimeError):
        consumer.poll(0)


@case
def the_end_of_a_partition_is_told_once_each_time_it_is_reached(ground: KafkaGround) -> None:
    topic = ground.topic()
    written(ground, topic, b"a")
    consumer = ground.consumer({"group.id": "conformance", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert polled(consumer) == b"a"
    told = until(lambda: consumer.poll(0.2), "the end is told")
    assert told.error().code() == KafkaError._PARTITION_EOF
    assert consumer.poll(SOON_S) is None
    written(ground, topic, b"b")
    assert polled(consumer) == b"b"
    assert until(lambda: consumer.poll(0.2), "the end is told").error().code() == KafkaError._PARTITION_EOF
    consumer.close()


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
    until(lambda: kafka.offsets(ground.brokers, topic, 0) == (0, 4), "both have ended")
    found = list(kafka.read_range(ground.brokers, topic, 0, 0, 4))
    assert [(record.offset, record.value) for record in found] == [(2, b"committed")]
    lookup = kafka.Lookup(ground.brokers, topic, client_id="conformance-lookup")
    assert [lookup.at(0, offset) for offset in (0, 1, 3)] == [None] * 3
    lookup.close()
    written(ground, topic, b"behind the marker")
    assert [r.offset for r in kafka.read_range(ground.brokers, topic, 0, 0, 5)] == [2, 4]
    reader = kafka.Reader(ground.brokers, {(topic, 0): 3})
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
    watermarks = kafka.Watermarks(ground.brokers)
    assert (watermarks.of(topic, 0), watermarks.end_of_all_written(topic, 0)) == ((0, 0), 2)
    reader = kafka.Reader(ground.brokers, {(topic, 0): "end"})
    assert reader.read(SOON_S) == []
    assert kafka.read_one(ground.brokers, topic, 0, 0) is None
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
    producer = kafka.Producer(ground.brokers, "conformance")
    for key, value in ((b"a", b"a0"), (b"b", b"b1"), (b"a", b"a2"), (b"b", None), (b"c", b"c4")):
        producer.send_and_wait(topic, value, key=key, partition=0)

    def kept() -> set[int]:
        """After one more record, which lets the broker begin a segment and clean those before."""
        end = producer.send_and_wait(topic, b"last", key=b"last", partition=0).offset + 1
        ground.compact(topic, 0)
        return {record.offset for record in kafka.read_range(ground.brokers, topic, 0, 0, end)}

    until(lambda: not {0, 1} & kept(), "what has newer records is gone")
    assert {2, 4} < kept()
    producer.close()
    low, end = kafka.offsets(ground.brokers, topic, 0)
    assert (low, kafka.read_one(ground.brokers, topic, 0, end)) == (0, None)
    assert kafka.read_one(ground.brokers, topic, 0, 0) is None
    reader = kafka.Reader(ground.brokers, {(topic, 0): 0})
    read = until(lambda: reader.read(1, 1), "the first that is left")
    assert (read[0].offset, reader.position((topic, 0))) == (2, 3)
    assert values(read) == [b"a2"]
    reader.close()
