"""Applying a policy, whole or not at all: its topics exist, the scheduler of each pool is told, its pools are known."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from contract import policy_check, signers
from contract.inputs import PolicyApplied
from contract.policy import ACCESS_LIFE_MS, Policy, fingerprint
from contract.topics import topics_for
from registry import operators, pools
from registry.errors import RegistryError
from runtime import jobs_writer
from runtime.kafka import DeliveryRefused, DeliveryUnclear, TopicChange, TopicMismatch
from runtime.settings import Settings

SOURCE = "//headrace/policy"


class TrialBound(NamedTuple):
    """When a policy on trial is reverted by itself: see contract.events.PolicyAdopted."""

    revert_below_permille: int
    revert_jobs: int


NO_TRIAL = TrialBound(0, 0)


def apply(
    settings: Settings, engine: Engine, policy: Policy, replication: int = 1, bound: TrialBound = NO_TRIAL
) -> str:
    """Puts the policy in force in all its pools, or changes nothing. Returns its fingerprint. Applying the same policy
    again changes nothing.

    Three things are checked first: the policy itself, its pools against the known pools, and whether the broker would
    change the topics as the policy asks. Then topics get more room, the schedulers are told, and the pools become
    known. A step that fails before any scheduler may have heard of the policy puts everything back. After that there is
    no way back. What takes something away from topics comes last.

    WrongSigner when the settings have the key of somebody else. RegistryError when the policy is not in force: invalid,
    conflict, unavailable. DeliveryUnclear when a broker did not confirm: some pools may have it, so apply it again."""
    jobs_writer.key_of(settings, signers.OPERATOR)  # before anything is changed
    fault = policy_check.fault_of(policy)
    if fault is not None:
        raise RegistryError("invalid", f"{fault.text}; nothing was changed")
    unclear: DeliveryUnclear | None = None
    with engine.begin() as connection:  # an exception rolls back, so no new pool becomes known
        pools.register_in(connection, policy)
        change = _checked(settings, policy, replication)
        try:
            change.make_room()
            told = tell(settings, policy, sorted(policy.pools), bound)
        except (KafkaException, TopicMismatch, DeliveryRefused) as error:
            left = change.put_back()
            done = f"; {', '.join(left)} could not be put back" if left else "; what was changed was put back"
            raise _refused(error, done) from error
        except DeliveryUnclear as error:
            unclear = error
    if unclear is not None:
        raise unclear
    try:
        change.settle()
    except (KafkaException, TopicMismatch) as error:
        done = "; the policy is in force, but topics keep settings of the policy before: apply the policy again"
        raise _refused(error, done) from error
    return told


def _checked(settings: Settings, policy: Policy, replication: int) -> TopicChange:
    """What has to be done with the topics. RegistryError when the broker would not do it."""
    try:
        change = TopicChange(settings.brokers, topics_for(policy), replication)
        change.check()
    except (KafkaException, TopicMismatch) as error:
        raise _refused(error, "; nothing was changed") from error
    return change


def _refused(error: Exception, done: str) -> RegistryError:
    if isinstance(error, KafkaException):
        return RegistryError("unavailable", f"Kafka does not answer ({error.args[0].str()}){done}")
    if isinstance(error, DeliveryRefused):
        return RegistryError("unavailable", f"the broker takes no record as large as this policy ({error}){done}")
    return RegistryError("conflict", f"{error}{done}")


def tell(settings: Settings, policy: Policy, told: Iterable[str], bound: TrialBound = NO_TRIAL) -> str:
    """Tells the schedulers of these pools of the policy. Returns its fingerprint. DeliveryUnclear: tell them again."""
    until_ms = round(time.time() * 1000) + ACCESS_LIFE_MS
    record = PolicyApplied(policy, fingerprint(policy), *bound, until_ms)
    operators.send(settings, record, [policy.pools[name].partition for name in told], SOURCE)
    return record.fingerprint
