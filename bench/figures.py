"""What one run of `bench.policies` measured: the records that it writes and that `bench.policies_report` draws.

Only data lives here, so that the benchmark and its report both import this file and neither imports the other's way."""

from __future__ import annotations

import msgspec


class Cell(msgspec.Struct, frozen=True):
    """What one simulation was asked: a row of the report and, by its discipline, a column."""

    load: str
    utilisation: float
    switch_ms: int
    limit: int
    discipline: str


class Figure(msgspec.Struct, frozen=True):
    """What one simulation measured."""

    cell: Cell
    jobs: int
    slots: int
    attainment: float
    worst_fraction: float
    tier_attainment: dict[str, float]
    tier_p99_ms: dict[str, int]
    used: float
    """Share of the slots' time in which a job ran, 0 to 1."""
    switches: int
    seconds: float
    """How long the simulation took."""


class TwoClusters(msgspec.Struct, frozen=True):
    """What one simulation of two clusters measured, where the slots of the second are half as fast."""

    load: str
    limit: int
    """Attempts that a cluster may hold dispatched and not started; UNLIMITED pushes every job to a node at once."""
    api_p99_ms: int
    attainment: float
    idle_ms: int
    """The longest that a slot stood idle while a job that fits it waited, queued or staged elsewhere."""


class Results(msgspec.Struct):
    jobs: int
    """About how many jobs each load had."""
    figures: list[Figure]
    two_clusters: list[TwoClusters]
    seconds: float
    """How long the whole benchmark took."""
