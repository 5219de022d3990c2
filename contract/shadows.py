"""What a shadow writes. A shadow is a candidate policy that follows a pool's ledger and says what it would have done.

These are the records of the topic `shadow`, in the pool's partition; the key is the shadow's name. They decide nothing:
no scheduler reads them. A `run` is one life of a shadow. Readers take the newest run of each name and pass older runs
over. Times are milliseconds by the pool's clock.
"""

from __future__ import annotations

import msgspec

from contract.policy import Policy


class ShadowBegan(msgspec.Struct, frozen=True, tag="ShadowBegan.v1"):
    """A shadow begins with the pool as it stood at `from_ms`: its machines, and its jobs that had not ended. Writer:
    `headrace policy shadow`."""

    shadow: str
    """The shadow's name."""
    run: str
    pool: str
    from_ms: int
    """0: the ledger's beginning."""
    offset: int
    """Offset of the last ledger record that the shadow began with; -1: none."""
    behind_ms: int
    """The most time by which the shadow stays behind the ledger."""
    policy: Policy
    fingerprint: str
    release: str


class ShadowJob(msgspec.Struct, frozen=True):
    """A job that the shadow has taken in."""

    job: str
    tenant: str
    tier: str
    version: str
    submitted_ms: int
    run_ms: int
    """How long the job runs in the shadow."""
    live_start_ms: int
    """The job's first start in the pool; -1: it had not started when it was taken in."""
    assumed: bool
    """True when the job had not ended in the pool and the shadow could wait no longer. `run_ms` is then what recent
    runs of the job's version took."""


class ShadowDispatch(msgspec.Struct, frozen=True):
    """A dispatch that the candidate policy would have made."""

    at_ms: int
    job: str
    attempt: int
    cluster: str
    node: str


class ShadowStart(msgspec.Struct, frozen=True):
    """A job's first start."""

    job: str
    at_ms: int


class ShadowAdvanced(msgspec.Struct, frozen=True, tag="ShadowAdvanced.v1"):
    """What the candidate policy would have done until `now_ms`. Writer: `headrace policy shadow`."""

    shadow: str
    run: str
    pool: str
    number: int
    """The record's number in the run: 0, 1, 2…"""
    now_ms: int
    """The shadow's clock."""
    live_ms: int
    """The pool's clock at the last ledger record read."""
    offset: int
    """Offset of that ledger record."""
    taken: tuple[ShadowJob, ...]
    """Jobs taken in since the record before, in the order of their arrival."""
    dispatched: tuple[ShadowDispatch, ...]
    started: tuple[ShadowStart, ...]
    """First starts in the shadow."""
    live_started: tuple[ShadowStart, ...]
    """First starts in the pool, of jobs that were taken in before they had started there."""
    left_out: dict[str, int]
    """Number of jobs of the run so far that were not taken in, by reason."""
    slos_ms: dict[str, int]
    """Each tier's SLO in the pool, as it is now."""


class ShadowStopped(msgspec.Struct, frozen=True, tag="ShadowStopped.v1"):
    """The run is over. A run whose process was killed ends without this record. Writer: `headrace policy shadow`."""

    shadow: str
    run: str
    pool: str
    number: int
    reason: str


ShadowRecord = ShadowBegan | ShadowAdvanced | ShadowStopped
