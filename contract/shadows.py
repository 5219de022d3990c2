"""What a shadow writes: a candidate policy that follows a pool's ledger and says what it would have done.

Records of the topic `shadow`, partition = the pool's, key = the shadow's name. They decide nothing: no scheduler reads
them. A `run` is one life of a shadow: what the newest run of a name says stands, older ones are over. Times are
milliseconds by the pool's clock.
"""

from __future__ import annotations

import msgspec

from contract.policy import Policy


class ShadowBegan(msgspec.Struct, frozen=True, tag="ShadowBegan.v1"):
    """A shadow begins where the pool stood at `from_ms`: its machines, and its jobs that had not ended. Writer:
    `headrace policy shadow`."""

    shadow: str
    """Its name."""
    run: str
    pool: str
    from_ms: int
    """0: from the ledger's beginning."""
    offset: int
    """Of the last ledger record in that state; -1: none."""
    behind_ms: int
    """The most that it stays behind the ledger."""
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
    """How long it runs there."""
    live_start_ms: int
    """Its first start; -1: it had not started when it was taken in."""
    assumed: bool
    """It had not ended when the shadow could wait no more: it runs for as long as its version's runs have lately."""


class ShadowDispatch(msgspec.Struct, frozen=True):
    """A dispatch that the candidate would have made."""

    at_ms: int
    job: str
    attempt: int
    cluster: str
    node: str


class ShadowStart(msgspec.Struct, frozen=True):
    """The first start of a job."""

    job: str
    at_ms: int


class ShadowAdvanced(msgspec.Struct, frozen=True, tag="ShadowAdvanced.v1"):
    """What the candidate would have done until `now_ms`. Writer: `headrace policy shadow`."""

    shadow: str
    run: str
    pool: str
    number: int
    """0, 1, 2… within the run."""
    now_ms: int
    """The shadow's clock."""
    live_ms: int
    """The pool's clock at the last ledger record read."""
    offset: int
    """Of that record."""
    taken: tuple[ShadowJob, ...]
    """In the order of arrival."""
    dispatched: tuple[ShadowDispatch, ...]
    started: tuple[ShadowStart, ...]
    """In the shadow."""
    live_started: tuple[ShadowStart, ...]
    """Jobs taken in before they had started in the pool, and have now."""
    left_out: dict[str, int]
    """Jobs not taken in, by the reason; so far."""
    slos_ms: dict[str, int]
    """SLO of each tier in the pool, as it is now."""


class ShadowStopped(msgspec.Struct, frozen=True, tag="ShadowStopped.v1"):
    """The run is over. One that was killed does not say so. Writer: `headrace policy shadow`."""

    shadow: str
    run: str
    pool: str
    number: int
    reason: str


ShadowRecord = ShadowBegan | ShadowAdvanced | ShadowStopped
