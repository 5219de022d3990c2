"""Snapshots of a pool's state in the object store: stored, thinned out, and read when a pool is opened.

A snapshot is a shortcut, never the truth: without one the pool folds more of its ledger. contract.snapshot_names says
how snapshots are named and which are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from contract.snapshot_names import SnapshotName, kept_of, key_of
from runtime.object_store import ObjectStore
from runtime.snapshots import first_usable, names_of
from runtime.telemetry import without_words
from scheduling import snapshot
from scheduling.state.pool import State, initial_state

PATIENCE_S = 10.0
"""A pool waits this long for its snapshot. Then it folds the whole ledger, which takes longer and needs no store."""
RETRY_S = 0.5

log = structlog.get_logger(__name__)


def save(store: ObjectStore, pool: str, offset: int, now_ms: int, data: bytes) -> str:
    """Store a snapshot and return its key. Snapshots that the history need not keep are deleted."""
    key = key_of(pool, offset, now_ms, data)
    store.put(key, data)
    names = names_of(store, pool)
    for old in sorted(set(names) - set(kept_of(names))):
        store.delete_prefix(old.key)
    return key


def newest(store: ObjectStore, pool: str) -> State | None:
    """The state of the newest snapshot that is whole and that this release can read; None when there is none."""
    found = first_usable(store, reversed(names_of(store, pool)), snapshot.decode, _say_unusable)
    return found.state if found is not None else None


def _say_unusable(name: SnapshotName, reason: str) -> None:
    log.error("a snapshot is passed over for an older one", key=name.key, reason=reason)


async def state_of(
    pool: str, ask: Callable[[str], Awaitable[State | None]], *, patience_s: float = PATIENCE_S
) -> State:
    """The state that `ask(pool)` finds in the newest snapshot. The initial state when there is no snapshot, and when
    the object store does not answer within `patience_s`."""
    found = ""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    return await ask(pool) or initial_state(pool)
                except Exception as error:
                    found = without_words(error)
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        log.warning(
            "the object store does not answer: the pool folds its whole ledger, which takes longer",
            pool=pool,
            waited_s=patience_s,
            found=found,
        )
    return initial_state(pool)
