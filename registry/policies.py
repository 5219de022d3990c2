"""Applying a policy: its pools become known, its topics exist, and every pool's scheduler is told."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from sqlalchemy import Engine

from contract.codec import encode, headers_for
from contract.inputs import PolicyApplied
from contract.policy import Policy, fingerprint
from contract.topics import JOBS, topics_for
from registry import pools
from runtime.kafka import Producer, ensure_topics
from runtime.settings import Settings

SOURCE = "//headrace/policy"


def apply(settings: Settings, engine: Engine, policy: Policy, replication: int = 1) -> str:
    """Puts the policy in force in all its pools, in this order, so that nothing is ever sent to a topic that does not
    exist; applying it again changes nothing. Its fingerprint.

    RegistryError(conflict) when a pool would change its partition; DeliveryUnclear when a broker did not confirm:
    apply it again."""
    pools.register(engine, policy)
    ensure_topics(settings.kafka, topics_for(policy), replication)
    return tell(settings, policy, sorted(policy.pools))


def tell(settings: Settings, policy: Policy, told: Iterable[str]) -> str:
    """Tells the schedulers of these pools of the policy. Its fingerprint. DeliveryUnclear: tell them again."""
    record = PolicyApplied(policy=policy, fingerprint=fingerprint(policy))
    producer = Producer(settings.kafka, "headrace-policy")
    try:
        for name in told:
            event_id = uuid.uuid4().hex
            producer.send_and_wait(
                JOBS,
                encode(record),
                key=event_id.encode(),
                headers=headers_for(record, event_id, SOURCE),
                partition=policy.pools[name].partition,
            )
    finally:
        producer.close()
    return record.fingerprint
