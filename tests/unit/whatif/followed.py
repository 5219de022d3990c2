"""A shadow that followed a finished ledger: what it wrote, and how far behind it was."""

from __future__ import annotations

from typing import Any

import msgspec

from contract.batch import Batch
from contract.policy import Policy, Tier
from contract.shadows import ShadowAdvanced, ShadowDispatch, ShadowJob, ShadowRecord
from scheduling.state.pool import State
from tests.unit.audit.ledger import POLICY, POOL, Ledger
from tests.unit.whatif.played import NOTHING
from whatif.shadow.follower import follow
from whatif.shadow.log import ShadowLog
from whatif.shadow.shadow import Shadow
from whatif.simulation.nodes import Costs

SWAPPED = msgspec.structs.replace(POLICY, tiers={"api": Tier(100_000), "free": Tier(10_000)})
"""The urgent tier of POLICY is the patient tier, and the other way round."""


class Written:
    """A shadow follows a ledger to its end; what it wrote is gathered here."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        since_ms: int = 0,
        behind_ms: int = 3_600_000,
        costs: Costs = NOTHING,
    ) -> None:
        self.records: list[ShadowRecord] = []
        self.behind_ms: list[int] = []
        """The ledger's clock less the shadow's, after each batch. `held`: jobs held then."""
        self.held: list[int] = []

        def make(state: State) -> Shadow:
            log = ShadowLog("candidate", "run", POOL, self.records.append, lambda: True)
            return Watched(self, policy, state, log, behind_ms=behind_ms, costs=costs)

        self.shadow, self.damage = follow(ledger.past, make, since_ms)
        self.shadow.finish("the ledger ends")
        self.steps = steps = [record for record in self.records if isinstance(record, ShadowAdvanced)]
        self.taken: list[ShadowJob] = [job for step in steps for job in step.taken]
        self.dispatched: list[ShadowDispatch] = [entry for step in steps for entry in step.dispatched]
        self.starts = {start.job: start.at_ms for step in steps for start in step.started}
        self.live_starts = {start.job: start.at_ms for step in steps for start in step.live_started}
        self.last = steps[-1]


class Watched(Shadow):
    def __init__(self, written: Written, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._written = written

    def take(self, batch: Batch, offset: int, live: State) -> None:
        super().take(batch, offset, live)
        self._written.behind_ms.append(live.now_ms - self.now_ms)
        self._written.held.append(self.held)
