"""An operator's order that intake passes over one record of `submissions`: an object in the store.

Theory of operation. Intake looks for orders when it is given a partition, and again while a record waits. It obeys an
order by writing the record to `quarantine` with the reason SKIPPED, and then removes the order. So an operator can free
a partition from a record whose answer never comes, or that ends the process each time it is looked at. Only records of
`submissions` can be passed over, never a record of the ledger.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import structlog

from contract.topics import SUBMISSIONS
from runtime.kafka import OffsetGone, offsets, partitions
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from runtime.telemetry import without_words
from streams.door.intake_positions import IntakePositions

SKIPPED = "skipped by an operator"
"""The reason in `quarantine`."""
LOOK_EVERY_S = 2.0
"""While a record waits, the store is asked at most this often for orders."""

_PREFIX = f"skips/intake/{SUBMISSIONS}/"
_KEY = re.compile(re.escape(_PREFIX) + r"(\d{1,9})/(\d{1,18})\.json")

log = structlog.get_logger(__name__)


class CannotSkip(ValueError):
    """There is no such record, or intake has passed it already. The message says what to do."""


def order_skip(settings: Settings, partition: int, offset: int) -> None:
    """Order intake to pass over the record at `offset` of this partition of `submissions`, where it is held up.

    CannotSkip when intake has passed the record already, or when there is no such record. An intake that waits obeys
    within seconds, one that starts obeys at once: `quarantine` then holds the record with the reason SKIPPED. An intake
    that is not held up at the record passes it on like any other."""
    try:
        known = partitions(settings.brokers, SUBMISSIONS)
    except OffsetGone:
        raise CannotSkip("expected a topic `submissions`, found none; `headrace up` creates it") from None
    if not 0 <= partition < known:
        raise CannotSkip(f"expected a partition from 0 to {known - 1} of `submissions`, found {partition}")
    store = ObjectStore(settings)
    position = IntakePositions(store, settings.brokers).read(partition)
    if offset < position:
        raise CannotSkip(
            f"expected a record that intake has not passed, found offset {offset} of partition {partition}, and intake"
            f" is at {position}; `headrace quarantine list` shows the record if it was refused"
        )
    _, end = offsets(settings.brokers, SUBMISSIONS, partition)
    if offset >= end:
        raise CannotSkip(
            f"expected an offset below {end}, where partition {partition} of `submissions` ends, found {offset}"
        )
    store.put(_key(partition, offset), b"", content_type="application/json")


class Skips:
    """The orders in the store. Each call asks the store, so call from a thread."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def ordered(self, partition: int) -> frozenset[int]:
        """Offsets of this partition that intake is to pass over."""
        found = (_KEY.fullmatch(key) for key in self._store.list(f"{_PREFIX}{partition}/"))
        return frozenset(int(match[2]) for match in found if match)

    def remove(self, partition: int, offset: int) -> None:
        """Remove the order: the record is in `quarantine`, or intake has passed it in another way."""
        self._store.delete_prefix(_key(partition, offset))


class PartitionSkips:
    """The orders for one partition, as far as this process has asked for them. All methods run on the event loop."""

    def __init__(self, skips: Skips, partition: int, place: Callable[[], int | None]) -> None:
        """`place()`: the first offset that intake has not passed; None: not known yet."""
        self._skips, self._partition, self._place = skips, partition, place
        self._looked_s = float("-inf")
        self.ordered: frozenset[int] = frozenset()
        """Offsets to pass over."""

    async def look(self) -> None:
        """Ask the store. Orders for records that intake has passed are removed."""
        self._looked_s = time.monotonic()
        ordered = await asyncio.to_thread(self._skips.ordered, self._partition)
        passed = self._place() or 0
        for offset in ordered:
            if offset < passed:
                await self._remove(offset)
        self.ordered = ordered

    async def look_again(self) -> None:
        """As `look`, at most every LOOK_EVERY_S; when the store is away, the next call asks again."""
        if time.monotonic() - self._looked_s <= LOOK_EVERY_S:
            return
        try:
            await self.look()
        except Exception as error:  # intake goes on without orders to skip
            log.debug("the store did not say what to skip", found=without_words(error))

    async def note_passed(self, offset: int) -> None:
        """Intake has passed the record at `offset`: its order, if any, is removed."""
        if offset in self.ordered:
            await self._remove(offset)

    async def _remove(self, offset: int) -> None:
        try:
            await asyncio.to_thread(self._skips.remove, self._partition, offset)
        except Exception as error:  # the order has no effect any more
            log.warning(
                "an order to skip could not be removed; its record is passed, so it has no effect any more",
                topic=SUBMISSIONS,
                partition=self._partition,
                offset=offset,
                found=without_words(error),
            )


def _key(partition: int, offset: int) -> str:
    return f"{_PREFIX}{partition}/{offset}.json"
