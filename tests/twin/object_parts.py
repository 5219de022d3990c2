"""The twin's side of runtime.object_parts: parts in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping

from runtime.object_parts import ArrivedPart, ObjectParts
from runtime.object_store_errors import Missing


class TwinParts(ObjectParts):
    _lock: threading.RLock

    def begin_parts(self, key: str) -> str:
        self._request("CreateMultipartUpload", key, writes=True)
        begun = uuid.uuid4().hex
        with self._lock:
            self._parts[begun] = (key, {})
        return begun

    def put_part(self, key: str, parts: str, number: int, data: bytes) -> None:
        self._request("UploadPart", key, writes=True)
        with self._lock:
            self._of(key, parts)[number] = bytes(data)

    def arrived_parts(self, key: str, parts: str) -> dict[int, ArrivedPart]:
        self._request("ListParts", key)
        with self._lock:
            return {
                number: ArrivedPart(len(data), f"{number}-{hash(data)}")
                for number, data in self._of(key, parts).items()
            }

    def join_parts(self, key: str, parts: str, arrived: Mapping[int, ArrivedPart]) -> None:
        self._request("CompleteMultipartUpload", key, writes=True)
        with self._lock:
            kept = self._of(key, parts)
            self._keep(key, b"".join(kept[number] for number in sorted(arrived)), "")
            del self._parts[parts]

    def abort_parts(self, key: str, parts: str) -> None:
        self._request("AbortMultipartUpload", key, deletes=True)
        with self._lock:
            self._parts.pop(parts, None)

    def begun_parts(self, prefix: str) -> list[tuple[str, str]]:
        self._request("ListMultipartUploads", prefix)
        with self._lock:
            return sorted((key, begun) for begun, (key, _) in self._parts.items() if key.startswith(prefix))

    def presign_put(self, key: str, size: int, ttl_s: int) -> str:
        return f"https://twin.invalid/{self.bucket}/{key}?X-Amz-Expires={ttl_s}&bytes={size}"

    def presign_part(self, key: str, parts: str, number: int, size: int, ttl_s: int) -> str:
        return f"{self.presign_put(key, size, ttl_s)}&partNumber={number}&uploadId={parts}"

    def _of(self, key: str, parts: str) -> dict[int, bytes]:
        begun: tuple[str, dict[int, bytes]] = self._parts.get(parts, ("", {}))
        if begun[0] != key:
            raise Missing(key)
        return begun[1]

    @property
    def _parts(self) -> dict[str, tuple[str, dict[int, bytes]]]:
        raise NotImplementedError

    def _request(self, operation: str, key: str = "", *, writes: bool = False, deletes: bool = False) -> None:
        raise NotImplementedError

    def _keep(self, key: str, data: bytes, content_type: str) -> None:
        raise NotImplementedError
