"""Snapshots of a pool's state in the object store: named by their content, a thinned history of them kept.

A snapshot is a shortcut, never the truth: one that is missing or damaged costs a longer fold of the ledger. How they
are named and which are kept: contract.snapshot_names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from contract.snapshot_names import is_whole, kept_of, key_of, names_in, prefix_of
from runtime.object_store import Missing, ObjectStore
from runtime.telemetry import without_words
from scheduling import snapshot
from scheduling.state.pool import State, initial_state

PATIENCE_S = 10.0
"""How long a pool waits for its snapshot: after that the whole ledger is folded, which only takes longer."""
RETRY_S = 0.5

log = structlog.get_logger(__name__)


def save(store: ObjectStore, pool: str, offset: int, now_ms: int, data: bytes) -> str:
    """Store a snapshot, let go of those that the history need not keep, and give its key."""
    key = key_of(pool, offset, now_ms, data)
    store.put(key, data)
    names = names_in(store.list(prefix_of(pool)))
    for old in sorted(set(names) - set(kept_of(names))):
        store.delete_prefix(old.key)
    return key


def newest(store: ObjectStore, pool: str) -> State | None:
    """The newest snapshot whose bytes are what its name says; None when there is none."""
    for name in reversed(names_in(store.list(prefix_of(pool)))):
        try:
            data = store.get(name.key)
        except Missing:
            continue
        if not is_whole(name, data):
            log.error("snapshot skipped: it is damaged", key=name.key, expected=name.digest[:16])
            continue
        try:
            return snapshot.decode(data)
        except ValueError as error:
            log.error("snapshot skipped: this release cannot read it", key=name.key, error=str(error))
    return None


async def state_of(
    pool: str, ask: Callable[[str], Awaitable[State | None]], *, patience_s: float = PATIENCE_S
) -> State:
    """Of the newest snapshot, for which `ask(pool)` asks; of none when there is none, or when the object store does not
    answer in time."""
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
            "the object store does not answer: folding the whole ledger, which takes longer",
            pool=pool,
            waited_s=patience_s,
            found=found,
        )
    return initial_state(pool)
