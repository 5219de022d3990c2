"""The topics: their names, their partitions, and the settings with which each is created."""

from __future__ import annotations

import msgspec

from contract.bounds import MESSAGE_BYTES_MAX, PAYLOAD_ROOM_BYTES, RECORD_BYTES_MAX
from contract.durations import DAY_MS
from contract.policy import Policy

SUBMISSIONS = "submissions"
JOBS = "jobs"
LEDGER = "ledger"
PROGRESS = "progress"
QUARANTINE = "quarantine"
SHADOW = "shadow"
DISPATCH_PREFIX = "dispatch."
PROGRESS_PARTITIONS = 4
JOBS_KEPT_MS = 30 * DAY_MS
"""How long `jobs` holds a record that nothing buries."""


def dispatch_topic(cluster: str) -> str:
    return DISPATCH_PREFIX + cluster


class Topic(msgspec.Struct, frozen=True):
    name: str
    partitions: int
    config: dict[str, str]
    exact: bool = False
    """True when the topic must have no more partitions than these: its readers compute their partition from the
    number, so with another number they would read another one than the scheduler writes."""


def shadow_topic(policy: Policy) -> Topic:
    """The topic of what candidate policies would have done. It holds nothing that a user wrote, so it is kept for 30
    days, long enough to compare weeks. It need not be kept longer: a shadow can be run again from the ledger."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "message.timestamp.type": "LogAppendTime",
    }
    return Topic(SHADOW, _pools(policy), config)


def _pools(policy: Policy) -> int:
    return max(pool.partition for pool in policy.pools.values()) + 1


def topics_for(policy: Policy) -> tuple[Topic, ...]:
    """Every topic that an installation with this policy needs.

    The policy's `words_kept_ms` bounds how long a topic holds a user's words after their erasure: `jobs` rolls and
    compacts its segments within it, and the short-lived topics keep no record longer. A policy, a node's reports and a
    refusal fit their topics however small `payload_max` is (contract.bounds).

    The topics into which outsiders write have `compression.type` uncompressed. The broker then unpacks what it gets and
    checks the unpacked size against `max.message.bytes`. Otherwise a few compressed KiB could become GiB in a reader.
    All our producers pack with zstd; the other topics keep it so (docs/decisions/0028).
    """
    kept = policy.words_kept_ms
    pools = _pools(policy)
    record_max = str(max(policy.payload_bytes_max + PAYLOAD_ROOM_BYTES, RECORD_BYTES_MAX))
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
                "retention.ms": str(JOBS_KEPT_MS),
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
                "max.message.bytes": str(MESSAGE_BYTES_MAX),
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
