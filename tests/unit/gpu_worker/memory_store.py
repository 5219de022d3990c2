"""The object store that a node's tests give it."""

from __future__ import annotations

from runtime.object_store import Source, StoreAway, StoreRefuses

AWAY: list[Exception] = [ConnectionError("away"), TimeoutError("away"), StoreAway("away"), StoreRefuses("read-only")]
"""What a store raises while it is away, hangs, or does not do what it was asked."""

PART_BYTES = 64 * 1024


class MemoryStore:
    """Objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self.objects[key] = data
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "") -> None:
        parts = []
        while part := source.read(PART_BYTES):
            parts.append(part)
        self.objects[key] = b"".join(parts)

    def delete_prefix(self, prefix: str) -> int:
        for key in [key for key in self.objects if key.startswith(prefix)]:
            del self.objects[key]
        return 0
