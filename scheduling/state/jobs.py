"""A job that has not ended, and what was forecast for it."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from contract.lifecycle import JobState
from scheduling.state.nodes import Attempt


class Loss(msgspec.Struct, gc=False, frozen=True):
    """A node that was lost, and at which lease time."""

    node: str
    cluster: str
    lease_ms: int


class AvoidedNode(msgspec.Struct, gc=False, frozen=True):
    """A node on which a job failed."""

    node: str
    case: int
    """What the failure may be held against (Suspect.case); 0: it is held against nobody."""


class Situation(IntEnum):
    """What a forecast of a job's start rests on."""

    FREE = 0
    """A slot was free for the job."""
    BEHIND = 1
    """Other jobs were before the job."""
    OVERDUE = 2
    """An earlier forecast had passed."""


class Factors(msgspec.Struct, gc=False):
    """By what forecasts of one tier and situation are multiplied, in millionths; learned from the starts that came."""

    p50: int
    p90: int
    margin: int
    """Added to `p90`."""


class Job(msgspec.Struct, gc=False):
    """A job that has not ended."""

    job: str
    tenant: str
    tier: str
    model: str
    version: str
    submitted_ms: int
    expires_ms: int
    """0 = no deadline."""
    offset: int
    """Where its payload lies in `jobs`."""
    digest: str
    alias: str = ""
    """The alias that the job named; empty: the digest."""
    lined_ms: int = 0
    """From when it waits for a slot: `submitted_ms`, or when its inputs were prepared. Forecasts count from here."""
    state: JobState = JobState.QUEUED
    attempts: int = 0
    """Attempts opened so far."""
    failures: int = 0
    """Attempts that count towards `failures_max`."""
    spared: int = 0
    """Failures that are not held against the job, because they happened on cordoned nodes."""
    avoid: tuple[AvoidedNode, ...] = ()
    """Nodes on which it failed, the last of them last; at most avoidance.AVOIDED_MAX."""
    eligible_lease_ms: int = 0
    """A queued job may be picked once lease time has reached this. -1 between the event that closed its attempt and the
    event that says what follows."""
    ending: str = ""
    """Why a cancelling job ends: cancel, erase, expired."""
    open: Attempt | None = None
    losses: tuple[Loss, ...] = ()
    """Nodes that were lost under its started attempts."""
    expected_ms: int = 0
    """Expected run time in ms, as of acceptance; 0: unknown."""
    slo_ms: int = 0
    """The tier's SLO in ms, as of acceptance."""
    has_started: bool = False
    """An attempt of the job has started."""
    basis_ms: int = 0
    """What the job's forecast was made from, in ms (scheduling.forecast)."""
    situation: Situation = Situation.FREE
    media: int = 0
    """How many media its submission names."""
    prepared: str = ""
    """The preparation whose inputs the job has; empty: none."""
    manifest: str = ""
    """Digest of its prepared inputs' manifest, and their size in `prepared_bytes`."""
    prepared_bytes: int = 0
    preparations: int = 0
    """Preparations ordered so far."""
    worker_losses: int = 0
    """CPU workers that were lost while they prepared the job."""
    rests: int = 0
    """Preparations that ended by an outage since the last one that did not."""
    due_ms: int = 0
    """By when nine of ten such jobs start, says the last forecast; 0: no forecast, or the job has started."""
