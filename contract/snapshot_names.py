"""How a snapshot in the object store is named, and which snapshots are kept.

A key is ``snapshots/<pool>/<offset, 20 digits>-<now_ms, 13 digits>-<sha256 of the bytes>``: offset and time of the last
ledger record folded, then the content. So a listing of keys tells which snapshot is the nearest one before a moment,
and a reader can tell whether a snapshot is whole. A sealed one goes on with ``-<size in bytes>-<id of the installation
key>-<seal>``, which tells a scheduler that another scheduler gave the name (contract.seals).

Old snapshots answer questions about the past (`audit as-of`, `jobs why`) without reading the ledger from its beginning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

NEWEST_KEPT = 3
"""A takeover reads the newest snapshot, and one of the others when the newest is damaged."""

PERIODS_KEPT = ((300_000, 12), (3_600_000, 24), (86_400_000, 30))
"""(period in ms, number of periods): of each period the newest snapshot is kept. Periods count back from the newest
snapshot of all: an hour by five minutes, a day by hours, a month by days. With NEWEST_KEPT at most 69 snapshots a
pool."""

SNAPSHOT_BYTES_MAX = 1024 * 1024 * 1024
"""Of one snapshot. Nobody reads more of an object that has the name of one."""

_KEY = re.compile(
    r"snapshots/([^/]+)/([0-9]{20})-([0-9]{13})-([0-9a-f]{64})"
    r"(?:-(?P<bytes>[0-9]{1,10})-(?P<key_id>[0-9a-f]{8})-(?P<tag>[0-9a-f]{64}))?"
)


class SnapshotName(msgspec.Struct, frozen=True, order=True):
    """What a snapshot's key says. Names sort by offset."""

    offset: int
    """Offset of the last ledger record folded."""
    now_ms: int
    """The pool's clock after that record."""
    digest: str
    """sha256 of the snapshot's bytes, 64 hex digits."""
    key: str
    bytes_max: int = SNAPSHOT_BYTES_MAX
    """As many as a sealed name says; as any snapshot may have, where a name says nothing."""
    key_id: str = ""
    """Of the installation key by which the name is sealed; empty: no seal."""
    tag: str = ""
    """64 hex digits of the seal."""


def prefix_of(pool: str) -> str:
    return f"snapshots/{pool}/"


def key_of(pool: str, offset: int, now_ms: int, data: bytes) -> str:
    return f"{prefix_of(pool)}{offset:020d}-{now_ms:013d}-{hashlib.sha256(data).hexdigest()}"


def stem_of(pool: str, offset: int, now_ms: int, data: bytes) -> str:
    """What a seal is made over: the key without the seal."""
    return f"{key_of(pool, offset, now_ms, data)}-{len(data)}"


def names_in(keys: Iterable[str]) -> list[SnapshotName]:
    """The snapshots that these keys name, oldest first. Keys of another form are passed over."""
    read = (_KEY.fullmatch(key) for key in keys)
    return sorted(_name(match) for match in read if match is not None)


def _name(match: re.Match[str]) -> SnapshotName:
    size = min(int(match["bytes"] or SNAPSHOT_BYTES_MAX), SNAPSHOT_BYTES_MAX)
    return SnapshotName(
        int(match[2]), int(match[3]), match[4], match[0], size, match["key_id"] or "", match["tag"] or ""
    )


def is_whole(name: SnapshotName, data: bytes) -> bool:
    """Whether these are the bytes that the name was made of."""
    return hashlib.sha256(data).hexdigest() == name.digest


def kept_of(names: Sequence[SnapshotName]) -> list[SnapshotName]:
    """The snapshots to keep, oldest first, of `names`, oldest first. Of the snapshots kept, all are kept again."""
    if not names:
        return []
    kept = set(names[-NEWEST_KEPT:])
    for period_ms, periods in PERIODS_KEPT:
        newest = names[-1].now_ms // period_ms
        served: set[int] = set()
        for name in reversed(names):
            period = name.now_ms // period_ms
            if newest - periods < period <= newest and period not in served:
                served.add(period)
                kept.add(name)
    return sorted(kept)


def nearest_before(names: Sequence[SnapshotName], at_ms: int) -> list[SnapshotName]:
    """The snapshots whose state is no later than `at_ms`, newest first. A reader takes the first that is whole."""
    return [name for name in reversed(names) if name.now_ms <= at_ms]
