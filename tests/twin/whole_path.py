"""The whole path in memory, with troubles by seed: what was promised is done once, and all books agree."""

from __future__ import annotations

import asyncio
from collections import Counter

from contract.events import InputQuarantined, JobSucceeded
from contract.topics import JOBS
from tests.twin.faults import FaultRates, Faults
from tests.twin.installation import Installation
from tests.twin.troubles import Troubles

RATES = FaultRates(unconfirmed=0.01, lost=0.01, slow=0.02, jump=0.02)


def _is_all_done(here: Installation) -> bool:
    return all(len(here.events(JobSucceeded, p)) == len(here.acknowledged[p]) for p in here.partitions)


def _check(here: Installation) -> None:
    """The auditor, who decides every batch again, the views, and the promises."""
    for partition in here.partitions:
        verdict = here.verify(partition)
        assert verdict.findings == []
        assert verdict.jobs == len(here.acknowledged[partition])
        assert verdict.decided > 0
        succeeded = Counter(event.job for event in here.events(JobSucceeded, partition))
        assert succeeded == Counter(here.acknowledged[partition])
        set_aside = {(place.partition, place.offset) for place in here.quarantined(JOBS)}
        assert {(partition, event.offset) for event in here.events(InputQuarantined, partition)} <= set_aside
        assert here.views.state_hash(verdict.pool) == verdict.state_hash


def run_seed(seed: int, seconds: float) -> Troubles:
    """Troubles for so long in simulated time; then all must be done within minutes. AssertionError."""
    with Installation(seed, faults=Faults(seed, RATES)) as here:

        async def live() -> Troubles:
            here.setup()
            troubles = Troubles(here, seed)
            await troubles.befall(seconds)
            here.kafka.faults.rates = FaultRates()
            await asyncio.sleep(5)
            await here.until(lambda: _is_all_done(here), within_s=300)
            await troubles.stop()
            _check(here)
            return troubles

        return here.run(live)
