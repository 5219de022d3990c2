"""Removing what uploads left in the object store: of those that were deleted, that failed, and whose time is over.

Theory of operation. An object is removed only if a row of the table says that its upload ended, never because the table
does not know it (design section 5). What ended is emptied at once; the row stays until no link to write below its
prefix works any more, is emptied once more, and goes. So whoever sends with a link after the end leaves nothing for
longer than that. Every step may be done again, and several sweeps may run at once: each API process runs one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Engine

from contract.prepared import upload_prefix
from registry import uploads
from registry.uploads import Upload
from runtime.object_store import ObjectStore

ROUNDS_MAX = 100
"""Of one sweep, each of at most uploads.SWEPT_AT_ONCE: a sweep ends, and the next one goes on."""


class UploadsSwept(NamedTuple):
    expired: int
    emptied: int
    forgotten: int


def sweep_uploads(engine: Engine, store: ObjectStore) -> UploadsSwept:
    """StoreFault, and what the database raises: the next sweep goes on."""
    expired = emptied = forgotten = 0
    for _ in range(ROUNDS_MAX):
        with engine.begin() as connection:
            found = uploads.expire(connection)
        expired += found
        if not found:
            break
    emptied = _each(engine, store, uploads.to_empty, uploads.note_emptied)
    forgotten = _each(engine, store, uploads.gone, uploads.forget)
    return UploadsSwept(expired, emptied, forgotten)


def empty(store: ObjectStore, upload: Upload) -> None:
    """Remove everything below the upload's prefix, parts that were never joined too. StoreFault."""
    prefix = upload_prefix(upload.tenant, upload.upload)
    for key, parts in store.begun_parts(prefix):
        store.abort_parts(key, parts)
    store.delete_prefix(prefix)


def _each(
    engine: Engine,
    store: ObjectStore,
    which: Callable[..., list[Upload]],
    note: Callable[..., None],
) -> int:
    done = 0
    for _ in range(ROUNDS_MAX):
        with engine.connect() as connection:
            found = which(connection)
        for upload in found:
            empty(store, upload)
            with engine.begin() as connection:
                note(connection, upload.upload)
        done += len(found)
        if not found:
            break
    return done
