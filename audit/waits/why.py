"""Why a job waited: its whole wait, divided among causes that sum to it, from the ledger alone.

Theory of operation. The wait goes from the submission to the last start, because a failed attempt makes the job start
again; or to the end of a job that never started; or to the ledger's end (or now) while the job waits. Between two
records the state of the pool does not change. So each such stretch is judged by the state after the earlier record,
folded by the production code: where the job was, and what stood between the job and its start.

`tracker` follows the job, `ledger/outages` says when nothing was decided, `time_in_line` and `contention` say what
holds the slots that the job waits for, `causes` adds up, and `sentences` puts the wait into words."""

from __future__ import annotations

from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown
from audit.ledger.walk import Unsure, Walk, walked
from audit.waits.tracker import WaitTracker
from audit.waits.wait import Promised, Wait
from contract.names import pool_of


def why(job: str, past: LedgerPast, submitted_ms: int = 0, now_ms: int = 0, promised: Promised | None = None) -> Wait:
    """The wait of a job in its newest life, from the pool's ledger.

    If `submitted_ms` is known, the reading begins at a snapshot and ends with the life that was submitted then.
    `now_ms`, if later than the ledger's end, is the end of a wait that goes on. A job that the ledger does not know is
    on its way if it was `promised`. ValueError when `job` is no job id; JobUnknown; NotBelieved."""
    if pool_of(job) != past.pool:
        raise ValueError(f"expected a job of pool {past.pool}, found {job}")

    def follow(walk: Walk) -> Wait | None:
        if job in walk.state.jobs:
            raise Unsure  # the job was accepted before the snapshot, whatever was said of its submission
        known = job in walk.state.ended  # a life that was promised has ended too, unless another life is accepted later
        found = WaitTracker(job, submitted_ms).through(walk, now_ms, None if known else promised)
        if found is None and walk.damage is not None:
            raise NotBelieved(walk.damage)
        if found is None and not walk.whole:
            raise Unsure
        return found if found is None or past.proved else found._replace(unproved_offset=walk.began_offset)

    found = walked(past, submitted_ms - 1, follow)
    if found is None:
        raise JobUnknown(
            f"expected {job} in the ledger of pool {past.pool}, found no acceptance of it; if it was submitted just"
            " now, the scheduler has not read it yet"
        )
    return found
