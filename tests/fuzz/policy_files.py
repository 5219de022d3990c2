"""The door of policies that people write."""

from __future__ import annotations

from typing import Any

from contract.codec import decode_input, encode
from contract.inputs import PolicyApplied
from contract.policy import fingerprint
from contract.policy_document import PolicyInvalid, parse
from contract.topics import topics_for
from tests.fuzz.door import Door
from tests.fuzz.texts import YAML_PIECES, text_changed
from tests.unit.scheduling.specification import Pool

POLICY = """\
tiers:
  api: {slo: 10s}
  free: {slo: 100s}
pools:
  main: {partition: 0}
clusters:
  east: {pool: main, limit: none, staged_per_slot: 1}
  west:
    pool: main
    limit: 4
    adaptive: true
failures_max: 3
backoff: 2s
payload_max: 256KiB
tenant_weights:
  acme: 10
discipline: promise
submission_age_max: 3d
"""
POLICY_PIECES = (
    *YAML_PIECES,
    "0s",
    "1h30m",
    "9" * 30 + "d",
    "3650d",
    "1.5h",
    "0KiB",
    "2MiB",
    "none",
    "strict",
    "luck",
    "true",
)


def feed_policy(raw: bytes) -> bool:
    """What an operator may apply, the scheduler's door, its judgement, the topics and the snapshot take."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise PolicyInvalid("expected a YAML document in UTF-8, found other bytes") from None
    policy = parse(text)
    applied = PolicyApplied(policy, fingerprint(policy))
    said: Any = decode_input(encode(applied))
    pool = Pool(policy=None)
    events = pool.tell(said)
    assert type(events[0]).__name__ == "PolicyAdopted", events
    for topic in topics_for(policy):
        assert topic.partitions > 0
        assert all(isinstance(setting, str) for setting in topic.config.values())
    return True


DOORS = (
    Door(
        "a policy document",
        lambda chance: text_changed(chance, POLICY, POLICY_PIECES),
        feed_policy,
        ("contract.policy_document.parse",),
        (PolicyInvalid,),
    ),
)
