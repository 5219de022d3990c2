"""Packed batches are read as if they were not packed, and never take more memory than the bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import TopicPartition

from streams.hosting import unpacking
from streams.hosting.fetching import FetchedBatches
from streams.hosting.unpacking import UNPACKED_BYTES_MAX, Unpackable, unpacked
from tests.unit.streams.batches import batch, sealed

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PLAIN = batch(7, [(b"k", b"v" * 5_000, [("a", b"b")]), (None, b"", []), (b"k", None, [("c", None)])])


def streamed(data: bytes, step: int = 100) -> bytes:
    """Packed as a sender packs who does not know the size beforehand."""
    compressor = cramjam.zstd.Compressor()
    for at in range(0, len(data), step):
        compressor.compress(data[at : at + step])
    return bytes(compressor.finish())


PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "zstd": (ZSTD, lambda data: bytes(cramjam.zstd.compress(data))),
    "zstd of a sender who streams": (ZSTD, streamed),
    "gzip": (GZIP, lambda data: gzip.compress(data, 1)),
}


def packed(records: bytes, codec: int) -> bytes:
    raw = bytearray(PLAIN[:61] + records)
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[22] |= codec
    return sealed(raw)


def read(raw: bytes) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    fetch = FetchedBatches(raw)
    fetch.partition = TopicPartition("ledger", 0)
    found = fetch.next_batch()
    assert found is not None
    assert found.validate_crc()
    return [(r.offset, r.key, r.value, list(r.headers)) for r in found]


@pytest.mark.parametrize("how", PACKERS)
def test_packed_records_are_read_as_if_they_were_not(how: str) -> None:
    codec, pack = PACKERS[how]
    raw = packed(pack(PLAIN[61:]), codec)
    assert len(raw) < len(PLAIN) / 20
    assert read(raw) == read(PLAIN)
    assert len(read(raw)) == 3


def test_ours_reads_what_aiokafka_reads() -> None:
    raw = packed(bytes(cramjam.zstd.compress(PLAIN[61:])), ZSTD)
    assert [r.value for r in DefaultRecordBatch(raw)] == [value for _, _, value, _ in read(raw)]


@pytest.mark.parametrize("how", PACKERS)
def test_what_would_unpack_to_more_than_the_bound_takes_no_more_than_the_bound(how: str) -> None:
    codec, pack = PACKERS[how]
    zeros = bytes(2 * UNPACKED_BYTES_MAX)
    bomb = packed(pack(zeros) if pack is not streamed else streamed(zeros, UNPACKED_BYTES_MAX), codec)
    assert len(bomb) < 500_000
    tracemalloc.start()
    try:
        with pytest.raises(Unpackable, match=f"expected at most {UNPACKED_BYTES_MAX} bytes"):
            unpacked(memoryview(bomb))
        assert tracemalloc.get_traced_memory()[1] < 3 * UNPACKED_BYTES_MAX
    finally:
        tracemalloc.stop()
    assert [value for _, _, value, _ in read(bomb)] == [b""], "one record without a value, which every door refuses"


@pytest.mark.parametrize("codec", [SNAPPY, LZ4, 5, 6, 7])
def test_what_we_do_not_unpack_is_one_record_without_a_value(codec: int) -> None:
    raw = packed(bytes(cramjam.zstd.compress(PLAIN[61:])), codec)
    with pytest.raises(Unpackable, match=f"found codec {codec}"):
        unpacked(memoryview(raw))
    assert [(offset, value) for offset, _, value, _ in read(raw)] == [(7, b"")]


DAMAGE = {
    "nothing": b"",
    "one byte": b"x",
    "zeros": bytes(100),
    "zlib": zlib.compress(PLAIN[61:]),
    "cut": gzip.compress(PLAIN[61:])[:-20],
}


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_said_as_such(codec: int, how: str) -> None:
    with pytest.raises(Unpackable, match="expected "):
        unpacked(memoryview(packed(DAMAGE[how], codec)))


def test_as_much_as_the_bound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", len(PLAIN) - 61)
    for codec, pack in PACKERS.values():
        assert bytes(unpacked(memoryview(packed(pack(PLAIN[61:]), codec)))[61:]) == PLAIN[61:]
