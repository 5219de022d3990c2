"""The topic `shadow`: reading what shadows have written there, and the one way to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from contract.codec import Malformed, decode_shadow, encode, headers_for
from contract.shadows import ShadowBegan, ShadowRecord
from contract.topics import SHADOW
from runtime.kafka import OffsetGone, Producer, offsets, partitions, read_range
from runtime.kafka_credentials import Brokers

SOURCE = "//headrace/shadow"


class NoTopic(LookupError):
    """There is no topic for shadows, or the topic has no partition for the pool. The message says what to do."""


def check_topic(brokers: Brokers, partition: int) -> None:
    """NoTopic when the topic has no such partition. A shadow makes no topic, so it needs the right to write only."""
    readable(brokers, (partition,))


def readable(brokers: Brokers, pool_partitions: Iterable[int]) -> list[int]:
    """The partitions of these that the topic has: a pool that no scheduler has opened may have none. NoTopic when the
    topic has none of these."""
    wanted = sorted(pool_partitions)
    try:
        found = partitions(brokers, SHADOW)
    except OffsetGone:
        found = 0
    there = [partition for partition in wanted if partition < found]
    if wanted and not there:
        raise NoTopic(
            f"expected topic {SHADOW!r} to have partition {wanted[0]}, found"
            f" {f'partitions 0 to {found - 1}' if found else 'no such topic'}; it is made when a policy is applied:"
            " apply the one in force again (`headrace policy apply FILE`)"
        )
    return there


def written(brokers: Brokers, pool_partitions: Iterable[int], shadow: str = "") -> Iterator[tuple[int, ShadowRecord]]:
    """(when it was written, record) of each record that is kept, in order; of all shadows, or of `shadow` if given. A
    record that can't be read is passed over: the topic is nobody's truth. NoTopic; KafkaException."""
    for partition in readable(brokers, pool_partitions):
        low, high = offsets(brokers, SHADOW, partition)
        for record in read_range(brokers, SHADOW, partition, low, high):
            if shadow and record.key != shadow.encode():
                continue
            try:
                yield record.timestamp_ms, decode_shadow(record.value)
            except Malformed:
                continue


def last_began(brokers: Brokers, partition: int, shadow: str) -> ShadowBegan | None:
    """How the newest run of this name began; None when there was none, or its record is no longer kept."""
    began = None
    for _, record in written(brokers, (partition,), shadow):
        if isinstance(record, ShadowBegan):
            began = record
    return began


def writer(producer: Producer, partition: int) -> Callable[[ShadowRecord], None]:
    """A function that writes records of shadows of one pool, and waits for each. DeliveryUnclear."""

    def write(record: ShadowRecord) -> None:
        number = "began" if isinstance(record, ShadowBegan) else record.number
        headers = headers_for(record, f"{record.run}.{number}", SOURCE)
        producer.send_and_wait(SHADOW, encode(record), key=record.shadow.encode(), headers=headers, partition=partition)

    return write
