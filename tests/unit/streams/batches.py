"""Record batches as a broker keeps them, byte by byte: also such as our own producer would never write."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

COMMIT, ABORT = 1, 0
_CRC_AT, _ATTRIBUTES_AT, _LAST_AT = 17, 21, 23
_CONTROL = 0x20
_LOG_APPEND_TIME = 0x08

Given = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Key, value, headers."""


class AnyName(str):
    """A header's name that is these bytes."""

    __slots__ = ("raw",)

    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> AnyName:
        name = cls("x")
        name.raw = raw
        return name

    def encode(self, *_: object) -> bytes:
        return self.raw


def batch(
    base: int,
    records: Sequence[Given],
    *,
    producer: int = -1,
    codec: int = 0,
    control: bool = False,
    places: Sequence[int] = (),
) -> bytes:
    """One batch at this offset; of a transaction when it has a `producer`. `places`: where in the batch each record
    says that it lies; empty: where it does."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, producer >= 0, producer, 0, 0, 10_000_000)
    for number, (key, value, headers) in zip(places or range(len(records)), records, strict=True):
        assert builder.append(number, 1_700_000_000_000, key, value, list(headers)) is not None
    raw = bytearray(builder.build())
    raw[:8] = base.to_bytes(8, "big")
    struct.pack_into(">i", raw, _LAST_AT, len(records) - 1)
    (attributes,) = struct.unpack_from(">h", raw, _ATTRIBUTES_AT)
    struct.pack_into(">h", raw, _ATTRIBUTES_AT, attributes | _LOG_APPEND_TIME | (_CONTROL if control else 0))
    return sealed(raw)


def values(base: int, *texts: bytes, producer: int = -1) -> bytes:
    """A batch of records with these values."""
    return batch(base, [(None, text, ()) for text in texts], producer=producer)


def marker(base: int, producer: int, kind: int) -> bytes:
    """The end of a producer's transaction."""
    return batch(base, [(struct.pack(">hh", 0, kind), b"\0" * 6, ())], producer=producer, control=True)


def damaged(raw: bytes, at: int) -> bytes:
    """With other bytes from `at` on, and the right sum all the same."""
    return sealed(bytearray(raw[:at] + b"\xff" * (len(raw) - at)))


def sealed(raw: bytearray) -> bytes:
    """With the sum that belongs to it."""
    struct.pack_into(">I", raw, _CRC_AT, calc_crc32c(bytes(raw[_ATTRIBUTES_AT:])))
    return bytes(raw)
