"""Messages and metadata as confluent-kafka gives them to its callers."""

from __future__ import annotations

from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from tests.twin.log import Entry

LOG_APPEND_TIME = 2
"""confluent_kafka.TIMESTAMP_LOG_APPEND_TIME."""


class TwinMessage:
    """A record, or an error in a record's place."""

    def __init__(self, topic: str, partition: int, entry: Entry | None, error: KafkaError | None = None) -> None:
        self._topic, self._partition, self._entry, self._error = topic, partition, entry, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int | None:
        return self._entry.offset if self._entry is not None else None

    def timestamp(self) -> tuple[int, int]:
        return (LOG_APPEND_TIME, self._entry.timestamp_ms) if self._entry is not None else (0, 0)

    def key(self) -> bytes | None:
        return self._entry.key if self._entry is not None else None

    def value(self) -> bytes | None:
        return self._entry.value if self._entry is not None else None

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """None when there are none. SystemError when a name is no UTF-8, as the library."""
        if self._entry is None or not self._entry.headers:
            return None
        try:
            return [(name.decode() if isinstance(name, bytes) else name, value) for name, value in self._entry.headers]
        except UnicodeDecodeError as error:
            raise SystemError("returned a result with an exception set") from error


class TwinPartitionMetadata(NamedTuple):
    id: int
    leader: int = 1


class TwinTopicMetadata(NamedTuple):
    topic: str
    partitions: dict[int, TwinPartitionMetadata]
    error: KafkaError | None = None


class TwinClusterMetadata(NamedTuple):
    topics: dict[str, TwinTopicMetadata]
    brokers: dict[int, Any]


def failure(code: int, words: str = "") -> KafkaException:
    return KafkaException(KafkaError(code, words or None))
