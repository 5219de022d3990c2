"""Snapshots of a pool's state in the object store and on our own disk: stored, and read when a pool is opened.

A snapshot is a shortcut, never the truth: without one the pool folds more of its ledger. contract.snapshot_names says
how snapshots are named and which are kept; contract.seals, which are believed. A snapshot that is not believed is
passed over before it is fetched, counted and logged: whoever writes into the bucket can make an opening longer, and
nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import structlog

from contract.durations import DAY_MS
from contract.seals import SnapshotSeals
from contract.snapshot_names import SnapshotName, kept_of
from runtime.object_store import ObjectStore
from runtime.snapshots import SnapshotSource, first_usable, names_of
from runtime.telemetry import without_words
from scheduling import snapshot
from scheduling.state.pool import State, initial_state
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.metrics import SNAPSHOTS_MISSED, SNAPSHOTS_PASSED_OVER

PATIENCE_S = 10.0
"""A pool waits this long for its snapshot. Then it folds the whole ledger, which takes longer and needs no store."""
RETRY_S = 0.5
SAID_MAX = 10
"""Of the snapshots that one reading passes over, so many have a line in the log of their own."""
OTHERS_KEPT_MS = 31 * DAY_MS
"""So long a snapshot that is not believed is kept, for people who ask about the past: as long as the oldest of ours."""

log = structlog.get_logger(__name__)


def save(store: ObjectStore, seals: SnapshotSeals, pool: str, offset: int, now_ms: int, data: bytes) -> str:
    """Store a snapshot and return its key. Snapshots that the history need not keep are deleted; names that are not
    believed neither displace others nor are deleted before they are too old. What the store raises is counted."""
    key = seals.key_of(pool, offset, now_ms, data)
    missed = SNAPSHOTS_MISSED.labels(pool, "object store")
    try:
        store.put(key, data)
    except Exception:  # counted, and raised again for whoever asked
        missed.inc()
        raise
    missed.set(0)
    names = names_of(store, pool)
    ours = [name for name in names if not seals.are_made or not seals.refusal_of(name)]
    kept = set(kept_of(ours)) | {name for name in set(names) - set(ours) if name.now_ms > now_ms - OTHERS_KEPT_MS}
    for old in sorted(set(names) - kept):
        store.delete_prefix(old.key)
    return key


def save_on_disk(disk: DiskSnapshots, seals: SnapshotSeals, pool: str, offset: int, now_ms: int, data: bytes) -> None:
    """Keep a snapshot on our own disk. A disk that does not take it is counted and said, and stops nothing."""
    missed = SNAPSHOTS_MISSED.labels(pool, "disk")
    try:
        disk.save(pool, seals.key_of(pool, offset, now_ms, data), data)
    except OSError as error:
        log.warning("a snapshot was not kept on this disk", pool=pool, found=without_words(error))
        missed.inc()
    else:
        missed.set(0)


def newest_stored(store: SnapshotSource, seals: SnapshotSeals, pool: str) -> State | None:
    """The state of the newest snapshot in the object store that is believed, whole, and that this release can read;
    None when there is none."""
    passed_over = _PassedOver(pool, "object store")
    return _newest(store, pool, seals.refusal_of, lambda state: True, passed_over)


def newest_on_disk(
    disk: DiskSnapshots, seals: SnapshotSeals, pool: str, fits: Callable[[State], bool] = lambda state: True
) -> State | None:
    """As `newest_stored`, on our own disk, of those that `fits`. Without keys every name is believed there."""
    passed_over = _PassedOver(pool, "disk")
    return _newest(disk, pool, lambda name: seals.refusal_of(name) if seals.are_made else "", fits, passed_over)


def _newest(
    source: SnapshotSource,
    pool: str,
    refusal_of: Callable[[SnapshotName], str],
    fits: Callable[[State], bool],
    passed_over: _PassedOver,
) -> State | None:

    def fitting(data: bytes) -> State:
        state = snapshot.decode(data)
        if state.pool != pool or not fits(state):
            raise ValueError("the ledger has another record where the snapshot's last one should be")
        return state

    def believed() -> Iterator[SnapshotName]:
        for name in reversed(names_of(source, pool)):
            refusal = refusal_of(name)
            if refusal:
                passed_over(name, refusal)
            else:
                yield name

    found = first_usable(source, believed(), fitting, passed_over)
    passed_over.sum_up()
    return found.state if found is not None else None


class _PassedOver:
    """Counts the snapshots that one reading passes over, and logs the first of them."""

    def __init__(self, pool: str, where: str) -> None:
        self._pool, self._where, self._count = pool, where, 0

    def __call__(self, name: SnapshotName, reason: str) -> None:
        self._count += 1
        SNAPSHOTS_PASSED_OVER.labels(self._pool, self._where).inc()
        if self._count <= SAID_MAX:
            log.error("a snapshot is passed over for an older one", key=name.key, where=self._where, reason=reason)

    def sum_up(self) -> None:
        if self._count > SAID_MAX:
            log.error("more snapshots were passed over", pool=self._pool, where=self._where, count=self._count)


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
                except Exception as error:  # a store may fail in any way: asked again until its time is over
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
