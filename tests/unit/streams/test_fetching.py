"""What a fetch brings: only what is committed, every batch that a broker takes, and the proof of each gap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from runtime.kafka import Record
from runtime.kafka_records import Complaints
from runtime.settings import Settings
from streams.hosting import fetching
from streams.hosting.faust_app import make_app
from streams.hosting.fetching import FetchedBatches, FetchedRecords
from streams.hosting.gaps import Gaps
from streams.hosting.positions import OffsetVerdict, Positions
from tests.unit.streams.batches import ABORT, COMMIT, AnyName, batch, damaged, marker, values

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PARTITION = TopicPartition("submissions", 3)


@pytest.fixture(autouse=True)
def _each_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_complaints", Complaints())


@pytest.fixture
def gaps(monkeypatch: pytest.MonkeyPatch) -> Gaps:
    gaps = Gaps()
    monkeypatch.setattr(fetching, "PROVEN", gaps)
    return gaps


def fetched(
    data: bytes, at: int = 0, aborted: Sequence[tuple[int, int]] = (), isolation: int = READ_COMMITTED
) -> list[Record]:
    return list(FetchedRecords(PARTITION, FetchedBatches(data), list(aborted), at, None, None, True, isolation))


def said(records: list[Record]) -> list[tuple[int, bytes | None, int | None]]:
    return [(record.offset, record.value, record.follows) for record in records]


def test_records_follow_each_other_and_a_marker_between_them_is_a_proven_gap(gaps: Gaps) -> None:
    data = values(10, b"a", b"b") + marker(12, 7, COMMIT) + values(13, b"c")
    assert said(fetched(data, at=10)) == [(10, b"a", 10), (11, b"b", 11), (13, b"c", 12)]


def test_what_was_aborted_is_a_gap_and_what_was_committed_beside_it_is_not(gaps: Gaps) -> None:
    data = (
        values(0, b"aborted", producer=7)
        + values(1, b"committed", producer=8)
        + marker(2, 7, ABORT)
        + marker(3, 8, COMMIT)
        + values(4, b"later", producer=7)
        + marker(5, 7, COMMIT)
    )
    assert said(fetched(data, aborted=[(7, 0)])) == [(1, b"committed", 0), (4, b"later", 2)]
    assert gaps.past("submissions", 3, 5) == 6


def test_a_gap_that_no_record_follows_is_known_and_carried_into_the_next_fetch(gaps: Gaps) -> None:
    assert said(fetched(values(0, b"a") + marker(1, 7, COMMIT))) == [(0, b"a", 0)]
    assert [gaps.past("submissions", 3, offset) for offset in range(4)] == [0, 2, 2, 3]
    assert said(fetched(marker(2, 8, ABORT), at=2)) == []
    assert gaps.past("submissions", 3, 1) == 3
    assert said(fetched(values(3, b"b"), at=3)) == [(3, b"b", 1)]


def test_a_fetch_from_elsewhere_proves_nothing_of_what_lies_between(gaps: Gaps) -> None:
    fetched(values(0, b"a") + marker(1, 7, COMMIT))
    assert said(fetched(values(9, b"b"), at=9)) == [(9, b"b", 9)]
    assert said(fetched(values(20, b"c"), at=15)) == [(20, b"c", 15)]


def test_a_batch_that_the_broker_cut_is_left_for_the_next_fetch(gaps: Gaps) -> None:
    whole = values(0, b"a") + values(1, b"b")
    for cut in range(1, len(values(1, b"b"))):
        assert [record.offset for record in fetched(whole[:-cut])] == [0]
    assert gaps.past("submissions", 3, 1) == 1


@pytest.mark.parametrize("name", [b"\xff\xfe", b"ce_id\xff", b"\xed\xa0\x80"])
def test_a_header_whose_name_is_no_text_ends_nothing(gaps: Gaps, name: bytes) -> None:
    good = [("ce_id", b"1"), ("empty", None)]
    data = batch(0, [(b"k", b"v0", good), (b"k", b"v1", [*good, (AnyName.of(name), b"?")]), (None, None, good)])
    read = fetched(data)
    assert [(r.offset, r.key, r.value, r.follows) for r in read] == [
        (0, b"k", b"v0", 0),
        (1, b"k", b"v1", 1),
        (2, None, None, 2),
    ]
    assert [r.headers[:2] for r in read] == [good] * 3
    assert read[1].headers[2] == (name.decode("utf-8", "backslashreplace"), b"?")
    assert {r.timestamp_ms for r in read} == {1_700_000_000_000}


def test_compressed_ones_are_read_so_too(gaps: Gaps) -> None:
    data = batch(0, [(b"k", b"v0", []), (b"k", b"v1", [(AnyName.of(b"\xff"), b"?")])], codec=GZIP)
    assert [record.value for record in fetched(data)] == [b"v0", b"v1"]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_that_cannot_be_unpacked_is_one_record_without_a_value_and_the_log_goes_on(
    gaps: Gaps, codec: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = bytearray(values(5, b"a", b"b"))
    plain[22] |= codec
    data = damaged(bytes(plain), at=61) + values(7, b"c")
    assert said(fetched(data, at=5)) == [(5, b"", 5), (7, b"c", 6)]
    assert "offset=5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("places", "read"),
    [
        ((0, 2**31 - 1, 2), [0, 1, 3]),
        ((2**31 - 1, 1, 2), [0, 3]),
        ((0, -2, 2), [0, 1, 3]),
        ((0, 0, 0), [0, 1, 3]),
        ((2, 1, 0), [2, 3]),
        ((0, 1, 3), [0, 1, 2, 3]),
    ],
)
def test_a_record_that_says_it_lies_elsewhere_moves_nobody(
    gaps: Gaps, places: tuple[int, ...], read: list[int]
) -> None:
    """Brokers take such batches. What is believed of them decides what is passed over of others' records."""
    data = batch(0, [(None, b"v", ())] * 3, places=places) + values(3, b"another's")
    records = fetched(data)
    assert [record.offset for record in records] == read
    assert records[-1].value == b"another's"
    positions = Positions(0)
    assert {positions.take(record.offset, record.follows) for record in records} == {OffsetVerdict.TAKE}


@given(st.data())
def test_whatever_a_batch_is_the_records_behind_it_are_read(data: st.DataObject) -> None:
    good = batch(0, [(b"k", b"v0", [("a", b"b")]), (None, b"v1", []), (b"k", None, [("c", None)])])
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(61, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read = fetched(damaged(bytes(raw), len(raw)) + values(3, b"behind"))
    assert [record.value for record in read if record.offset >= 3] == [b"behind"]
    assert all(earlier.offset < later.offset for earlier, later in pairwise(read))


LOG = st.lists(st.sampled_from(["plain", "commit", "abort", "gone"]), min_size=1, max_size=14)


@given(LOG, st.integers(0, 12), st.lists(st.integers(1, 6), max_size=6))
def test_with_proofs_every_committed_record_is_taken_once_whatever_fetches_bring_them(
    kinds: list[str], start: int, jumps: list[int]
) -> None:
    """A log of transactions is fetched in parts, and places jump ahead in between, as Faust loses records."""
    log = Log(kinds)
    with pytest.MonkeyPatch.context() as patch:
        gaps = Gaps()
        patch.setattr(fetching, "PROVEN", gaps)
        positions, place = Positions(0), min(start, log.end)
        took: list[int] = []

        def fetch(place: int, batches: int) -> int:
            records, behind = log.fetch(place, batches)
            took.extend(r.offset for r in records if positions.take(r.offset, r.follows) is OffsetVerdict.TAKE)
            return behind

        for jump in jumps:
            place = min(log.end, fetch(place, jump) + jump // 3)
        place = positions.wanted  # it is sought back, and nothing is lost any more
        while place < log.end:
            place = fetch(place, 2)
        assert took == log.committed
        assert gaps.past("submissions", 3, positions.wanted) == log.end


class Log:
    """Plain records, transactions of one record each, and offsets that nothing is left of."""

    def __init__(self, kinds: list[str]) -> None:
        self.committed: list[int] = []
        self._parts: list[tuple[int, bytes, list[tuple[int, int]]]] = []
        self.end = 0
        for producer, kind in enumerate(kinds):
            at = self.end
            if kind == "plain":
                self._parts.append((at, values(at, b"v"), []))
            elif kind in ("commit", "abort"):
                data = values(at, b"v", producer=producer)
                data += marker(at + 1, producer, COMMIT if kind == "commit" else ABORT)
                self._parts.append((at, data, [(producer, at)] if kind == "abort" else []))
            if kind in ("plain", "commit"):
                self.committed.append(at)
            self.end += 2 if kind in ("commit", "abort") else 1
        self._parts.append((self.end, marker(self.end, 99, COMMIT), []))
        self.end += 1

    def fetch(self, place: int, batches: int) -> tuple[list[Record], int]:
        """The records of so many parts from `place` on, and where the next fetch begins."""
        starts = [start for start, _, _ in self._parts if start <= place]
        chosen = [part for part in self._parts if part[0] >= (starts[-1] if starts else 0)][:batches]
        aborted = [one for part in chosen for one in part[2]]
        data = FetchedBatches(b"".join(part[1] for part in chosen))
        fetch = FetchedRecords(PARTITION, data, aborted, place, None, None, True, READ_COMMITTED)
        return list(fetch), max(place, fetch.next_fetch_offset)


def test_read_committed_is_what_makes_the_difference(gaps: Gaps) -> None:
    data = values(0, b"aborted", producer=7) + marker(1, 7, ABORT)
    assert said(fetched(data, aborted=[(7, 0)], isolation=READ_UNCOMMITTED)) == [(0, b"aborted", 0)]


def test_our_processors_read_so(tmp_path: Path) -> None:
    async def consumer() -> object:
        app = make_app("headrace-test", Settings(data=tmp_path))
        app.finalize()
        thread = app.consumer._thread
        made = thread._create_consumer(asyncio.get_running_loop())
        thread.thread_loop.close()
        await made.stop()
        assert (fetcher.PartitionRecords, fetcher.MemoryRecords) == (FetchedRecords, FetchedBatches)
        return made._isolation_level

    assert asyncio.run(consumer()) == "read_committed"
