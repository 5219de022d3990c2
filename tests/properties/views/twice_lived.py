"""A pool whose jobs live twice."""

from __future__ import annotations

import msgspec

from contract.inputs import CancelRequested
from contract.policy import Policy
from tests.properties.scheduling.worlds import Step, live
from tests.unit.scheduling.specification import Pool

FORGOTTEN_MS = 120_000


def live_twice(policy: Policy, steps: list[Step]) -> Pool:
    """Ids that ended in the first half of the steps are forgotten before the second: jobs live again."""
    policy = msgspec.structs.replace(policy, submission_age_max_ms=1_000)
    pool = Pool(policy, check=False)
    live(pool, steps[::2])
    pool.adopt(policy)
    pool.tell(*(CancelRequested(job) for job in sorted(pool.state.jobs)))
    pool.tick(FORGOTTEN_MS, lease_ms=0)
    pool.tick(1, lease_ms=0)
    live(pool, steps[1::2])
    return pool
