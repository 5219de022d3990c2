"""Where intake begins: at its own place, unless that place cannot be; never beyond it. On the twin of Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.topics import SUBMISSIONS
from streams.door.intake_positions import BegunPlace, IntakePosition, IntakePositions
from tests.twin.installation import Installation


class Bench:
    """`submissions` with ten records, of which the topic keeps the last six."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self.store = here.store
        for number in range(10):
            here.kafka.write(SUBMISSIONS, b"%d" % number, partition=0)
        here.kafka.log(SUBMISSIONS, 0).trim(4)

    def begun_at(self, stored: bytes | None) -> BegunPlace:
        if stored is not None:
            self.store.put(f"positions/intake/{SUBMISSIONS}/0", stored)

        async def live() -> BegunPlace:
            return IntakePositions(self.store, self._here.kafka.brokers).begin(0)

        return self._here.run(live)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Installation() as here:
        yield Bench(here)


@pytest.mark.parametrize(
    ("stored", "begins"),
    [
        (b'{"offset":7,"lost":3}', BegunPlace(IntakePosition(7, lost=3), 3)),
        (b'{"offset":10}', BegunPlace(IntakePosition(10), 0)),
        (b'{"offset":11}', BegunPlace(IntakePosition(4), 0)),
        (b'{"offset":-1}', BegunPlace(IntakePosition(4), 0)),
        (b"{", BegunPlace(IntakePosition(4), 0)),
        (b"\xff", BegunPlace(IntakePosition(4), 0)),
        (None, BegunPlace(IntakePosition(4), 0)),
    ],
    ids=["its own", "at the end", "of a longer topic", "below 0", "half written", "no text", "none"],
)
def test_it_begins_at_its_own_place_or_at_the_first_record_that_the_topic_keeps(
    bench: Bench, stored: bytes | None, begins: BegunPlace
) -> None:
    assert bench.begun_at(stored) == begins


def test_what_expired_since_is_a_loss(bench: Bench) -> None:
    begun = bench.begun_at(b'{"offset":1,"lost":3}')
    assert (begun.place.offset, begun.place.lost, begun.lost_before) == (4, 6, 3)
    assert begun.place.lost_ms > 0
