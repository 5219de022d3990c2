"""The object store that a node's tests give it."""

from __future__ import annotations

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from runtime.object_store import Source

AWAY: list[Exception] = [
    ConnectionError("away"),
    TimeoutError("away"),
    EndpointConnectionError(endpoint_url="u"),
    ConnectTimeoutError(endpoint_url="u"),
    ReadTimeoutError(endpoint_url="u"),
    ProxyConnectionError(proxy_url="u"),
    SSLError(endpoint_url="u", error="e"),
    ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"),
]
"""What boto3 raises while a store is away, hangs, or does not do what it was asked."""

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
