"""What lies in the files of a broker's topics: words are looked for in unpacked batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from streams.hosting.unpacking import Unpackable, unpacked

_LENGTH, _OVERHEAD = slice(8, 12), 12


def batches_in(path: Path) -> Iterator[memoryview]:
    """The batches of a segment, as the broker keeps them. FileNotFoundError."""
    data, at = memoryview(path.read_bytes()), 0
    while (size := int.from_bytes(data[at:][_LENGTH], "big")) > 0:
        yield data[at : at + _OVERHEAD + size]
        at += _OVERHEAD + size


def words_in(path: Path) -> bytes:
    """Everything that a file of a topic holds; of a segment, as it was before it was packed. FileNotFoundError."""
    whole = path.read_bytes()
    if ".log" not in path.name:
        return whole
    found = [whole]
    for batch in batches_in(path):
        with suppress(Unpackable):  # the broker is writing it just now
            found.append(bytes(unpacked(batch)))
    return b"".join(found)
