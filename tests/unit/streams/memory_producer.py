"""A producer in memory: what was written to each topic, and a broker that may refuse or not answer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import cast

from contract.codec import decode_quarantined, decode_wire
from contract.inputs import JobSubmitted
from contract.side_topics import Quarantined
from contract.topics import JOBS, QUARANTINE
from runtime.kafka import Delivery, DeliveryRefused, DeliveryUnclear, Producer, RecordHeaders


class MemoryProducer:
    """`bytes_max` of a topic, as a broker holds it against a batch. While `away`, no delivery is clear; and none to the
    topics of `away_for`."""

    def __init__(self, bytes_max: Mapping[str, int] | None = None) -> None:
        self.bytes_max = dict(bytes_max or {})
        self.written: defaultdict[str, list[bytes]] = defaultdict(list)
        self.away = False
        self.away_for: set[str] = set()
        self.refused = 0
        self.unclear = 0

    async def asend(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: RecordHeaders = (),
        partition: int | None = None,
    ) -> Delivery:
        await asyncio.sleep(0)
        size = len(value or b"") + len(key or b"") + sum(len(name) + len(text) for name, text in headers)
        if size > self.bytes_max.get(topic, size):
            self.refused += 1
            raise DeliveryRefused(f"{topic}: MSG_SIZE_TOO_LARGE")
        if self.away or topic in self.away_for:
            self.unclear += 1
            raise DeliveryUnclear(f"{topic}: _MSG_TIMED_OUT")
        self.written[topic].append(value or b"")
        return Delivery(partition or 0, len(self.written[topic]) - 1, 0)

    @property
    def as_producer(self) -> Producer:
        """For whoever calls nothing but `asend`."""
        return cast(Producer, self)

    def quarantined(self) -> list[Quarantined]:
        return [decode_quarantined(value) for value in self.written[QUARANTINE]]

    def submitted(self) -> list[JobSubmitted]:
        said = [decode_wire(value) for value in self.written[JOBS]]
        return [record for record in said if isinstance(record, JobSubmitted)]
