"""Applying a policy: its pools become known, its topics exist, and every pool's scheduler is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine

from contract.inputs import PolicyApplied
from contract.policy import Policy, fingerprint
from contract.topics import topics_for
from registry import operators, pools
from runtime.kafka import ensure_topics
from runtime.settings import Settings

SOURCE = "//headrace/policy"


class Bound(NamedTuple):
    """When a policy goes again by itself: see contract.events.PolicyAdopted."""

    revert_below_permille: int
    revert_jobs: int


STAYS = Bound(0, 0)


def apply(settings: Settings, engine: Engine, policy: Policy, replication: int = 1, bound: Bound = STAYS) -> str:
    """Puts the policy in force in all its pools, in this order, so that nothing is ever sent to a topic that does not
    exist; applying it again changes nothing. Its fingerprint.

    RegistryError(conflict) when a pool would change its partition; DeliveryUnclear when a broker did not confirm:
    apply it again."""
    pools.register(engine, policy)
    ensure_topics(settings.kafka, topics_for(policy), replication)
    return tell(settings, policy, sorted(policy.pools), bound)


def tell(settings: Settings, policy: Policy, told: Iterable[str], bound: Bound = STAYS) -> str:
    """Tells the schedulers of these pools of the policy. Its fingerprint. DeliveryUnclear: tell them again."""
    record = PolicyApplied(policy, fingerprint(policy), *bound)
    operators.say(settings, record, [policy.pools[name].partition for name in told], SOURCE)
    return record.fingerprint
