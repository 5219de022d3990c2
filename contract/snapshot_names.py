"""How a stored snapshot is named, and which of them are kept.

A key is ``snapshots/<pool>/<offset, 20 digits>-<now_ms, 13 digits>-<sha256 of the bytes>``: the offset and the pool's
time of the last ledger record folded, then the content. So a listing alone says which snapshot is the nearest one
before a moment, and whoever reads one can tell whether it is whole.

Old ones answer questions about the past (`audit as-of`, `jobs why`) without reading the ledger from its beginning:
kept are the newest few, the newest of each of the last hours, and the newest of each of the last days.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

NEWEST_KEPT = 3
"""A takeover reads the newest; the others stand in for it when it is damaged."""
THINNED = ((300_000, 12), (3_600_000, 24), (86_400_000, 30))
"""(period in ms, how many): the newest snapshot of each of so many periods is kept, counted back from the newest of
all. Five minutes of an hour, the hours of a day, the days of a month: at most 69 snapshots a pool."""

_KEY = re.compile(r"snapshots/([^/]+)/(\d{20})-(\d{13})-([0-9a-f]{64})")


class SnapshotName(msgspec.Struct, frozen=True, order=True):
    """A key, read. Ordered by offset."""

    offset: int
    """Of the last ledger record folded."""
    now_ms: int
    """The pool's clock after that record."""
    digest: str
    """sha256 of the bytes."""
    key: str


def prefix_of(pool: str) -> str:
    return f"snapshots/{pool}/"


def key_of(pool: str, offset: int, now_ms: int, data: bytes) -> str:
    return f"{prefix_of(pool)}{offset:020d}-{now_ms:013d}-{hashlib.sha256(data).hexdigest()}"


def names_in(keys: Iterable[str]) -> list[SnapshotName]:
    """The keys that name a snapshot, oldest first; others are passed over."""
    read = (_KEY.fullmatch(key) for key in keys)
    return sorted(SnapshotName(int(m[2]), int(m[3]), m[4], m[0]) for m in read if m is not None)


def is_whole(name: SnapshotName, data: bytes) -> bool:
    """The bytes are those that the name says."""
    return hashlib.sha256(data).hexdigest() == name.digest


def kept_of(names: Sequence[SnapshotName]) -> list[SnapshotName]:
    """Those to keep, oldest first, of the names given oldest first.

    What is let go of is in no period's place, so keeping again keeps the same."""
    if not names:
        return []
    kept = set(names[-NEWEST_KEPT:])
    for period_ms, periods in THINNED:
        newest = names[-1].now_ms // period_ms
        taken: set[int] = set()
        for name in reversed(names):
            place = name.now_ms // period_ms
            if newest - periods < place <= newest and place not in taken:
                taken.add(place)
                kept.add(name)
    return sorted(kept)


def nearest_before(names: Sequence[SnapshotName], at_ms: int) -> list[SnapshotName]:
    """The snapshots whose state is no later than `at_ms`, the best (newest) first; the rest stand in for it."""
    return [name for name in reversed(names) if name.now_ms <= at_ms]
