from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import Engine

from contract.codec import decode_wire
from contract.inputs import PolicyApplied
from contract.policy import Policy, Pool, fingerprint
from contract.topics import Topic, topics_for
from registry import operators, policies, pools
from registry.errors import RegistryError
from runtime.kafka import offsets, read_range
from runtime.settings import Settings
from tests.integration.registry.conftest import POLICY


@pytest.fixture
def jobs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Topics of this test's own, named like the real ones."""
    suffix = "-" + settings.s3_bucket

    def own_topics(policy: Policy) -> list[Topic]:
        return [msgspec.structs.replace(topic, name=topic.name + suffix) for topic in topics_for(policy)]

    monkeypatch.setattr(policies, "topics_for", own_topics)
    monkeypatch.setattr(operators, "JOBS", "jobs" + suffix)
    return "jobs" + suffix


def test_applying_a_policy_tells_each_of_its_pools(engine: Engine, settings: Settings, jobs: str) -> None:
    policy = msgspec.structs.replace(POLICY, pools=POLICY.pools | {"third": Pool(partition=2)})
    assert policies.apply(settings, engine, policy) == fingerprint(policy)
    starts = {name: offsets(settings.kafka, jobs, pool.partition)[1] for name, pool in policy.pools.items()}
    policies.apply(settings, engine, policy)
    assert pools.partitions(engine) == {"main": 0, "other": 1, "third": 2}
    for name, pool in policy.pools.items():
        end = offsets(settings.kafka, jobs, pool.partition)[1]
        (record,) = read_range(settings.kafka, jobs, pool.partition, starts[name], end)
        assert decode_wire(record.value) == PolicyApplied(policy, fingerprint(policy))


def test_a_policy_on_trial_carries_its_bound(engine: Engine, settings: Settings, jobs: str) -> None:
    policies.apply(settings, engine, POLICY)
    start = offsets(settings.kafka, jobs, 0)[1]
    policies.apply(settings, engine, POLICY, bound=policies.Bound(950, 500))
    (record,) = read_range(settings.kafka, jobs, 0, start, offsets(settings.kafka, jobs, 0)[1])
    assert decode_wire(record.value) == PolicyApplied(POLICY, fingerprint(POLICY), 950, 500)


def test_a_policy_that_would_move_a_pool_is_told_to_nobody(engine: Engine, settings: Settings, jobs: str) -> None:
    policies.apply(settings, engine, POLICY)
    before = offsets(settings.kafka, jobs, 0)[1]
    moved = msgspec.structs.replace(POLICY, pools={"main": Pool(partition=5)})
    with pytest.raises(RegistryError, match="pool 'main': expected partition 0"):
        policies.apply(settings, engine, moved)
    assert offsets(settings.kafka, jobs, 0)[1] == before
