"""The topics: names, keys, and the settings each is created with."""

from __future__ import annotations

import msgspec

from contract.bounds import RECORD_BYTES_MAX
from contract.policy import Policy

SUBMISSIONS = "submissions"
JOBS = "jobs"
LEDGER = "ledger"
PROGRESS = "progress"
QUARANTINE = "quarantine"
SHADOW = "shadow"
DISPATCH_PREFIX = "dispatch."
PROGRESS_PARTITIONS = 4

DAY_MS = 86_400_000


def dispatch_topic(cluster: str) -> str:
    return DISPATCH_PREFIX + cluster


class Topic(msgspec.Struct, frozen=True):
    name: str
    partitions: int
    config: dict[str, str]
    exact: bool = False
    """Its readers find their partition by the number of partitions: there may not be more than these."""


def shadow_topic(policy: Policy) -> Topic:
    """What candidate policies would have done: ids, tiers, tenants and times, nothing that a user wrote, so it is kept
    as long as `jobs`, long enough to compare weeks, and not for ever: a shadow can be run again from the ledger."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "message.timestamp.type": "LogAppendTime",
    }
    return Topic(SHADOW, _pools(policy), config)


def _pools(policy: Policy) -> int:
    return max(pool.partition for pool in policy.pools.values()) + 1


def topics_for(policy: Policy) -> tuple[Topic, ...]:
    """Every topic an installation with this policy needs.

    `words_kept_ms` of the policy bounds how long any topic may hold what a user wrote after its erasure: `jobs` rolls
    and compacts its segments within it, the short-lived topics keep nothing longer. However small `payload_max` is, a
    policy, a node's reports and a refusal fit (contract.bounds). What outsiders write is unpacked by the broker, which
    holds `max.message.bytes` against what comes out: a few compressed KiB can become GiB in whoever reads them.
    """
    kept = policy.words_kept_ms
    pools = _pools(policy)
    record_max = str(max(policy.payload_bytes_max + 64 * 1024, RECORD_BYTES_MAX))
    short = {
        "retention.ms": str(kept),
        "segment.ms": str(max(1000, kept // 3)),
        "max.message.bytes": record_max,
        "message.timestamp.type": "LogAppendTime",
    }
    fixed = (
        Topic(SUBMISSIONS, policy.submission_partitions, short | {"compression.type": "uncompressed"}),
        Topic(
            JOBS,
            pools,
            {
                "cleanup.policy": "compact,delete",
                "compression.type": "uncompressed",
                "retention.ms": str(30 * DAY_MS),
                "segment.ms": str(max(1000, kept // 3)),
                "max.compaction.lag.ms": str(max(1000, kept // 3)),
                "min.compaction.lag.ms": "0",
                "min.cleanable.dirty.ratio": "0.01",
                "delete.retention.ms": str(kept),
                "message.timestamp.type": "LogAppendTime",
                "max.message.bytes": record_max,
            },
        ),
        Topic(
            LEDGER,
            pools,
            {
                "cleanup.policy": "delete",
                "retention.ms": "-1",
                "retention.bytes": "-1",
                "message.timestamp.type": "LogAppendTime",
                "max.message.bytes": str(2 * 1024 * 1024),
            },
        ),
        Topic(PROGRESS, PROGRESS_PARTITIONS, short),
        Topic(QUARANTINE, 1, short),
        shadow_topic(policy),
    )
    dispatch = tuple(
        Topic(dispatch_topic(name), cluster.dispatch_partitions, short, exact=True)
        for name, cluster in sorted(policy.clusters.items())
    )
    return fixed + dispatch
