"""A thinned history of snapshots stays in the store, and a damaged one is passed over."""

from __future__ import annotations

from typing import cast

from contract.snapshot_names import NEWEST_KEPT, PERIODS_KEPT, names_in
from runtime.object_store import Missing, ObjectStore
from scheduling import snapshot
from scheduling.state.pool import initial_state
from streams.ledger.snapshots import newest, save

START_MS = 1_790_000_000_000


class Store:
    """As much of the object store as snapshots need."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    @property
    def as_store(self) -> ObjectStore:
        return cast(ObjectStore, self)

    def put(self, key: str, data: bytes) -> bool:
        self.objects[key] = data
        return True

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise Missing(key)
        return self.objects[key]

    def list(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def delete_prefix(self, prefix: str) -> int:
        keys = self.list(prefix)
        for key in keys:
            del self.objects[key]
        return len(keys)


def saved(store: Store, offset: int, now_ms: int, pool: str = "main") -> str:
    state = initial_state(pool)
    state.head_offset, state.now_ms = offset, now_ms
    return save(store.as_store, pool, offset, now_ms, snapshot.encode(state))


def test_two_days_of_snapshots_leave_some_of_each_hour_and_day_and_other_pools_alone() -> None:
    store = Store()
    other = saved(store, 0, START_MS, "other")
    for number in range(2 * 24 * 12):
        saved(store, number, START_MS + number * 300_000)
    kept = names_in(store.list("snapshots/main/"))
    assert kept[-1].offset == 2 * 24 * 12 - 1
    assert NEWEST_KEPT + 24 <= len(kept) <= NEWEST_KEPT + sum(periods for _, periods in PERIODS_KEPT)
    assert kept[0].now_ms < START_MS + 86_400_000, "something of the first day"
    assert other in store.objects


def test_the_newest_whole_one_is_read() -> None:
    store = Store()
    saved(store, 7, START_MS)
    key = saved(store, 8, START_MS + 10)
    state = newest(store.as_store, "main")
    assert state is not None
    assert state.head_offset == 8
    store.objects[key] += b" "
    state = newest(store.as_store, "main")
    assert state is not None
    assert state.head_offset == 7
    assert newest(store.as_store, "none") is None
