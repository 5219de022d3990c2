"""What goes wrong between a client and the twin of Kafka: by a test's word, or by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random


class Fate(Enum):
    """What becomes of a record that a producer sends."""

    WRITTEN = "written"
    UNCONFIRMED = "unconfirmed"
    """The broker writes the record, and its acknowledgement is lost: the producer calls the delivery unclear."""
    LOST = "lost"
    """The record is not written, and the producer cannot know."""


@dataclass(frozen=True)
class FaultRates:
    """How often, of 1: by record sent, or by second for outages."""

    unconfirmed: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    """The broker takes a while with the record, and with what is behind it in its partition."""
    slow_s: float = 0.5
    jump: float = 0.0
    """A host loses its place in a partition, by record delivered."""


class Faults:
    """Draws by a seed. Without rates nothing goes wrong."""

    def __init__(self, seed: int = 0, rates: FaultRates | None = None) -> None:
        self.rates = rates or FaultRates()
        self.random = Random(seed)
        self.unclear_after_s: float | None = 0.0
        """How soon a producer gives up a record whose acknowledgement is lost. None: after its delivery timeout."""
        self._next: dict[str, list[Fate]] = {}

    def next_fates(self, topic: str, *fates: Fate) -> None:
        """The test's word: what becomes of the next records for this topic, before any draw."""
        self._next.setdefault(topic, []).extend(fates)

    def fate(self, topic: str) -> Fate:
        if self._next.get(topic):
            return self._next[topic].pop(0)
        rates = self.rates
        if not (rates.unconfirmed or rates.lost):
            return Fate.WRITTEN
        drawn = self.random.random()
        if drawn < rates.unconfirmed:
            return Fate.UNCONFIRMED
        return Fate.LOST if drawn < rates.unconfirmed + rates.lost else Fate.WRITTEN

    def delay_s(self) -> float:
        """How much longer than usual the broker takes with a record."""
        rates = self.rates
        return rates.slow_s if rates.slow and self.random.random() < rates.slow else 0.0

    def jumps(self) -> bool:
        return bool(self.rates.jump) and self.random.random() < self.rates.jump
