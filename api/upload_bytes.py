"""The bytes of an upload: which pieces it has, how they get into the object store, and what `complete` finds there.

Everything here asks the object store alone, and runs in a thread of the API.
"""

from __future__ import annotations

from typing import NamedTuple

from api.upload_bodies import UploadPiece
from contract.codec import encode
from contract.prepared import UPLOAD_DATA, UPLOAD_READY, UploadReady, upload_prefix
from registry.uploads import LINK_S, Upload
from runtime.object_parts import ONCE
from runtime.object_store import Missing, ObjectStore

WHOLE_BYTES_MAX = 64 * 1024 * 1024
"""A larger file comes in parts, so that an interruption costs one of them."""
PART_BYTES = 8 * 1024 * 1024
"""Of each part but the last. S3 takes none below 5 MiB. So much of a proxied request is in memory."""


class NotArrived(Exception):
    """Pieces are missing."""

    def __init__(self, parts: list[int]) -> None:
        super().__init__()
        self.parts = parts


class OtherBytes(Exception):
    """What arrived is not what was said. The message says what was expected and what was found."""


class PiecePlace(NamedTuple):
    """A piece in the file."""

    part: int
    offset: int
    bytes: int


def key_of(upload: Upload) -> str:
    return upload_prefix(upload.tenant, upload.upload) + UPLOAD_DATA


def places_of(upload: Upload) -> list[PiecePlace]:
    return [
        PiecePlace(number, offset, min(upload.part_bytes, upload.bytes - offset))
        for number, offset in enumerate(range(0, upload.bytes, upload.part_bytes), 1)
    ]


def pieces_of(store: ObjectStore, upload: Upload, *, links: bool) -> list[UploadPiece]:
    """StoreFault."""
    arrived = arrived_of(store, upload)
    return [
        UploadPiece(
            place.part,
            place.offset,
            place.bytes,
            place.part in arrived,
            f"/v1/uploads/{upload.upload}/data?part={place.part}",
            _link(store, upload, place) if links else "",
            {"Content-Length": str(place.bytes)} | ({} if upload.parts else ONCE) if links else {},
        )
        for place in places_of(upload)
    ]


def arrived_of(store: ObjectStore, upload: Upload) -> frozenset[int]:
    """Which pieces are there whole. StoreFault."""
    key = key_of(upload)
    try:
        store.size_of(key)
    except Missing:
        if not upload.parts:
            return frozenset()
    else:
        return frozenset(place.part for place in places_of(upload))
    try:
        found = store.arrived_parts(key, upload.parts)
    except Missing:
        return frozenset()
    whole = {place.part: place.bytes for place in places_of(upload)}
    return frozenset(number for number, part in found.items() if whole.get(number) == part.bytes)


def joined(store: ObjectStore, upload: Upload) -> UploadReady:
    """What the store has of the upload, as one object, looked at, and written beside it as `ready`. NotArrived,
    OtherBytes, StoreFault. It may be done again, also by two at once."""
    key = key_of(upload)
    size = _size_of(store, key)
    if size is None:
        if upload.parts:
            _join(store, upload)
        size = _size_of(store, key)
    if size is None:
        raise NotArrived([place.part for place in places_of(upload)])
    if size != upload.bytes:
        raise OtherBytes(f"expected {upload.bytes} bytes, found {size}")
    if upload.sha256:
        found = store.sha256_of(key, upload.bytes)
        if found != upload.sha256:
            raise OtherBytes(f"expected bytes with the sha256 {upload.sha256}, found {found}")
    ready = UploadReady(upload.tenant, upload.upload, size, upload.sha256)
    store.put(upload_prefix(upload.tenant, upload.upload) + UPLOAD_READY, encode(ready))
    return ready


def _join(store: ObjectStore, upload: Upload) -> None:
    key = key_of(upload)
    arrived = arrived_of(store, upload)
    missing = [place.part for place in places_of(upload) if place.part not in arrived]
    if missing:
        raise NotArrived(missing)
    try:
        store.join_parts(key, upload.parts, store.arrived_parts(key, upload.parts))
    except Missing:
        return  # somebody else has joined them, or ended the upload: whether there is an object says which


def _size_of(store: ObjectStore, key: str) -> int | None:
    try:
        return store.size_of(key)
    except Missing:
        return None


def _link(store: ObjectStore, upload: Upload, place: PiecePlace) -> str:
    key = key_of(upload)
    if upload.parts:
        return store.presign_part(key, upload.parts, place.part, place.bytes, LINK_S)
    return store.presign_put(key, place.bytes, LINK_S)
