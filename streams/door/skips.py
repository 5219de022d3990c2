"""An operator's order that intake shall pass over one record of `submissions`: an object in the store.

Theory of operation. Intake looks for orders when it is given a partition, and again while a record waits. An order
is obeyed by a record of `quarantine` with the reason SKIPPED, and then removed. So a record whose answer never comes,
or that ends the process whenever it is looked at, holds up its partition no longer than an operator lets it. Nothing
else can be passed over by this: never a record of the ledger.
"""

from __future__ import annotations

import re

from contract.topics import SUBMISSIONS
from runtime.kafka import OffsetGone, offsets, partitions
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from streams.door.intake_positions import IntakePositions

SKIPPED = "skipped by an operator"
"""The reason in `quarantine`."""

_PREFIX = f"skips/intake/{SUBMISSIONS}/"
_KEY = re.compile(re.escape(_PREFIX) + r"(\d{1,9})/(\d{1,18})\.json")


class CannotSkip(ValueError):
    """There is no such record, or intake has passed it. The message says what was expected, found, and what to do."""


def order_skip(settings: Settings, partition: int, offset: int) -> None:
    """Have intake pass over the record at `offset` of this partition of `submissions`, which it is held up at.

    CannotSkip when it has passed it already, or when there is no such record. The order is obeyed within seconds by an
    intake that waits, at once by one that starts: `quarantine` then holds the record with the reason SKIPPED. An intake
    that is not held up there when it comes to the record passes it on as any other."""
    try:
        known = partitions(settings.kafka, SUBMISSIONS)
    except OffsetGone:
        raise CannotSkip("expected a topic `submissions`, found none; `headrace up` creates it") from None
    if not 0 <= partition < known:
        raise CannotSkip(f"expected a partition from 0 to {known - 1} of `submissions`, found {partition}")
    store = ObjectStore(settings)
    position = IntakePositions(store, settings.kafka).read(partition)
    if offset < position:
        raise CannotSkip(
            f"expected a record that intake has not passed, found offset {offset} of partition {partition}, and intake"
            f" is at {position}; if the record was refused, `headrace quarantine list` shows it"
        )
    _, end = offsets(settings.kafka, SUBMISSIONS, partition)
    if offset >= end:
        raise CannotSkip(f"expected a record of `submissions`, found that partition {partition} ends at {end}")
    store.put(_key(partition, offset), b"", content_type="application/json")


class Skips:
    """The orders that stand. Each call asks the store: for a thread."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def ordered(self, partition: int) -> frozenset[int]:
        """Offsets of this partition that are to be passed over."""
        found = (_KEY.fullmatch(key) for key in self._store.list(f"{_PREFIX}{partition}/"))
        return frozenset(int(match[2]) for match in found if match)

    def remove(self, partition: int, offset: int) -> None:
        """The record is in `quarantine`, or intake has passed it in another way: the order is no more."""
        self._store.delete_prefix(_key(partition, offset))


def _key(partition: int, offset: int) -> str:
    return f"{_PREFIX}{partition}/{offset}.json"
