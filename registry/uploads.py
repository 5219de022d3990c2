"""Uploads as the database knows them: media that a tenant brings, and what became of them.

Theory of operation. An upload is pending until its bytes were looked at, then ready; what turned out to be other than
was said is failed. A tenant deletes an upload, or it expires: both are deleted. Ready and pending ones count for the
tenant's quota. The objects of what ended are removed at once if the store is there (`emptied`), and once more before
the row goes, because links to write outlive the upload by LINK_S at most (operations.upload_sweep).

Every statement that a tenant causes names the tenant: to any other the upload is not there (invariant I13).
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, text

from contract.media import UPLOAD

LINK_S = 3_600
"""How long a link to write works."""
STRAY_S = 2 * LINK_S
"""After its end an upload's row stays so long: until no link works, and what was sent by one at the last moment has
arrived."""
ROWS_PER_PLACE = 10
"""A tenant may have so many rows for each upload of its quota: those that ended count here too, else whoever creates
and deletes without rest would fill the table."""
PAGE_MAX = 200
SWEPT_AT_ONCE = 100


class UploadState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


class Upload(msgspec.Struct, frozen=True):
    """One row."""

    upload: str
    tenant: str
    state: str
    bytes: int
    """As the client said; of a ready one, as the store has them."""
    sha256: str
    """As the client said, hexadecimal; of a ready one, as they were read. Empty: the client said none."""
    part_bytes: int
    """Of each part but the last. `bytes` or more: the upload is one piece."""
    parts: str
    """The id of the parts in the object store; empty for one piece."""
    reason: str
    """Why it failed, or was deleted by somebody else than its tenant."""
    created_ms: int
    expires_ms: int


class UploadQuota(NamedTuple):
    """Of one tenant: pending and ready uploads together."""

    uploads: int
    bytes: int


class UploadsPage(NamedTuple):
    uploads: list[Upload]
    cursor: str
    """For the next page; empty when this is the last."""


class QuotaSpent(Exception):
    """The tenant has as many uploads as it may. The message says what was expected, what was found and what to do."""


class UploadCursorInvalid(ValueError):
    """A cursor that no page ever had."""


_MS = "(extract(epoch FROM {}) * 1000)::bigint AS {}"
_COLUMNS = (
    "upload, tenant, state, bytes, sha256, part_bytes, parts, reason, "
    f"{_MS.format('created_at', 'created_ms')}, {_MS.format('expires_at', 'expires_ms')}"
)
_KEPT = "clock_timestamp() + make_interval(secs => :kept_s)"
_ENDED = "state = :state, reason = :reason, ended_at = clock_timestamp(), emptied = false"
_OWN = "upload = :upload AND tenant = :tenant"
_CURSOR = re.compile(r"([0-9]{1,19})-(u-[0-9a-f]{32})")


def draw() -> str:
    """The id of a new upload. Nobody can guess it."""
    return f"u-{secrets.token_hex(16)}"


def is_upload(text: str) -> bool:
    return UPLOAD.fullmatch(text) is not None


def create(connection: Connection, tenant: str, bytes: int, sha256: str, kept_s: int, quota: UploadQuota) -> Upload:
    """The row of a new upload, which is pending and comes in one piece. QuotaSpent when the tenant may have no further
    one of so many bytes. Who asks at the same moment is not counted, so a tenant may have a few more: as many as its
    threads in an API process."""
    _require_place(connection, tenant, bytes, quota)
    return _one(
        connection,
        "INSERT INTO registry.uploads (upload, tenant, state, bytes, sha256, part_bytes, parts, expires_at)"
        f" VALUES (:upload, :tenant, 'pending', :bytes, :sha256, :bytes, '', {_KEPT}) RETURNING {_COLUMNS}",
        {"upload": draw(), "tenant": tenant, "bytes": bytes, "sha256": sha256, "kept_s": kept_s},
    )


def note_parts(connection: Connection, tenant: str, upload: str, parts: str, part_bytes: int) -> Upload:
    """The upload, whose bytes come in these parts."""
    return _one(
        connection,
        f"UPDATE registry.uploads SET parts = :parts, part_bytes = :part_bytes WHERE {_OWN} RETURNING {_COLUMNS}",
        {"upload": upload, "tenant": tenant, "parts": parts, "part_bytes": part_bytes},
    )


def _require_place(connection: Connection, tenant: str, bytes: int, quota: UploadQuota) -> None:
    used = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE ended_at IS NULL) AS uploads,"
            " coalesce(sum(bytes) FILTER (WHERE ended_at IS NULL), 0)::bigint AS bytes, count(*) AS all_rows"
            " FROM registry.uploads WHERE tenant = :tenant"
        ),
        {"tenant": tenant},
    ).one()
    todo = "delete some (`headrace uploads delete`), or wait until they expire"
    if used.uploads >= quota.uploads:
        raise QuotaSpent(
            f"expected at most {quota.uploads} uploads of yours that are pending or ready, found {used.uploads}; {todo}"
        )
    if used.bytes + bytes > quota.bytes:
        raise QuotaSpent(
            f"expected at most {quota.bytes} bytes in uploads of yours that are pending or ready, found {used.bytes}"
            f" and these {bytes}; {todo}"
        )
    if used.all_rows >= quota.uploads * ROWS_PER_PLACE:
        raise QuotaSpent(
            f"expected at most {quota.uploads * ROWS_PER_PLACE} uploads of yours in {STRAY_S // 3600} h, those that you"
            " deleted included, found as many; wait an hour"
        )


def of(connection: Connection, tenant: str, upload: str) -> Upload | None:
    """The upload; None when the tenant has none with this id."""
    if not is_upload(upload):
        return None
    return _one_or_none(
        connection,
        f"SELECT {_COLUMNS} FROM registry.uploads WHERE {_OWN}",
        {"upload": upload, "tenant": tenant},
    )


def listed(connection: Connection, tenant: str, limit: int, cursor: str) -> UploadsPage:
    """The tenant's uploads, newest first. UploadCursorInvalid."""
    after = ""
    values: dict[str, Any] = {"tenant": tenant, "limit": limit + 1}
    if cursor:
        values |= _read_cursor(cursor)
        after = " AND (created_at, upload) < (to_timestamp(:us / 1000000.0), :upload)"
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS}, (extract(epoch FROM created_at) * 1000000)::bigint AS created_us"
            f" FROM registry.uploads WHERE tenant = :tenant{after} ORDER BY created_at DESC, upload DESC LIMIT :limit"
        ),
        values,
    ).all()
    found = [Upload(*row[:-1]) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return UploadsPage(found, "" if last is None else _cursor(last.created_us, last.upload))


def make_ready(connection: Connection, tenant: str, upload: str, sha256: str, kept_s: int) -> Upload | None:
    """The upload, which is ready now; None when it was not pending any more."""
    return _one_or_none(
        connection,
        f"UPDATE registry.uploads SET state = 'ready', sha256 = :sha256, expires_at = {_KEPT}"
        f" WHERE {_OWN} AND state = 'pending' RETURNING {_COLUMNS}",
        {"upload": upload, "tenant": tenant, "sha256": sha256, "kept_s": kept_s},
    )


def end(connection: Connection, tenant: str, upload: str, state: UploadState, reason: str) -> Upload | None:
    """The upload, which failed or is deleted now; None when it was so before, or the tenant has none with this id."""
    return _one_or_none(
        connection,
        f"UPDATE registry.uploads SET {_ENDED} WHERE {_OWN} AND ended_at IS NULL RETURNING {_COLUMNS}",
        {"upload": upload, "tenant": tenant, "state": state.value, "reason": reason},
    )


def name(connection: Connection, tenant: str, uploads: Sequence[str], kept_s: int) -> dict[str, int]:
    """Those of these uploads that are the tenant's and ready, with their bytes. They are kept as if they were ready
    since now: a job that names them may have to wait."""
    rows = connection.execute(
        text(
            f"UPDATE registry.uploads SET expires_at = greatest(expires_at, {_KEPT})"
            " WHERE upload = ANY(:uploads) AND tenant = :tenant AND state = 'ready'"
            " AND expires_at > clock_timestamp() RETURNING upload, bytes"
        ),
        {"uploads": sorted(set(uploads)), "tenant": tenant, "kept_s": kept_s},
    )
    return {row.upload: row.bytes for row in rows}


def states(connection: Connection, tenant: str, uploads: Sequence[str]) -> dict[str, str]:
    """The state of each of these uploads that the tenant has."""
    rows = connection.execute(
        text("SELECT upload, state FROM registry.uploads WHERE upload = ANY(:uploads) AND tenant = :tenant"),
        {"uploads": sorted(set(uploads)), "tenant": tenant},
    ).all()
    return {row.upload: row.state for row in rows}


# -- what a sweep asks -------------------------------------------------------------------------------------------------


def expire(connection: Connection) -> int:
    """Delete uploads whose time is over, some at once. Two sweeps at a time delete different ones."""
    return connection.execute(
        text(
            f"UPDATE registry.uploads SET {_ENDED} WHERE upload IN (SELECT upload FROM registry.uploads"
            " WHERE ended_at IS NULL AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT :limit"
            " FOR UPDATE SKIP LOCKED)"
        ),
        {"state": UploadState.DELETED.value, "reason": "expired", "limit": SWEPT_AT_ONCE},
    ).rowcount


def to_empty(connection: Connection) -> list[Upload]:
    """Uploads that ended and whose objects may still be there, some at once, those that ended first before others."""
    return _all(connection, "NOT emptied")


def gone(connection: Connection) -> list[Upload]:
    """Uploads that ended so long ago that nobody can write there any more, some at once. A failed one is shown until
    its time is over."""
    return _all(
        connection,
        "emptied AND ended_at <= clock_timestamp() - make_interval(secs => :stray_s)"
        " AND (state = 'deleted' OR expires_at <= clock_timestamp())",
    )


def note_emptied(connection: Connection, upload: str) -> None:
    connection.execute(
        text("UPDATE registry.uploads SET emptied = true WHERE upload = :upload AND ended_at IS NOT NULL"),
        {"upload": upload},
    )


def forget(connection: Connection, upload: str) -> None:
    connection.execute(
        text("DELETE FROM registry.uploads WHERE upload = :upload AND emptied AND ended_at IS NOT NULL"),
        {"upload": upload},
    )


def _all(connection: Connection, which: str) -> list[Upload]:
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM registry.uploads WHERE ended_at IS NOT NULL AND {which}"
            " ORDER BY ended_at LIMIT :limit"
        ),
        {"stray_s": STRAY_S, "limit": SWEPT_AT_ONCE},
    ).all()
    return [Upload(*row) for row in rows]


def _one(connection: Connection, sql: str, values: dict[str, Any]) -> Upload:
    return Upload(*connection.execute(text(sql), values).one())


def _one_or_none(connection: Connection, sql: str, values: dict[str, Any]) -> Upload | None:
    row = connection.execute(text(sql), values).one_or_none()
    return None if row is None else Upload(*row)


def _cursor(created_us: int, upload: str) -> str:
    return base64.urlsafe_b64encode(f"{created_us}-{upload}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> dict[str, Any]:
    try:
        said = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        said = ""
    read = _CURSOR.fullmatch(said)
    if read is None or int(read[1]) >= 2**62:
        raise UploadCursorInvalid("expected the `cursor` of an earlier page; leave it out to begin with the newest one")
    return {"us": int(read[1]), "upload": read[2]}
