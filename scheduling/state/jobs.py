"""A job that has not ended, and what was forecast for it. Part of the state of a pool (`state`)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from contract.lifecycle import JobState
from scheduling.state.nodes import Attempt


class Loss(msgspec.Struct, gc=False, frozen=True):
    """A node that was lost, and when by lease time."""

    node: str
    cluster: str
    lease_ms: int


class Situation(IntEnum):
    """What a forecast of a job's start was made from."""

    FREE = 0
    """A slot was free for it."""
    BEHIND = 1
    """Others were before it."""
    OVERDUE = 2
    """An earlier forecast had passed."""


class Factors(msgspec.Struct, gc=False):
    """What forecasts of one tier and situation are multiplied by, learned from what came true: in millionths."""

    p50: int
    p90: int
    margin: int
    """On top of `p90`."""


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
    state: JobState = JobState.QUEUED
    attempts: int = 0
    """Attempts opened so far."""
    failures: int = 0
    """Attempts that count towards `failures_max`."""
    eligible_lease_ms: int = 0
    """A queued job may be picked once lease time has reached this; -1 between the event that closed its attempt and
    the one that says what comes of it."""
    ending: str = ""
    """Why a cancelling job ends: cancel, erase, expired."""
    open: Attempt | None = None
    losses: tuple[Loss, ...] = ()
    """Nodes that were lost under its started attempts."""
    expected_ms: int = 0
    """Run time expected of it when it was accepted; 0: unknown."""
    slo_ms: int = 0
    """Its tier's SLO when it was accepted."""
    has_started: bool = False
    """Some attempt of it has started."""
    basis_ms: int = 0
    """What its forecast was made from (scheduling.forecast)."""
    situation: Situation = Situation.FREE
    due_ms: int = 0
    """Until when nine in ten such jobs start, by its last forecast; 0: it has none, or has started."""
