"""Which snapshots are kept, and which one is the nearest before a moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contract.snapshot_names import (
    NEWEST_KEPT,
    PERIODS_KEPT,
    SnapshotName,
    is_whole,
    kept_of,
    key_of,
    names_in,
    nearest_before,
    prefix_of,
)

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def name(offset: int, now_ms: int) -> SnapshotName:
    (read,) = names_in([key_of("main", offset, now_ms, b"%d" % offset)])
    return read


def kept_while(every_ms: int, times: int) -> list[SnapshotName]:
    """A scheduler's snapshots in the order of time. After each, those that need not be kept are let go."""
    kept: list[SnapshotName] = []
    for number in range(times):
        kept = kept_of([*kept, name(number, START_MS + number * every_ms)])
    return kept


def test_a_key_says_all_of_it_and_whether_the_bytes_are_its_own() -> None:
    key = key_of("main", 42, START_MS, b"state")
    (read,) = names_in([key, "snapshots/main/else", prefix_of("main")])
    assert (read.offset, read.now_ms, read.key) == (42, START_MS, key)
    assert key.startswith(prefix_of("main"))
    assert is_whole(read, b"state")
    assert not is_whole(read, b"State")


def test_keys_sort_as_their_offsets_do() -> None:
    names = [name(offset, START_MS + offset) for offset in (2, 10, 100)]
    assert sorted(n.key for n in names) == [n.key for n in names]


def test_a_month_of_snapshots_leaves_a_thinned_history() -> None:
    kept = kept_while(HOUR_MS // 4, 40 * 96)
    last_ms = kept[-1].now_ms
    assert len(kept) <= NEWEST_KEPT + sum(periods for _, periods in PERIODS_KEPT)
    hours = {n.now_ms // HOUR_MS for n in kept if n.now_ms > last_ms - 23 * HOUR_MS}
    days = {n.now_ms // DAY_MS for n in kept}
    assert len(hours) in (23, 24)
    assert len(days) == 30


def test_the_last_hour_has_one_every_five_minutes() -> None:
    kept = kept_while(30_000, 1_000)
    last_ms = kept[-1].now_ms
    for minutes in range(0, 55, 5):
        (nearest, *_) = nearest_before(kept, last_ms - minutes * 60_000)
        assert last_ms - minutes * 60_000 - nearest.now_ms <= 2 * 300_000


def test_of_each_period_it_is_the_newest() -> None:
    """A snapshot that is let go has a later snapshot in its place."""
    hour = [name(offset, START_MS - START_MS % HOUR_MS + offset * 600_000) for offset in range(6)]
    later = [name(offset, START_MS + 10 * HOUR_MS + offset) for offset in range(6, 10)]
    assert [n for n in kept_of([*hour, *later]) if n in hour] == [hour[-1]]


def test_the_newest_are_kept_however_close_they_lie() -> None:
    names = [name(offset, START_MS + offset) for offset in range(20)]
    assert kept_of(names)[-NEWEST_KEPT:] == names[-NEWEST_KEPT:]
    assert kept_of([]) == []


@given(st.lists(st.integers(0, 60 * DAY_MS), min_size=1, max_size=60))
def test_keeping_again_keeps_the_same_and_no_more_than_said(ages: list[int]) -> None:
    names = [name(offset, START_MS + at) for offset, at in enumerate(sorted(ages))]
    kept = kept_of(names)
    assert kept_of(kept) == kept
    assert set(kept) <= set(names)
    assert names[-1] in kept
    for period_ms, periods in PERIODS_KEPT:
        newest = names[-1].now_ms // period_ms
        wanted = {n.now_ms // period_ms for n in names if newest - n.now_ms // period_ms < periods}
        assert wanted <= {n.now_ms // period_ms for n in kept}


def test_the_nearest_before_a_moment_comes_first_and_later_ones_never() -> None:
    names = [name(offset, START_MS + offset * 1_000) for offset in range(5)]
    assert [n.offset for n in nearest_before(names, START_MS + 2_500)] == [2, 1, 0]
    assert nearest_before(names, START_MS - 1) == []
