"""Creating topics and keeping them as contract.topics says they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import stamina
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from contract.topics import Topic
from runtime.kafka_records import CLIENT

ADMIN_TIMEOUT_S = 15.0


class TopicMismatch(Exception):
    """A topic is there and cannot be made what it must be."""


def ensure_topics(bootstrap: str, topics: Iterable[Topic], replication: int = 1) -> list[str]:
    """Create what is missing, add partitions, set the settings of the rest. Names of the topics created.

    TopicMismatch when an `exact` one has more partitions than it may: a topic cannot lose any. Others may have more:
    a policy that drops a pool leaves its partition behind. `replication` counts for new topics only.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AdminClient({**CLIENT, "bootstrap.servers": bootstrap})
    found = {
        name: len(metadata.partitions)
        for name, metadata in admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics.items()
        if name in wanted and metadata.error is None
    }
    missing = [topic for name, topic in wanted.items() if name not in found]
    _create(admin, missing, replication)
    _grow(admin, [wanted[name] for name in found], found)
    _configure(admin, [wanted[name] for name in found])
    _await_leaders(admin, wanted)
    return [topic.name for topic in missing]


def _create(admin: Any, topics: list[Topic], replication: int) -> None:
    if not topics:
        return
    new = [NewTopic(t.name, t.partitions, replication, config=t.config) for t in topics]
    for future in admin.create_topics(new, operation_timeout=ADMIN_TIMEOUT_S).values():
        try:
            future.result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _grow(admin: Any, topics: list[Topic], found: dict[str, int]) -> None:
    for topic in topics:
        if topic.exact and found[topic.name] > topic.partitions:
            raise TopicMismatch(
                f"expected topic {topic.name!r} to have {topic.partitions} partitions, found {found[topic.name]}; "
                "use the policy this cluster was set up with, or another cluster"
            )
    growing = [NewPartitions(t.name, t.partitions) for t in topics if found[t.name] < t.partitions]
    for future in admin.create_partitions(growing).values() if growing else ():
        future.result(ADMIN_TIMEOUT_S)


def _configure(admin: Any, topics: list[Topic]) -> None:
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic.name,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in topic.config.items()
            ],
        )
        for topic in topics
        if topic.config
    ]
    for future in admin.incremental_alter_configs(resources).values() if resources else ():
        future.result(ADMIN_TIMEOUT_S)


@stamina.retry(on=LookupError, timeout=ADMIN_TIMEOUT_S, attempts=None, wait_initial=0.02, wait_max=0.2)
def _await_leaders(admin: Any, wanted: dict[str, Topic]) -> None:
    found = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
    for name, topic in wanted.items():
        partitions = found[name].partitions if name in found else {}
        if len(partitions) < topic.partitions or any(p.leader < 0 for p in partitions.values()):
            raise LookupError(f"topic {name!r} has no leaders yet")
