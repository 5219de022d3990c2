"""The object store's twin in memory: the same answers and the same exceptions, with faults that a test sets or draws.

tests.twin.object_store_conformance says what both must do; it runs on this twin in the unit tier and on the real store
in tests/integration/runtime. The faults are those that users of other stores meet (cases C14 and C21).
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runtime.object_store import (
    PART_BYTES,
    READ_TIMEOUT_S,
    TRIES,
    Missing,
    ObjectStore,
    OtherSize,
    Source,
    StoreAway,
    StoreRefuses,
)
from tests.twin.clock import TwinClock
from tests.twin.object_parts import TwinParts


@dataclass
class StoreFaults:
    """What is wrong with the store now. Nothing, to begin with."""

    away: bool = False
    """Every request is refused at once, like a port on which nobody listens."""
    hangs: bool = False
    """Every request is taken and never answered."""
    slow_s: float = 0.0
    """Each answer takes so long; an answer slower than the time-out never comes."""
    read_only: bool = False
    full: bool = False
    """Nothing can be written, but what is there can be deleted."""
    busy_rate: float = 0.0
    """This share of requests is answered SlowDown, drawn by the seed."""
    refuses: frozenset[str] = frozenset()
    """Of checksums, batch_deletes, conditional_writes: what is refused as not implemented."""
    ignores_conditions: bool = False
    """If-None-Match is taken and has no effect."""
    cuts: bool = False
    """The last byte of what is read is missing."""
    alters: bool = False
    """The first byte of what is read is another one."""
    endless: bool = False
    """What is read has no end."""
    lists_after_s: float = 0.0
    """A new object is listed so late."""


@dataclass
class _Kept:
    data: bytes
    content_type: str
    since_s: float


@dataclass
class TwinState:
    """What several clients of one store share."""

    objects: dict[str, _Kept] = field(default_factory=dict)
    parts: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    """Of objects in parts that have not ended: key, and parts by number."""
    faults: StoreFaults = field(default_factory=StoreFaults)
    clock: TwinClock = field(default_factory=TwinClock)


class TwinObjectStore(TwinParts, ObjectStore):
    """One bucket in memory. Safe to use from several threads."""

    def __init__(
        self,
        *,
        seed: int = 0,
        state: TwinState | None = None,
        checksums: bool = True,
        read_timeout_s: float = READ_TIMEOUT_S,
        tries: int = TRIES,
    ) -> None:
        """`state`: of another client of the same store. `checksums`: whether requests carry checksum headers."""
        self.bucket = "twin"
        self.deletes_batches = True
        self.state = state or TwinState()
        self.requests: list[tuple[str, str]] = []
        """(operation, key) of each request that reached the store."""
        self._checksums = checksums
        self._read_timeout_s, self._tries = read_timeout_s, tries
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._has_bucket = True

    # -- for tests -------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> StoreFaults:
        return self.state.faults

    @property
    def clock(self) -> TwinClock:
        return self.state.clock

    @property
    def objects(self) -> dict[str, bytes]:
        """Every object's bytes, by key: a copy."""
        with self._lock:
            return {key: kept.data for key, kept in self.state.objects.items()}

    def place(self, key: str, data: bytes) -> None:
        """Put an object there, whatever the faults are."""
        with self._lock:
            self.state.objects[key] = _Kept(data, "", self.clock.now_s())

    def mend(self) -> None:
        """Let nothing be wrong any more."""
        self.state.faults = StoreFaults()

    @contextmanager
    def faulty(self, **faults: object) -> Iterator[None]:
        """With these faults, until the end of the block."""
        self.state.faults = StoreFaults(**faults)  # type: ignore[arg-type] # a test names them
        try:
            yield
        finally:
            self.mend()

    # -- the interface ---------------------------------------------------------------------------------------------

    def ensure_bucket(self) -> None:
        if not self.bucket_exists():
            self._request("CreateBucket", writes=True)
            self._has_bucket = True

    def bucket_exists(self) -> bool:
        self._request("HeadBucket")
        return self._has_bucket

    def put(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_absent: bool = False
    ) -> bool:
        if if_absent and "conditional_writes" in self.faults.refuses:
            raise self._refused(501, "NotImplemented", "PutObject")
        self._request("PutObject", key, writes=True)
        with self._lock:
            if if_absent and key in self.state.objects and not self.faults.ignores_conditions:
                return False
            self._keep(key, bytes(data), content_type)
        return True

    def put_file(
        self, key: str, path: Path, *, content_type: str = "application/octet-stream", if_absent: bool = False
    ) -> bool:
        data = path.read_bytes()
        if len(data) <= PART_BYTES:
            return self.put(key, data, content_type=content_type, if_absent=if_absent)
        if if_absent and self.exists(key):
            return False
        self._put_parts(key, [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)], content_type)
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "application/octet-stream") -> None:
        parts = [_whole_part(source)]
        while len(parts[-1]) == PART_BYTES:
            parts.append(_whole_part(source))
        self._put_parts(key, parts, content_type)

    def get(self, key: str, bytes_max: int) -> bytes:
        self._request("GetObject", key)
        with self._lock:
            if key not in self.state.objects:
                raise Missing(key)
            data = self.state.objects[key].data
        if self.faults.cuts:
            data = data[:-1]
        if self.faults.alters and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        if len(data) > bytes_max or self.faults.endless:
            raise OtherSize(key, f"at most {bytes_max} bytes", "more")
        return data

    def get_file(self, key: str, path: Path, size: int) -> None:
        data = self.get(key, size)
        if len(data) < size:
            raise OtherSize(key, f"{size} bytes", "fewer")
        path.write_bytes(data)

    def exists(self, key: str) -> bool:
        self._request("HeadObject", key)
        return key in self.state.objects

    def size_of(self, key: str) -> int:
        self._request("HeadObject", key)
        with self._lock:
            if key not in self.state.objects:
                raise Missing(key)
            return len(self.state.objects[key].data)

    def sha256_of(self, key: str, bytes_max: int) -> str:
        return hashlib.sha256(self.get(key, bytes_max)).hexdigest()

    def list(self, prefix: str) -> list[str]:
        self._request("ListObjectsV2", prefix)
        listed_since_s = self.clock.now_s() - self.faults.lists_after_s
        with self._lock:
            return sorted(
                key
                for key, kept in self.state.objects.items()
                if key.startswith(prefix) and kept.since_s <= listed_since_s
            )

    def presign(self, key: str, ttl_s: int, filename: str) -> str:
        return f"https://twin.invalid/{self.bucket}/{key}?X-Amz-Expires={ttl_s}&filename={filename}"

    def _delete_batch(self, keys: Sequence[str]) -> None:
        if self.faults.refuses & {"batch_deletes", "checksums"}:  # a batch is never without a checksum
            raise self._refused(400, "MissingContentMD5", "DeleteObjects")
        self._request("DeleteObjects", deletes=True)
        self._forget(keys)

    def _delete_one(self, key: str) -> None:
        self._request("DeleteObject", key, deletes=True)
        self._forget([key])

    # -- the store's side ------------------------------------------------------------------------------------------

    @property
    def _parts(self) -> dict[str, tuple[str, dict[int, bytes]]]:
        return self.state.parts

    def _put_parts(self, key: str, parts: Sequence[bytes], content_type: str) -> None:
        for _ in parts:
            self._request("UploadPart" if len(parts) > 1 else "PutObject", key, writes=True)
        with self._lock:
            self._keep(key, b"".join(parts), content_type)

    def _keep(self, key: str, data: bytes, content_type: str) -> None:
        self.state.objects[key] = _Kept(data, content_type, self.clock.now_s())

    def _forget(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self.state.objects.pop(key, None)

    def _request(self, operation: str, key: str = "", *, writes: bool = False, deletes: bool = False) -> None:
        """Passes when the store does what it is asked; else raises what the real one would."""
        faults = self.faults
        if faults.away:
            raise StoreAway("the object store does not answer (EndpointConnectionError)")
        if faults.hangs or faults.slow_s > self._read_timeout_s:
            self.clock.pass_(self._read_timeout_s * self._tries)
            raise StoreAway("the object store does not answer in time")
        self.clock.pass_(faults.slow_s)
        with self._lock:
            self.requests.append((operation, key))
            is_busy = all(self._random.random() < faults.busy_rate for _ in range(self._tries))
        if is_busy:
            raise StoreAway(f"the object store answered 503 SlowDown to {operation}")
        if self._checksums and "checksums" in faults.refuses and operation in ("PutObject", "UploadPart", "GetObject"):
            raise self._refused(400, "InvalidArgument", operation)
        if faults.read_only and (writes or deletes):
            raise self._refused(403, "AccessDenied", operation)
        if faults.full and writes:
            raise StoreAway(f"the object store answered 507 InsufficientCapacity to {operation}")

    def _refused(self, status: int, code: str, operation: str) -> StoreRefuses:
        return StoreRefuses(f"the object store answered {status} {code} to {operation}", status=status, code=code)


def _whole_part(source: Source) -> bytes:
    """The next PART_BYTES of the source, or what is left of it."""
    part = b""
    while len(part) < PART_BYTES and (more := source.read(PART_BYTES - len(part))):
        part += more
    return part
