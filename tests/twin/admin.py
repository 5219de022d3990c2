"""confluent_kafka.admin.AdminClient on the twin, as far as runtime.kafka_topics and runtime.kafka_brokers use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.twin.message import TwinClusterMetadata, failure

if TYPE_CHECKING:
    from tests.twin.kafka import TwinKafka

DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.ms": "604800000",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "compression.type": "producer",
    "max.compaction.lag.ms": "9223372036854775807",
    "min.compaction.lag.ms": "0",
    "min.cleanable.dirty.ratio": "0.5",
    "delete.retention.ms": "86400000",
}
"""Settings of a topic that nobody made for it."""

Asked = TypeVar("Asked")


class TwinConfigEntry(NamedTuple):
    name: str
    value: str
    source: int


class TwinOffset(NamedTuple):
    offset: int
    timestamp: int


class TwinAdmin:
    def __init__(self, kafka: TwinKafka, config: Mapping[str, Any]) -> None:
        self._kafka, self._client_id = kafka, str(config.get("client.id", "rdkafka"))

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> TwinClusterMetadata:
        return self._kafka.metadata(self._client_id, topic, timeout if timeout >= 0 else float("inf"))

    def create_topics(
        self, topics: list[NewTopic], request_timeout: float = 60, validate_only: bool = False
    ) -> dict[str, Future[None]]:
        from tests.twin.kafka import TwinTopic

        def create(new: NewTopic) -> None:
            if new.topic in self._kafka.topics:
                raise failure(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic '{new.topic}' already exists.")
            self._check(new.config or {})
            if not validate_only:
                self._kafka.topics[new.topic] = TwinTopic(new.num_partitions, new.config or {})

        return {new.topic: self._answer(create, new, request_timeout) for new in topics}

    def create_partitions(
        self, topics: list[NewPartitions], request_timeout: float = 60, validate_only: bool = False
    ) -> dict[str, Future[None]]:
        from tests.twin.log import PartitionLog

        def grow(wanted: NewPartitions) -> None:
            logs = self._known(wanted.topic)
            if wanted.new_total_count <= len(logs):
                raise failure(KafkaError.INVALID_PARTITIONS, f"Topic already has {len(logs)} partition(s).")
            if not validate_only:
                logs += [PartitionLog() for _ in range(wanted.new_total_count - len(logs))]

        return {wanted.topic: self._answer(grow, wanted, request_timeout) for wanted in topics}

    def delete_topics(self, topics: list[str], request_timeout: float = 60) -> dict[str, Future[None]]:
        def delete(name: str) -> None:
            self._known(name)
            del self._kafka.topics[name]

        return {name: self._answer(delete, name, request_timeout) for name in topics}

    def describe_configs(
        self, resources: list[ConfigResource], request_timeout: float = 60
    ) -> dict[ConfigResource, Future[dict[str, TwinConfigEntry]]]:
        def describe(resource: ConfigResource) -> dict[str, TwinConfigEntry]:
            if resource.restype is ResourceType.BROKER:
                source = ConfigSource.STATIC_BROKER_CONFIG.value
                return {name: TwinConfigEntry(name, text, source) for name, text in self._kafka.settings.items()}
            self._known(resource.name)
            own = self._kafka.topics[resource.name].config
            entries = {n: TwinConfigEntry(n, t, ConfigSource.DEFAULT_CONFIG.value) for n, t in DEFAULTS.items()}
            return entries | {n: TwinConfigEntry(n, t, ConfigSource.DYNAMIC_TOPIC_CONFIG.value) for n, t in own.items()}

        return {resource: self._answer(describe, resource, request_timeout) for resource in resources}

    def incremental_alter_configs(
        self, resources: list[ConfigResource], request_timeout: float = 60, validate_only: bool = False
    ) -> dict[ConfigResource, Future[None]]:
        def alter(resource: ConfigResource) -> None:
            self._known(resource.name)
            changes = resource.incremental_configs
            self._check({entry.name: entry.value for entry in changes})
            own = self._kafka.topics[resource.name].config
            for entry in changes if not validate_only else ():
                if entry.value is None or entry.incremental_operation == AlterConfigOpType.DELETE:
                    own.pop(entry.name, None)
                else:
                    own[entry.name] = entry.value

        return {resource: self._answer(alter, resource, request_timeout) for resource in resources}

    def list_offsets(
        self, wanted: dict[TopicPartition, OffsetSpec], request_timeout: float = 60
    ) -> dict[TopicPartition, Future[TwinOffset]]:
        def look(place: TopicPartition) -> TwinOffset:
            log = self._known(place.topic)[place.partition]
            spec = wanted[place]
            if spec._value == OffsetSpec.earliest()._value:  # type: ignore[no-untyped-call]
                return TwinOffset(log.start, -1)
            if spec._value == OffsetSpec.latest()._value:  # type: ignore[no-untyped-call]
                return TwinOffset(log.end, -1)
            found = log.at_time(spec._value)
            return TwinOffset(found.offset, found.timestamp_ms) if found is not None else TwinOffset(-1, -1)

        return {place: self._answer(look, place, request_timeout) for place in wanted}

    def _known(self, topic: str) -> list[Any]:
        if topic not in self._kafka.topics:
            raise failure(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return self._kafka.topics[topic].logs

    def _check(self, config: Mapping[str, Any]) -> None:
        for name in config:
            if name not in DEFAULTS:
                raise failure(KafkaError.INVALID_CONFIG, f"Unknown topic config name: {name}")

    def _answer(self, ask: Callable[[Any], Asked], about: object, timeout_s: float) -> Future[Asked]:
        answer: Future[Asked] = Future()
        world = self._kafka.world
        with world.lock:
            try:
                if not self._kafka.wait_until(lambda: self._kafka.is_reached_by(self._client_id), timeout_s):
                    raise failure(KafkaError._TIMED_OUT)
                answer.set_result(ask(about))
            except Exception as error:  # the caller hears of it, as from the library
                answer.set_exception(error)
            world.changed()
        return answer
