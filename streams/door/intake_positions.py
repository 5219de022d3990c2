"""How far intake has come in each partition of `submissions`, and what it waits for there: an object in the store.

The offsets that Faust commits are a hint that may be wrong in either direction, and a position ahead of the truth would
lose submissions. Our position is written only after the broker has acknowledged, in `jobs`, everything before it. A
position that is behind costs duplicates, which the scheduler drops; so writing it now and then is enough.

Others may write into the store. So the place carries a seal by intake's own key (contract.seals), and a place that
somebody else wrote is no place: intake reads from the first record that the topic keeps. What it passes on again the
scheduler knows, or finds too old and quarantines. An older place of intake's own, put back, is only behind.

While the store is away at the start, intake waits for the position, and people see what for. What Kafka remembers could
be ahead and lose submissions; the first record that the topic keeps could run again what the scheduler has forgotten.
Meanwhile Kafka keeps what is submitted.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
import structlog

from contract.seals import PlaceSeals
from contract.signing import SigningKey
from contract.topics import SUBMISSIONS
from runtime.kafka import offsets
from runtime.kafka_credentials import Brokers
from runtime.object_store import Missing, ObjectStore, OtherSize

PLACE_BYTES_MAX = 4 * 1024
"""Of the object. A place has some hundred bytes."""

log = structlog.get_logger(__name__)


class IntakePosition(msgspec.Struct, frozen=True):
    offset: int
    """Of the next record to read, or of the record that waits."""
    waits_for: str = ""
    """What the record at `offset` waits for, in our words; empty: nothing holds it up."""
    since_ms: int = 0
    """Since when it waits, by the clock of intake's host."""
    lost: int = 0
    """How many offsets of this partition expired before they were read, as long as there is this place: that many
    submissions were lost, less what were no records."""
    lost_ms: int = 0
    """When intake noticed the last loss, by the clock of its host."""

    def after_loss(self, first: int, next_offset: int) -> IntakePosition:
        """The records from `first` on, up to the one at `next_offset`, expired before they were read."""
        return msgspec.structs.replace(
            self, offset=next_offset, lost=self.lost + next_offset - first, lost_ms=round(time.time() * 1000)
        )


class _Stored(IntakePosition, frozen=True):
    """The place as the object has it."""

    seal: str = ""
    """By intake's key, over partition and place; empty: written without one."""


class BegunPlace(NamedTuple):
    """Where intake of a partition begins."""

    place: IntakePosition
    lost_before: int
    """How much of the place's `lost` was known when the place was written. The rest expired since."""


class IntakePositions:
    """Each call asks the store, and some calls ask the broker, so call from a thread."""

    def __init__(self, store: ObjectStore, brokers: Brokers, key: SigningKey | None = None) -> None:
        """`key`: intake's own. Others, who show places to people, have none, and believe what they find."""
        self._store, self._brokers, self._seals = store, brokers, PlaceSeals(key)

    def read(self, partition: int) -> int:
        """Where to read on, as `begin`."""
        return self.begin(partition).place.offset

    def begin(self, partition: int) -> BegunPlace:
        """Where to read on, and whether anything was lost since that was written. The first record that the topic keeps
        when the stored position is missing or cannot be."""
        low, high = offsets(self._brokers, SUBMISSIONS, partition)
        known = self._known(partition)
        if known is None:
            return BegunPlace(IntakePosition(low), 0)
        if not 0 <= known.offset <= high:
            log.error(
                "intake's position is not of this topic; reading from the beginning",
                topic=SUBMISSIONS,
                partition=partition,
                offset=known.offset,
                end=high,
            )
            return BegunPlace(IntakePosition(low), 0)
        return BegunPlace(known if known.offset >= low else known.after_loss(known.offset, low), known.lost)

    def place(self, partition: int) -> IntakePosition:
        """What intake wrote last, for people. It may be a second old."""
        return self._known(partition) or IntakePosition(0)

    def write(self, partition: int, position: IntakePosition) -> None:
        seal = self._seals.seal_of(partition, msgspec.json.encode(position))
        stored = _Stored(**msgspec.structs.asdict(position), seal=seal)
        self._store.put(_key(partition), msgspec.json.encode(stored), content_type="application/json")

    def _known(self, partition: int) -> IntakePosition | None:
        try:
            stored = msgspec.json.decode(self._store.get(_key(partition), PLACE_BYTES_MAX), type=_Stored)
            place = IntakePosition(**{name: getattr(stored, name) for name in IntakePosition.__struct_fields__})
        except Missing:
            return None
        except (OtherSize, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.error(
                "intake's position is damaged; reading from the beginning",
                topic=SUBMISSIONS,
                partition=partition,
                found=type(error).__name__,
            )
            return None
        if not self._seals.fits(partition, msgspec.json.encode(place), stored.seal):
            log.error(
                "intake's position is not sealed by this intake's key: a release before seals, an intake with another"
                " key, or somebody else wrote it; reading from the beginning, and the scheduler drops what it knows",
                topic=SUBMISSIONS,
                partition=partition,
            )
            return None
        return place


def _key(partition: int) -> str:
    return f"positions/intake/{SUBMISSIONS}/{partition}"
