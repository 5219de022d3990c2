"""A job's wait as it is found: from submission to start, divided among its causes."""

from __future__ import annotations

from typing import NamedTuple

from audit.ledger.damage import Damage
from audit.waits.causes import Cause, CauseShare


class Wait(NamedTuple):
    """The wait of one job in one life."""

    job: str
    tenant: str
    tier: str
    submitted_ms: int
    until_ms: int
    slo_ms: int
    """The tier's SLO when the job was accepted."""
    outcome: str
    """`waiting`, `started`, or `ended` if the job never started."""
    shares: dict[Cause, CauseShare]
    """Share of each cause; their ms sum to until_ms - submitted_ms."""
    chosen: str
    """Why the discipline chose the job at last, in the discipline's word; empty while the job waits."""
    forecast: tuple[int, int]
    """The newest forecast of the whole wait (p50, p90); (0, 0): none."""
    offset: int
    """Offset of the last ledger record that was read."""
    damage: Damage | None
    """Why the ledger was read no further."""
    unproved_offset: int = -1
    """Where the reading began, if that was a snapshot of which nobody could tell who wrote it; -1: elsewhere."""


class Promised(NamedTuple):
    """A job that somebody was promised (202): the job may be on its way to the scheduler."""

    tenant: str
    tier: str
    submitted_ms: int
