"""Unpacking the batches of a fetch within a bound: aiokafka's own way takes as much memory as the sender says.

A broker keeps what is written to `submissions` and `jobs` unpacked (contract.topics), so packed batches come from
`ledger` only, where schedulers alone may write. The bound does not depend on either.
"""

from __future__ import annotations

import zlib

import cramjam

from contract.bounds import MESSAGE_BYTES_MAX

UNPACKED_BYTES_MAX = 8 * MESSAGE_BYTES_MAX
"""Of the records of one batch. Our own producers put at most one record into a batch that is larger than 60 KB."""

PADDING = bytes(16)
"""Behind what aiokafka's parser in C reads: it reads a number that begins in the last byte beyond the end."""

_LENGTH, _ATTRIBUTES, _RECORDS_AT, _OVERHEAD = slice(8, 12), slice(21, 23), 61, 12
"""Where these lie in a batch of version 2, where its records begin, and what its length does not count."""
_CODEC, _GZIP, _ZSTD = 0x07, 1, 4
_GROWTH = 16
"""A buffer for what zstd unpacks has so many times the packed size at first, and so many times more when that is too
small."""


class Unpackable(ValueError):
    """The batch is packed in a way that we do not read, is damaged, or holds more than the bound."""


def codec_of(batch: memoryview) -> int:
    """0: the batch is not packed."""
    return int.from_bytes(batch[_ATTRIBUTES], "big") & _CODEC


def unpacked(batch: memoryview) -> memoryview:
    """The batch as if its sender had not packed it. Unpackable."""
    codec = codec_of(batch)
    if not codec:
        return batch
    packed = bytes(batch[_RECORDS_AT:])
    if codec == _ZSTD:
        records = _from_zstd(packed)
    elif codec == _GZIP:
        records = _from_gzip(packed)
    else:
        raise Unpackable(f"expected records packed with zstd or gzip, or not at all, found codec {codec}")
    size = _RECORDS_AT + len(records)
    whole = bytearray(bytes(batch[:_RECORDS_AT]) + records + PADDING)
    whole[_LENGTH] = (size - _OVERHEAD).to_bytes(4, "big")
    whole[_ATTRIBUTES] = (int.from_bytes(batch[_ATTRIBUTES], "big") & ~_CODEC).to_bytes(2, "big")
    return memoryview(whole)[:size]


def _from_zstd(packed: bytes) -> bytes:
    size = min(UNPACKED_BYTES_MAX, _GROWTH * len(packed) + 1024)
    while True:
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: cramjam.zstd.decompress_into(packed, buffer)])
        except cramjam.DecompressionError as error:  # too small a buffer, or damage: the library does not say which
            if size == UNPACKED_BYTES_MAX:
                raise Unpackable(f"expected at most {size} bytes packed with zstd, found other bytes") from error
            size = min(UNPACKED_BYTES_MAX, _GROWTH * size)


def _from_gzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        records = unpacker.decompress(packed, UNPACKED_BYTES_MAX)
    except zlib.error as error:
        raise Unpackable("expected records packed with gzip, found other bytes") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Unpackable(f"expected at most {UNPACKED_BYTES_MAX} bytes packed with gzip, whole, found others")
    return records
