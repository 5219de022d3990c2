from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from sqlalchemy import Engine

from contract.codec import decode_wire
from contract.inputs import PolicyApplied
from contract.policy import ACCESS_LIFE_MS, Cluster, Policy, Pool, fingerprint
from contract.topics import Topic, topics_for
from registry import policies, pools
from registry.errors import RegistryError
from runtime import jobs_writer
from runtime.kafka import DeliveryUnclear, offsets, read_range
from runtime.settings import Settings
from tests.integration.registry.conftest import POLICY
from tests.waiting import until


@pytest.fixture
def jobs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Topics of this test's own, named like the real ones."""
    suffix = "-" + settings.s3_bucket

    def own_topics(policy: Policy) -> list[Topic]:
        return [msgspec.structs.replace(topic, name=topic.name + suffix) for topic in topics_for(policy)]

    monkeypatch.setattr(policies, "topics_for", own_topics)
    monkeypatch.setattr(jobs_writer, "JOBS", "jobs" + suffix)
    return "jobs" + suffix


def test_applying_a_policy_tells_each_of_its_pools(engine: Engine, settings: Settings, jobs: str) -> None:
    policy = msgspec.structs.replace(POLICY, pools=POLICY.pools | {"third": Pool(partition=2)})
    assert policies.apply(settings, engine, policy) == fingerprint(policy)
    starts = {name: offsets(settings.brokers, jobs, pool.partition)[1] for name, pool in policy.pools.items()}
    policies.apply(settings, engine, policy)
    assert pools.partitions(engine) == {"main": 0, "other": 1, "third": 2}
    for name, pool in policy.pools.items():
        end = offsets(settings.brokers, jobs, pool.partition)[1]
        (record,) = read_range(settings.brokers, jobs, pool.partition, starts[name], end)
        assert _told(record.value) == PolicyApplied(policy, fingerprint(policy))


def test_a_policy_on_trial_carries_its_bound(engine: Engine, settings: Settings, jobs: str) -> None:
    policies.apply(settings, engine, POLICY)
    start = offsets(settings.brokers, jobs, 0)[1]
    policies.apply(settings, engine, POLICY, bound=policies.TrialBound(950, 500))
    (record,) = read_range(settings.brokers, jobs, 0, start, offsets(settings.brokers, jobs, 0)[1])
    assert _told(record.value) == PolicyApplied(POLICY, fingerprint(POLICY), 950, 500)


def _told(value: bytes | None) -> PolicyApplied:
    """What the schedulers were told, apart from until when it may change who may do what."""
    said = decode_wire(value)
    assert isinstance(said, PolicyApplied)
    assert 0 < said.until_ms - time.time() * 1000 <= ACCESS_LIFE_MS
    return msgspec.structs.replace(said, until_ms=0)


KiB = 1024
EAST = msgspec.structs.replace(
    POLICY,
    pools=POLICY.pools | {"third": Pool(partition=2)},
    clusters=POLICY.clusters | {"east": Cluster(pool="third", limit=4)},
    submission_partitions=6,
    payload_bytes_max=512 * KiB,
    words_kept_ms=3_600_000,
)
"""A policy that changes everything that a policy can change outside the ledger."""


class Outside(NamedTuple):
    """All that applying a policy changes, except the records that it sends."""

    pools: dict[str, int]
    topics: dict[str, int]
    """Partitions by topic."""
    settings: dict[str, dict[str, str]]
    """The settings of the topic itself, without defaults of the broker."""
    told: int
    """Records in the first partition of `jobs`."""


@pytest.fixture
def outside(engine: Engine, settings: Settings, jobs: str) -> Callable[[], Outside]:
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})

    def look() -> Outside:
        seen = until(topics_and_settings, "the broker lists just the topics that it knows")
        assert seen is not None
        topics, found = seen
        return Outside(pools.partitions(engine), topics, found, offsets(settings.brokers, jobs, 0)[1])

    def topics_and_settings() -> tuple[dict[str, int], dict[str, dict[str, str]]] | None:
        """None: a topic that was just deleted is still listed."""
        topics = {
            name: len(its.partitions)
            for name, its in admin.list_topics(timeout=10).topics.items()
            if name.endswith(jobs.removeprefix("jobs"))
        }
        asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in topics])
        try:
            return topics, {
                resource.name: {e.name: e.value for e in future.result().values() if e.source == 1}
                for resource, future in asked.items()
            }
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise

    return look


def test_what_a_policy_changes_and_that_applying_it_again_changes_nothing(
    engine: Engine, settings: Settings, jobs: str, outside: Callable[[], Outside]
) -> None:
    policies.apply(settings, engine, POLICY)
    before = outside()
    policies.apply(settings, engine, EAST)
    after = outside()
    assert after.pools == before.pools | {"third": 2}
    assert (after.topics[jobs], before.topics[jobs]) == (3, 2)
    assert set(after.topics) - set(before.topics) == {"dispatch.east" + jobs.removeprefix("jobs")}
    assert after.settings[jobs]["max.message.bytes"] == str(576 * KiB)
    assert after.settings["progress" + jobs.removeprefix("jobs")]["retention.ms"] == "3600000"
    policies.apply(settings, engine, EAST)
    assert outside() == after._replace(told=after.told + 1)


def test_a_record_limit_is_never_lowered_because_larger_records_may_be_on_their_way(
    engine: Engine, settings: Settings, jobs: str, outside: Callable[[], Outside]
) -> None:
    policies.apply(settings, engine, EAST)
    policies.apply(settings, engine, msgspec.structs.replace(EAST, payload_bytes_max=KiB))
    assert outside().settings[jobs]["max.message.bytes"] == str(576 * KiB)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tenant_weights": {f"tenant-with-a-long-name-{n:05}": 2 for n in range(3000)}}, "at most 64 KiB"),
        ({"clusters": EAST.clusters | {"local": Cluster("main", 0)}}, "limit: expected a whole number from 1"),
        ({"pools": EAST.pools | {"main": Pool(partition=5)}}, "pool 'main': expected partition 0"),
        ({"clusters": EAST.clusters | {"local": Cluster("main", 4)}}, "to have 1 partitions, found 2"),
        ({"submission_partitions": 6, "words_kept_ms": 2**62}, "words_kept_ms: expected a whole number"),
    ],
)
def test_a_policy_that_is_refused_changes_nothing(
    engine: Engine,
    settings: Settings,
    outside: Callable[[], Outside],
    change: dict[str, Any],
    says: str,
) -> None:
    two = msgspec.structs.replace(POLICY, clusters={"local": Cluster("main", 4, dispatch_partitions=2)})
    policies.apply(settings, engine, two)
    before = outside()
    with pytest.raises(RegistryError, match=says) as raised:
        policies.apply(settings, engine, msgspec.structs.replace(EAST, **change))
    assert "nothing was changed" in str(raised.value) or raised.value.code == "conflict"
    assert outside() == before


def test_a_broker_that_would_not_do_it_is_asked_before_anything_is_changed(
    engine: Engine, settings: Settings, jobs: str, outside: Callable[[], Outside]
) -> None:
    """Two copies of a new topic need two brokers."""
    policies.apply(settings, engine, POLICY)
    before = outside()
    with pytest.raises(RegistryError, match=r"topic 'dispatch.east.*' as the policy says.*; nothing was changed"):
        policies.apply(settings, engine, EAST, replication=2)
    assert outside() == before


def test_what_was_changed_is_put_back_when_the_broker_refuses_the_record(
    engine: Engine,
    settings: Settings,
    jobs: str,
    outside: Callable[[], Outside],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies.apply(settings, engine, POLICY)
    before = outside()
    tell = policies.tell

    def refused(*arguments: Any) -> str:
        ensure_limit(settings.kafka, jobs, 200)  # somebody else did, after it was checked
        return tell(*arguments)

    monkeypatch.setattr(policies, "tell", refused)
    with pytest.raises(RegistryError, match=r"no record as large as this policy.*; what was changed was put back"):
        policies.apply(settings, engine, EAST)
    until(lambda: outside().topics.keys() == before.topics.keys(), "the broker forgets the new topic")
    after = outside()
    assert (after.pools, after.settings, after.told) == (before.pools, before.settings, before.told)
    assert after.topics.keys() == before.topics.keys(), "partitions stay, and nobody uses them"
    monkeypatch.setattr(policies, "tell", tell)
    policies.apply(settings, engine, POLICY)
    policies.apply(settings, engine, EAST)
    assert outside().pools == before.pools | {"third": 2}


def test_what_somebody_may_have_heard_of_stays_so_that_it_can_be_said_again(
    engine: Engine, settings: Settings, jobs: str, outside: Callable[[], Outside], monkeypatch: pytest.MonkeyPatch
) -> None:
    policies.apply(settings, engine, POLICY)

    def unclear(*_: Any) -> str:
        raise DeliveryUnclear("jobs: _MSG_TIMED_OUT")

    tell = policies.tell
    monkeypatch.setattr(policies, "tell", unclear)
    with pytest.raises(DeliveryUnclear):
        policies.apply(settings, engine, EAST)
    monkeypatch.setattr(policies, "tell", tell)
    assert outside().pools["third"] == 2
    assert outside().topics[jobs] == 3
    assert policies.apply(settings, engine, EAST) == fingerprint(EAST)


def test_no_broker_is_said_in_words_and_no_pool_is_known_that_was_not(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.kafka_topics.ADMIN_TIMEOUT_S", 0.5)
    away = settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with pytest.raises(RegistryError, match=r"Kafka does not answer .*; nothing was changed"):
        policies.apply(away, engine, EAST)
    assert "third" not in pools.partitions(engine)


def ensure_limit(bootstrap: str, topic: str, limit: int) -> None:
    change = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
