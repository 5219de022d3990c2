"""How far intake has come in each partition of `submissions`, in the object store.

Faust's committed offsets are a hint that may be wrong in either direction; a position ahead of the truth would lose
submissions. This one is written only after the broker has acknowledged, in `jobs`, all that came before it. One that is
behind costs duplicates, which the scheduler drops; so it is enough to write it now and then.
"""

from __future__ import annotations

import msgspec
import structlog

from contract.topics import SUBMISSIONS
from runtime.kafka import offsets
from runtime.object_store import Missing, ObjectStore

log = structlog.get_logger(__name__)


class IntakePosition(msgspec.Struct, frozen=True):
    offset: int
    """Of the next record to read."""


class IntakePositions:
    def __init__(self, store: ObjectStore, bootstrap: str) -> None:
        self._store, self._bootstrap = store, bootstrap

    def read(self, partition: int) -> int:
        """Where to read on; the beginning when nothing is known, or what is known cannot be of this topic."""
        low, high = offsets(self._bootstrap, SUBMISSIONS, partition)
        try:
            known = msgspec.json.decode(self._store.get(_key(partition)), type=IntakePosition).offset
        except Missing:
            return low
        except msgspec.DecodeError as error:
            log.error("intake's position is damaged; reading from the beginning", partition=partition, found=str(error))
            return low
        if known > high:
            log.error("intake's position is not of this topic; reading from the beginning", position=known, end=high)
            return low
        return known

    def write(self, partition: int, offset: int) -> None:
        self._store.put(_key(partition), msgspec.json.encode(IntakePosition(offset)), content_type="application/json")


def _key(partition: int) -> str:
    return f"positions/intake/{SUBMISSIONS}/{partition}"
