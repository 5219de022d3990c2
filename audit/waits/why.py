"""Why a job waited: its whole wait, divided among causes that sum to it, from the ledger alone.

Theory of operation. The wait goes from the submission to the start: the last one, because an attempt that failed made
the job start again; or to the end of a job that never started; or to the ledger's end (or now) while it waits. Between
two records the state of the pool does not change, so each such stretch is judged by the state after the earlier
record, folded by the production code: where the job was, and what stood between it and its start.

`following` follows the job, `outages` says when nothing was decided, `contention` what holds the slots it waits for,
`causes` adds up, and `explained` puts it into words.
"""

from __future__ import annotations

from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown
from audit.ledger.walk import Unsure, Walk, walked
from audit.waits.tracker import Promised, Wait, WaitTracker
from contract.names import pool_of


def why(job: str, past: LedgerPast, submitted_ms: int = 0, now_ms: int = 0, promised: Promised | None = None) -> Wait:
    """The wait of a job in its newest life, from the pool's ledger.

    `submitted_ms`, if somebody knows it, lets the reading begin at a snapshot, and end with the life that was submitted
    then; `now_ms`, if given and later than the ledger's end, is the end of a wait that goes on. A job that the ledger
    does not know is on its way if it was `promised`. ValueError when `job` is no job id; JobUnknown; NotBelieved."""
    if pool_of(job) != past.pool:
        raise ValueError(f"expected a job of pool {past.pool}, found {job}")

    def follow(walk: Walk) -> Wait | None:
        if job in walk.state.jobs:
            raise Unsure  # it was accepted before the snapshot, whatever was said of its submission
        known = job in walk.state.ended  # so is a life that was promised, unless another one is accepted after this
        found = WaitTracker(job, submitted_ms).through(walk, now_ms, None if known else promised)
        if found is None and walk.damage is not None:
            raise NotBelieved(walk.damage)
        if found is None and not walk.whole:
            raise Unsure
        return found

    found = walked(past, submitted_ms - 1, follow)
    if found is None:
        raise JobUnknown(
            f"expected {job} in the ledger of pool {past.pool}, found no acceptance of it; if it was submitted just"
            " now, the scheduler has not read it yet"
        )
    return found
