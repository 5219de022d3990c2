"""registry.uploads in memory: the same rows and answers, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from registry import uploads
from registry.uploads import (
    ROWS_PER_PLACE,
    STRAY_S,
    SWEPT_AT_ONCE,
    QuotaSpent,
    Upload,
    UploadQuota,
    UploadsPage,
    UploadState,
)


class TwinRow(NamedTuple):
    upload: Upload
    ended_ms: int
    """0: it has not ended."""
    is_emptied: bool


class TwinUploads:
    """The table. Its methods are those of the module; what they do in SQL is tested against Postgres."""

    def __init__(self) -> None:
        self.now_ms = 1_790_000_000_000
        self.table: dict[str, TwinRow] = {}

    @property
    def rows(self) -> dict[str, Upload]:
        return {upload: row.upload for upload, row in self.table.items()}

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """For ServedApi."""
        return {
            name: getattr(self, name)
            for name in ("create", "note_parts", "of", "listed", "make_ready", "end", "note_emptied")
        }

    # -- the module's functions, without their connection ----------------------------------------------------------

    def create(self, tenant: str, bytes: int, sha256: str, kept_s: int, quota: UploadQuota) -> Upload:
        own = [row for row in self.table.values() if row.upload.tenant == tenant]
        used = [row.upload for row in own if not row.ended_ms]
        is_spent = len(used) >= quota.uploads or len(own) >= quota.uploads * ROWS_PER_PLACE
        if is_spent or sum(row.bytes for row in used) + bytes > quota.bytes:
            raise QuotaSpent("expected less, found more; delete some")
        return self._keep(
            Upload(
                uploads.draw(),
                tenant,
                "pending",
                bytes,
                sha256,
                bytes,
                "",
                "",
                self.now_ms,
                self.now_ms + kept_s * 1000,
            )
        )

    def note_parts(self, tenant: str, upload: str, parts: str, part_bytes: int) -> Upload:
        return self._keep(msgspec.structs.replace(self._own(tenant, upload), parts=parts, part_bytes=part_bytes))

    def of(self, tenant: str, upload: str) -> Upload | None:
        row = self.table.get(upload)
        return row.upload if row and row.upload.tenant == tenant else None

    def listed(self, tenant: str, limit: int, cursor: str) -> UploadsPage:
        own = sorted((row for row in self.rows.values() if row.tenant == tenant), key=lambda row: row.upload)
        own = [row for row in own if row.upload > cursor]
        return UploadsPage(own[:limit], own[limit - 1].upload if len(own) > limit else "")

    def make_ready(self, tenant: str, upload: str, sha256: str, kept_s: int) -> Upload | None:
        row = self.of(tenant, upload)
        if row is None or row.state != "pending":
            return None
        expires_ms = self.now_ms + kept_s * 1000
        return self._keep(msgspec.structs.replace(row, state="ready", sha256=sha256, expires_ms=expires_ms))

    def end(self, tenant: str, upload: str, state: UploadState, reason: str) -> Upload | None:
        row = self.of(tenant, upload)
        if row is None or self.table[upload].ended_ms:
            return None
        ended = msgspec.structs.replace(row, state=state.value, reason=reason)
        self.table[upload] = TwinRow(ended, self.now_ms, False)
        return ended

    def name(self, tenant: str, named: Sequence[str], kept_s: int) -> dict[str, int]:
        found = [self.rows[one] for one in named if one in self.rows]
        ready = [row for row in found if row.tenant == tenant and row.state == "ready" and row.expires_ms > self.now_ms]
        for row in ready:
            self._keep(msgspec.structs.replace(row, expires_ms=max(row.expires_ms, self.now_ms + kept_s * 1000)))
        return {row.upload: row.bytes for row in ready}

    def states(self, tenant: str, named: Sequence[str]) -> dict[str, str]:
        return {one: self.rows[one].state for one in named if one in self.rows and self.rows[one].tenant == tenant}

    def expire(self) -> int:
        over = [row for row in self.rows.values() if row.expires_ms <= self.now_ms and not self._ended(row)]
        for row in over[:SWEPT_AT_ONCE]:
            self.end(row.tenant, row.upload, UploadState.DELETED, "expired")
        return len(over[:SWEPT_AT_ONCE])

    def to_empty(self) -> list[Upload]:
        return [row.upload for row in self.table.values() if row.ended_ms and not row.is_emptied][:SWEPT_AT_ONCE]

    def gone(self) -> list[Upload]:
        return [
            row.upload
            for row in self.table.values()
            if row.is_emptied
            and row.ended_ms <= self.now_ms - STRAY_S * 1000
            and (row.upload.state == "deleted" or row.upload.expires_ms <= self.now_ms)
        ][:SWEPT_AT_ONCE]

    def note_emptied(self, upload: str) -> None:
        if upload in self.table:
            self.table[upload] = self.table[upload]._replace(is_emptied=True)

    def forget(self, upload: str) -> None:
        del self.table[upload]

    # -- an engine for operations.upload_sweep ---------------------------------------------------------------------

    @contextmanager
    def begin(self) -> Any:
        yield self

    connect = begin

    def _own(self, tenant: str, upload: str) -> Upload:
        row = self.of(tenant, upload)
        assert row is not None
        return row

    def _ended(self, row: Upload) -> int:
        return self.table[row.upload].ended_ms

    def _keep(self, row: Upload) -> Upload:
        self.table[row.upload] = TwinRow(row, 0, False)
        return row
