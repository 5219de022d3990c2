"""Snapshots of a pool's state in the object store: named by their content, newest first, the newest three kept.

A key is ``snapshots/<pool>/<offset of the last ledger record folded, 20 digits>-<sha256 of the bytes>``. A snapshot is
a shortcut, never the truth: one that is missing or damaged costs a longer fold of the ledger.
"""

from __future__ import annotations

import hashlib

import structlog

from runtime.object_store import Missing, ObjectStore
from scheduling import snapshot
from scheduling.state import State

KEPT = 3

log = structlog.get_logger(__name__)


def key_of(pool: str, offset: int, data: bytes) -> str:
    return f"{_prefix(pool)}{offset:020d}-{hashlib.sha256(data).hexdigest()}"


def save(store: ObjectStore, pool: str, offset: int, data: bytes) -> str:
    """Store a snapshot, let go of all but the newest, and give its key."""
    key = key_of(pool, offset, data)
    store.put(key, data)
    for old in store.list(_prefix(pool))[:-KEPT]:
        store.delete_prefix(old)
    return key


def newest(store: ObjectStore, pool: str) -> State | None:
    """The newest snapshot whose bytes are what its name says; None when there is none."""
    for key in reversed(store.list(_prefix(pool))):
        try:
            data = store.get(key)
        except Missing:
            continue
        expected, found = key.rpartition("-")[2], hashlib.sha256(data).hexdigest()
        if found != expected:
            log.error("snapshot skipped: it is damaged", key=key, expected=expected[:16], found=found[:16])
            continue
        try:
            return snapshot.decode(data)
        except ValueError as error:
            log.error("snapshot skipped: this release cannot read it", key=key, error=str(error))
    return None


def _prefix(pool: str) -> str:
    return f"snapshots/{pool}/"
