"""Writing a record batch as it is, byte by byte, as a producer may that is not of our libraries."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from tests.unit.streams.batches import sealed

_ATTRIBUTES_AT = 21
_LOG_APPEND_TIME = 0x08


def produce(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    """Offset of the batch's first record. AssertionError when the broker does not take it."""
    raw = bytearray(batch)
    (attributes,) = struct.unpack_from(">h", raw, _ATTRIBUTES_AT)
    struct.pack_into(">h", raw, _ATTRIBUTES_AT, attributes & ~_LOG_APPEND_TIME)  # the broker sets it
    return asyncio.run(_produce(bootstrap, topic, partition, sealed(raw)))


async def _produce(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    client: Any = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        topics = [(topic, [(partition, batch)])]
        answer = await client.send(
            leader, ProduceRequest(transactional_id=None, required_acks=-1, timeout=10_000, topics=topics)
        )
    finally:
        await client.close()
    ((_, ((_, error, offset, *_rest),)),) = answer.topics
    assert error == 0, f"expected the broker to take the batch, found its error {error}"
    return int(offset)
