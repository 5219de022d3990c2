"""Whoever writes into the bucket steers nobody: on the twin of the store, and through Kafka's twin."""

from __future__ import annotations

import pytest

from contract.signers import INTAKE
from contract.topics import SUBMISSIONS
from runtime.object_store import ObjectStore
from streams.door.intake_positions import IntakePosition, IntakePositions
from tests.twin.installation import Installation
from tests.twin.lying_bucket import LyingBucket
from tests.twin.object_store import TwinObjectStore
from tests.twin.signing import KEY


class TestTwin(LyingBucket):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return TwinObjectStore()


@pytest.mark.parametrize(("lie", "begins"), [(b'{"offset":9}', 0), (None, 3)])
def test_intake_begins_at_its_own_place_or_at_the_first_record(lie: bytes | None, begins: int) -> None:
    with Installation() as here:
        for number in range(10):
            here.kafka.write(SUBMISSIONS, b"%d" % number, partition=0)
        positions = IntakePositions(here.store, here.kafka.brokers, KEY.of(INTAKE))
        positions.write(0, IntakePosition(3))
        if lie is not None:
            here.store.place(f"positions/intake/{SUBMISSIONS}/0", lie)

        async def live() -> int:
            return positions.read(0)

        assert here.run(live) == begins


def test_the_intake_of_an_installation_with_keys_seals_its_place() -> None:
    key = f"positions/intake/{SUBMISSIONS}/0"
    with Installation() as here:

        async def live() -> None:
            here.kafka.write(SUBMISSIONS, b"{", partition=0)
            intake = here.intake()
            await here.until(lambda: here.quarantined(SUBMISSIONS))
            await intake.stop()

        here.run(live)
        assert b'"offset":1' in here.store.objects[key]
        assert b'"seal":""' not in here.store.objects[key]
