"""Snapshots of a pool's state in the object store and on our own disk: stored, and read when a pool is opened.

A snapshot is a shortcut, never the truth: without one the pool folds more of its ledger. contract.snapshot_names says
how snapshots are named and which are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from contract.snapshot_names import SnapshotName, kept_of, key_of
from runtime.object_store import ObjectStore
from runtime.snapshots import SnapshotSource, first_usable, names_of
from runtime.telemetry import without_words
from scheduling import snapshot
from scheduling.state.pool import State, initial_state
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.metrics import SNAPSHOTS_MISSED

PATIENCE_S = 10.0
"""A pool waits this long for its snapshot. Then it folds the whole ledger, which takes longer and needs no store."""
RETRY_S = 0.5

log = structlog.get_logger(__name__)


def save(store: ObjectStore, pool: str, offset: int, now_ms: int, data: bytes) -> str:
    """Store a snapshot and return its key. Snapshots that the history need not keep are deleted. What the store raises
    is counted."""
    key = key_of(pool, offset, now_ms, data)
    missed = SNAPSHOTS_MISSED.labels(pool, "object store")
    try:
        store.put(key, data)
    except Exception:
        missed.inc()
        raise
    missed.set(0)
    names = names_of(store, pool)
    for old in sorted(set(names) - set(kept_of(names))):
        store.delete_prefix(old.key)
    return key


def save_on_disk(disk: DiskSnapshots, pool: str, offset: int, now_ms: int, data: bytes) -> None:
    """Keep a snapshot on our own disk. A disk that does not take it is counted and said, and stops nothing."""
    missed = SNAPSHOTS_MISSED.labels(pool, "disk")
    try:
        disk.save(pool, key_of(pool, offset, now_ms, data), data)
    except OSError as error:
        log.warning("a snapshot was not kept on this disk", pool=pool, found=without_words(error))
        missed.inc()
    else:
        missed.set(0)


def newest(source: SnapshotSource, pool: str, fits: Callable[[State], bool] = lambda state: True) -> State | None:
    """The state of the newest snapshot that is whole, that this release can read and that `fits`; None when there is
    none."""

    def fitting(data: bytes) -> State:
        state = snapshot.decode(data)
        if state.pool != pool or not fits(state):
            raise ValueError("the ledger has another record where the snapshot's last one should be")
        return state

    found = first_usable(source, reversed(names_of(source, pool)), fitting, _say_unusable)
    return found.state if found is not None else None


def _say_unusable(name: SnapshotName, reason: str) -> None:
    log.error("a snapshot is passed over for an older one", key=name.key, reason=reason)


async def state_of(
    pool: str,
    ask: Callable[[str], Awaitable[State | None]],
    ask_disk: Callable[[str], Awaitable[State | None]],
    *,
    patience_s: float = PATIENCE_S,
) -> State:
    """The state of the newer of two snapshots: the newest that `ask(pool)` finds in the object store within
    `patience_s`, and the newest that `ask_disk(pool)` finds on this machine. The initial state when there is none."""
    on_disk: State | None = None
    try:
        on_disk = await ask_disk(pool)
    except Exception as error:  # the disk's is a shortcut of a shortcut: without it the pool opens all the same
        log.warning("no snapshot could be read from this disk", pool=pool, found=without_words(error))
    found = ""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    return _newer(await ask(pool), on_disk) or initial_state(pool)
                except Exception as error:
                    found = without_words(error)
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        log.warning(
            "the object store does not answer: the pool begins with the snapshot of this machine's own disk, or folds"
            " its whole ledger, which takes longer",
            pool=pool,
            waited_s=patience_s,
            snapshot_offset=-1 if on_disk is None else on_disk.head_offset,
            found=found,
        )
    return on_disk or initial_state(pool)


def _newer(stored: State | None, on_disk: State | None) -> State | None:
    if stored is None or on_disk is None:
        return stored or on_disk
    return on_disk if on_disk.head_offset > stored.head_offset else stored
