"""Where the cases of a conformance suite run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from runtime.kafka_credentials import Brokers

Given = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Key, value and headers of a record."""


class KafkaGround(Protocol):
    """A broker for one case: a real one, or the twin."""

    brokers: Brokers
    nowhere: Brokers
    """A broker that does not answer."""

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """The name of a topic of this case's own, with the broker's append time."""

    def write_raw(self, topic: str, partition: int, record: Given) -> int:
        """Write a record that our producer cannot write; its offset."""

    def compact(self, topic: str, partition: int) -> None:
        """Have the broker compact all but the last record, now or soon."""

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Remove what lies before the offset."""

    def consumer(self, config: Mapping[str, Any]) -> Any:
        """A client of confluent-kafka, without settings of ours."""

    def transactional(self, name: str) -> Any:
        """A producer of confluent-kafka that writes in transactions."""

    def admin(self) -> Any: ...
