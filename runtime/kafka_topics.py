"""Creating topics, and keeping their settings as contract.topics says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import stamina
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from contract.topics import Topic
from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import CLIENT

ADMIN_TIMEOUT_S = 15.0
CHANGE_TIMEOUT_S = 60.0
"""A policy may ask for a thousand partitions."""

RECORD_LIMIT = "max.message.bytes"
"""A topic's limit is never lowered: records of a size that was allowed a moment ago may still be on their way, and a
policy that was on trial may come back. The doors enforce what a policy allows; the topic's limit only bounds
mistakes."""

_NO_ANSWER = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NETWORK_EXCEPTION,
    }
)

TopicSettings = dict[str, str | None]
"""By name. None: the setting is not set for the topic, so that the broker's default holds."""


class TopicMismatch(Exception):
    """A topic cannot become what it must be: it has more partitions than it may, or the broker refuses the change."""


class _TopicSetting(NamedTuple):
    """A setting of a topic as the broker has it."""

    value: str
    own: bool
    """The setting was made for this topic: it is not the broker's default."""


def ensure_topics(brokers: Brokers, topics: Iterable[Topic], replication: int = 1) -> list[str]:
    """Create missing topics, add partitions, change the settings of the other topics. Names of the topics created.

    TopicMismatch when an `exact` topic has more partitions than it may: a topic cannot lose partitions. Other topics
    may have more: a policy that drops a pool leaves the pool's partition behind. `replication` counts for new topics
    only.
    """
    change = TopicChange(brokers, topics, replication)
    change.make_room()
    change.settle()
    return change.created


class TopicChange:
    """From the topics there are to those that are wanted, in two halves. `make_room` adds what harms nobody, even if
    the second half never happens, and `put_back` undoes it. `settle` does what takes something away, such as a shorter
    retention.
    """

    def __init__(self, brokers: Brokers, topics: Iterable[Topic], replication: int = 1) -> None:
        """Look at the topics there are. TopicMismatch; KafkaException when the broker does not answer."""
        self._wanted = {topic.name: topic for topic in topics}
        self._replication = replication
        self._admin = kafka_clients.admin_client({**CLIENT, **brokers.librdkafka()})
        self._found = {
            name: len(metadata.partitions)
            for name, metadata in self._admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics.items()
            if name in self._wanted and metadata.error is None
        }
        self._missing = [topic for name, topic in self._wanted.items() if name not in self._found]
        self._growing = [t for t in self._wanted.values() if 0 < self._found.get(t.name, 0) < t.partitions]
        self._growing.sort(key=lambda topic: topic.exact)  # exact topics last: readers count the partitions they have
        self._kept = _settings_of(self._admin, self._found)
        self._raised: dict[str, TopicSettings] = {}
        self.created: list[str] = []
        for topic in self._wanted.values():
            _require_no_more(topic, self._found.get(topic.name, 0))

    def check(self) -> None:
        """Ask the broker whether it would make all changes; none is made. TopicMismatch; KafkaException."""
        self._create(only_ask=True)
        self._grow(only_ask=True)
        for limits in (True, False):
            _alter(self._admin, self._due(limits=limits), only_ask=True)

    def make_room(self) -> None:
        """Create topics, raise limits of records, add partitions, and wait until all partitions have leaders.
        TopicMismatch; KafkaException."""
        self._create(only_ask=False)
        self._raised = self._due(limits=True)
        _alter(self._admin, self._raised, only_ask=False)
        self._grow(only_ask=False)
        _await_leaders(self._admin, self._wanted)

    def settle(self) -> None:
        """Change all other settings. TopicMismatch; KafkaException."""
        _alter(self._admin, self._due(limits=False), only_ask=False)

    def put_back(self) -> list[str]:
        """Undo `make_room`, however far it came: limits are as they were, and the topics it created are gone again
        unless somebody wrote to them. Partitions stay, and nobody uses them. Returns, in words, what could not be
        undone."""
        left = []
        try:
            _alter(self._admin, {name: self._before(name, its) for name, its in self._raised.items()}, only_ask=False)
        except (KafkaException, TopicMismatch):
            left.append(f"the {RECORD_LIMIT} of {', '.join(sorted(self._raised))}")
        unused = [name for name in self.created if _is_empty(self._admin, name, self._wanted[name].partitions)]
        try:
            for future in (
                self._admin.delete_topics(unused, request_timeout=CHANGE_TIMEOUT_S).values() if unused else ()
            ):
                future.result()
        except KafkaException:
            left.append(f"the new topics {', '.join(unused)}")
        return left

    def _before(self, name: str, changed: TopicSettings) -> TopicSettings:
        kept = self._kept[name]
        return {setting: kept[setting].value if kept[setting].own else None for setting in changed}

    def _due(self, *, limits: bool) -> dict[str, TopicSettings]:
        """For topics that existed before, the settings that must change: record limits, or all others."""
        due: dict[str, TopicSettings] = {}
        for name, kept in self._kept.items():
            for setting, value in self._wanted[name].config.items():
                if (setting == RECORD_LIMIT) is limits and _differs(setting, value, kept.get(setting)):
                    due.setdefault(name, {})[setting] = value
        return due

    def _create(self, *, only_ask: bool) -> None:
        if not self._missing:
            return
        new = [NewTopic(t.name, t.partitions, self._replication, config=t.config) for t in self._missing]
        asked = self._admin.create_topics(new, request_timeout=CHANGE_TIMEOUT_S, validate_only=only_ask)
        failed: Exception | None = None
        for name, future in asked.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    failed = failed or _refusal(name, error)
            else:
                self.created += [] if only_ask else [name]
        if failed is not None:
            raise failed

    def _grow(self, *, only_ask: bool) -> None:
        for topic in self._growing:
            more = [NewPartitions(topic.name, topic.partitions)]
            asked = self._admin.create_partitions(more, request_timeout=CHANGE_TIMEOUT_S, validate_only=only_ask)
            for name, future in asked.items():
                _result(name, future)


def _require_no_more(topic: Topic, found: int) -> None:
    if topic.exact and found > topic.partitions:
        raise TopicMismatch(
            f"expected topic {topic.name!r} to have {topic.partitions} partitions, found {found}; "
            "use the policy this cluster was set up with, or another cluster"
        )


def _differs(setting: str, value: str, kept: _TopicSetting | None) -> bool:
    if kept is None:
        return True
    if setting == RECORD_LIMIT:
        return int(value) > int(kept.value)
    return not kept.own or kept.value != value


def _settings_of(admin: Any, names: Iterable[str]) -> dict[str, dict[str, _TopicSetting]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, _TopicSetting]] = {}
    asked = admin.describe_configs(resources, request_timeout=ADMIN_TIMEOUT_S) if resources else {}
    for resource, future in asked.items():
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        found[resource.name] = {
            e.name: _TopicSetting(e.value, e.source == own) for e in _result(resource.name, future).values()
        }
    return found


def _alter(admin: Any, changes: Mapping[str, TopicSettings], *, only_ask: bool) -> None:
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(
                    setting,
                    value,
                    incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
                )
                for setting, value in settings.items()
            ],
        )
        for name, settings in changes.items()
    ]
    if not resources:
        return
    asked = admin.incremental_alter_configs(resources, request_timeout=CHANGE_TIMEOUT_S, validate_only=only_ask)
    for resource, future in asked.items():
        _result(resource.name, future)


def _is_empty(admin: Any, name: str, partitions: int) -> bool:
    """Whether nobody has written to the topic. False when the broker does not say."""
    places = [TopicPartition(name, partition) for partition in range(partitions)]
    try:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        ends = admin.list_offsets(dict.fromkeys(places, latest), request_timeout=ADMIN_TIMEOUT_S)
        return all(future.result().offset == 0 for future in ends.values())
    except KafkaException:
        return False


def _result(name: str, future: Any) -> Any:
    try:
        return future.result()
    except KafkaException as error:
        raise _refusal(name, error) from None


def _refusal(name: str, error: KafkaException) -> Exception:
    """What to raise: TopicMismatch when the broker refused, or the error itself when the broker did not answer."""
    said = error.args[0]
    if said.code() in _NO_ANSWER:
        return error
    return TopicMismatch(f"expected the broker to make topic {name!r} as the policy says, found {said.str()!r}")


@stamina.retry(on=LookupError, timeout=CHANGE_TIMEOUT_S, attempts=None, wait_initial=0.02, wait_max=0.2)
def _await_leaders(admin: Any, wanted: dict[str, Topic]) -> None:
    found = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
    for name, topic in wanted.items():
        partitions = found[name].partitions if name in found else {}
        if len(partitions) < topic.partitions or any(p.leader < 0 for p in partitions.values()):
            raise LookupError(f"topic {name!r} has no leaders yet")
