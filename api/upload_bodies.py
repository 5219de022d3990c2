"""What goes over HTTP about uploads: see api.bodies."""

from __future__ import annotations

import msgspec

from registry.uploads import Upload


class UploadRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Bring a file."""

    bytes: int
    """Its length. So many bytes have to arrive, and no others."""
    sha256: str = ""
    """Of its bytes, in 64 hexadecimal digits. Empty: nobody compares the bytes that arrive."""


class UploadBody(msgspec.Struct):
    upload: str
    name: str
    """What an input of a job says to name this upload: `upload:ID`."""
    state: str
    """pending: its bytes are awaited. ready: a job may name it. failed: its bytes are others than was said. deleted:
    by you, or its time was over."""
    bytes: int
    sha256: str
    """As you said, or empty."""
    reason: str
    """Why it failed or was deleted."""
    created_ms: int
    expires_ms: int
    """Then it is deleted. A job that names it moves this time."""

    @classmethod
    def of(cls, row: Upload) -> UploadBody:
        return cls(
            row.upload,
            f"upload:{row.upload}",
            row.state,
            row.bytes,
            row.sha256,
            row.reason,
            row.created_ms,
            row.expires_ms,
        )


class UploadPiece(msgspec.Struct):
    """A part of the file that one request sends: the whole, or one of several in any order. Sent again, it replaces
    what arrived of it."""

    part: int
    """From 1 on."""
    offset: int
    """Of its first byte in the file."""
    bytes: int
    arrived: bool
    data: str
    """PUT the bytes to this path of the API, with your key."""
    url: str
    """Or PUT the bytes to this URL of the object store, with `headers` and without your key; it works for an hour, for
    whoever has it. Empty: this installation's store takes nothing from users."""
    headers: dict[str, str]


class UploadDetail(msgspec.Struct):
    upload: UploadBody
    pieces: list[UploadPiece]
    """What has to arrive; empty once the upload is not pending."""


class UploadList(msgspec.Struct):
    uploads: list[UploadBody]
    """Newest first."""
    cursor: str
    """For the next page; empty: this page is the last."""
