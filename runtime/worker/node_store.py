"""The object store, as a node asks it."""

from __future__ import annotations

from runtime.object_store import SHORT_READ_TIMEOUT_S, ObjectStore
from runtime.settings import Settings

STORE_READ_TIMEOUT_S, STORE_PART_TIMEOUT_S, STORE_TRIES = SHORT_READ_TIMEOUT_S, 30.0, 1
"""Whoever asks the store here asks again for as long as it takes (runtime.worker.outages), so one call need not last.
With 30 s and two tries a node said nothing for a minute of a store that stood still, and took jobs all the while."""


def node_store(settings: Settings) -> ObjectStore:
    return ObjectStore(
        settings, read_timeout_s=STORE_READ_TIMEOUT_S, part_timeout_s=STORE_PART_TIMEOUT_S, tries=STORE_TRIES
    )
