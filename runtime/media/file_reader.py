"""Reading places of a file, never more than a header may cost."""

from __future__ import annotations

from collections.abc import Callable

from runtime.media.refused import MediaRefused

ReadAt = Callable[[int, int], bytes]
"""Offset and length to bytes; fewer at the end of the file. `os.pread` of a descriptor is one."""

HEADER_BYTES_MAX = 1024 * 1024
"""Read of one file, all places together: headers are read, tables of samples are not."""
PARTS_MAX = 20_000
"""Boxes, elements, chunks or markers of one file: half a minute at 60 frames a second, one frame a fragment, has
13,000. Each costs about 10 µs."""


class FileReader:
    """One file, `size` bytes long, with the budget that is left for it."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self.size = size
        self._read_at = read_at
        self._bytes_left = HEADER_BYTES_MAX
        self._parts_left = PARTS_MAX

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. MediaRefused."""
        self._bytes_left -= length
        if self._bytes_left < 0:
            raise MediaRefused(f"its header is longer than the {HEADER_BYTES_MAX} bytes that are read of one")
        if offset + length > self.size:
            raise MediaRefused(
                f"the file ends after {self.size} bytes, in the middle of its header: send it again whole"
            )
        found = self._read_at(offset, length)
        if len(found) != length:
            raise MediaRefused(f"the file ends before the {self.size} bytes that it should have: send it again whole")
        return found

    def number(self, offset: int, length: int) -> int:
        """An unsigned one, most significant byte first. MediaRefused."""
        return int.from_bytes(self.read(offset, length), "big")

    def count_part(self) -> None:
        """One more box or element was looked at. MediaRefused."""
        self._parts_left -= 1
        if self._parts_left < 0:
            raise MediaRefused(f"the file has more than {PARTS_MAX} boxes or parts: write it anew with fewer")
