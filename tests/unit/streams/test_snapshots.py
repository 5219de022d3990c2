"""A thinned history of snapshots stays in the store, and a damaged one is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contract.seals import SnapshotSeals
from contract.snapshot_names import NEWEST_KEPT, PERIODS_KEPT, key_of, names_in, prefix_of
from runtime.object_store import Missing, ObjectStore, StoreAway, StoreFault
from scheduling import snapshot
from scheduling.state.pool import State, initial_state
from streams.ledger.disk_snapshots import KEPT, DiskSnapshots
from streams.ledger.snapshots import newest_on_disk, newest_stored, save, save_on_disk, state_of
from streams.metrics import SNAPSHOTS_MISSED
from tests.twin.object_store import StoreFaults, TwinObjectStore
from tests.twin.signing import KEY

BYTES_MAX = 2**26
"""More than any object here has."""

SEALS, NONE = SnapshotSeals([KEY]), SnapshotSeals(())
START_MS = 1_790_000_000_000


def saved(store: ObjectStore, offset: int, now_ms: int, pool: str = "main") -> str:
    state = initial_state(pool)
    state.head_offset, state.now_ms = offset, now_ms
    return save(store, SEALS, pool, offset, now_ms, snapshot.encode(state))


def test_two_days_of_snapshots_leave_some_of_each_hour_and_day_and_other_pools_alone() -> None:
    store = TwinObjectStore()
    other = saved(store, 0, START_MS, "other")
    for number in range(2 * 24 * 12):
        saved(store, number, START_MS + number * 300_000)
    kept = names_in(store.list("snapshots/main/"))
    assert kept[-1].offset == 2 * 24 * 12 - 1
    assert NEWEST_KEPT + 24 <= len(kept) <= NEWEST_KEPT + sum(periods for _, periods in PERIODS_KEPT)
    assert kept[0].now_ms < START_MS + 86_400_000, "something of the first day"
    assert other in store.objects


def test_the_newest_whole_one_is_read() -> None:
    store = TwinObjectStore()
    saved(store, 7, START_MS)
    key = saved(store, 8, START_MS + 10)
    state = newest_stored(store, SEALS, "main")
    assert state is not None
    assert state.head_offset == 8
    store.place(key, store.objects[key] + b" ")
    state = newest_stored(store, SEALS, "main")
    assert state is not None
    assert state.head_offset == 7
    assert newest_stored(store, SEALS, "none") is None


def at(offset: int, pool: str = "main") -> bytes:
    state = initial_state(pool)
    state.head_offset = offset
    return snapshot.encode(state)


def missed(where: str) -> float:
    return float(SNAPSHOTS_MISSED.labels("main", where)._value.get())


def test_the_disk_keeps_the_newest_two_whole(tmp_path: Path) -> None:
    disk = DiskSnapshots(tmp_path / "snapshots")
    assert newest_on_disk(disk, NONE, "main") is None
    (tmp_path / "snapshots" / prefix_of("main")).mkdir(parents=True)
    (tmp_path / "snapshots" / prefix_of("main") / ".half-written").write_bytes(b"{")
    for offset in range(5):
        disk.save("main", key_of("main", offset, START_MS, at(offset)), at(offset))
    disk.save("other", key_of("other", 9, START_MS, at(9, "other")), at(9, "other"))
    names = names_in(disk.list(prefix_of("main")))
    assert [name.offset for name in names] == [3, 4]
    assert len(disk.list(prefix_of("main"))) == KEPT, "what a crash left is gone"
    found = newest_on_disk(disk, NONE, "main")
    assert found is not None
    assert found.head_offset == 4
    (tmp_path / "snapshots" / names[-1].key).write_bytes(b"damaged")
    found = newest_on_disk(disk, NONE, "main")
    assert found is not None
    assert found.head_offset == 3
    assert newest_on_disk(disk, NONE, "main", lambda state: False) is None, (
        "no record of the ledger is the one it follows"
    )
    with pytest.raises(Missing):
        disk.get(names[0].key.replace("3", "7"), BYTES_MAX)


def test_a_snapshot_that_lies_under_another_pools_name_is_passed_over(tmp_path: Path) -> None:
    disk = DiskSnapshots(tmp_path)
    disk.save("main", key_of("main", 9, START_MS, at(9, "other")), at(9, "other"))
    assert newest_on_disk(disk, NONE, "main") is None


def test_a_snapshot_that_cannot_be_written_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    disk = DiskSnapshots(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("no directory can be here")
    for count in (1, 2):
        save_on_disk(disk, NONE, "main", 1, START_MS, at(1))
        assert missed("disk") == count
    disk = DiskSnapshots(tmp_path / "snapshots")
    save_on_disk(disk, NONE, "main", 3, START_MS, at(3))
    assert missed("disk") == 0
    store = TwinObjectStore()
    store.state.faults = StoreFaults(read_only=True)
    for count in (1, 2):
        with pytest.raises(StoreFault):
            save(store, SEALS, "main", 3, START_MS, at(3))
        assert missed("object store") == count
    found = newest_on_disk(disk, NONE, "main")
    assert found is not None
    assert found.head_offset == 3
    store.mend()
    save(store, SEALS, "main", 4, START_MS, at(4))
    assert missed("object store") == 0


@pytest.mark.parametrize(
    ("stored", "on_disk", "begins_at"),
    [
        (7, 5, 7),
        (5, 7, 7),
        (7, None, 7),
        (None, 7, 7),
        (None, None, -1),
        ("away", 5, 5),
        ("away", None, -1),
        (7, "away", 7),
    ],
)
def test_a_pool_begins_with_the_newer_snapshot_and_without_any_if_need_be(
    stored: int | str | None, on_disk: int | str | None, begins_at: int
) -> None:
    def asked(offset: int | str | None) -> Callable[[str], Awaitable[State | None]]:
        async def ask(pool: str) -> State | None:
            if isinstance(offset, str):
                raise StoreAway(offset)
            if offset is None:
                return None
            return snapshot.decode(at(offset, pool))

        return ask

    state = asyncio.run(state_of("main", asked(stored), asked(on_disk), patience_s=0.01))
    assert state.head_offset == begins_at
