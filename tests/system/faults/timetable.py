"""What is to happen in one run, and when: drawn by the seed, before anything has begun."""

from __future__ import annotations

import random
from typing import NamedTuple, TypeVar

Kind = TypeVar("Kind")

NODES = ("node-1", "node-2")
GANGS = {"gang-of-2": 2, "gang-of-5": 5}
"""Models by their ranks: on nodes of four slots, the second needs both."""
KILLED = ("scheduler", *NODES, "child", "api", "kafka", "intake", "projector", "relay", "postgres", "s3")
"""`child`: a model process of a node, in the middle of an attempt if one runs."""

LEASE_S = 12.0
"""`node_lease` of the run's policy: above the 10 s that one batch may count of an outage (ELAPSED_MAX_MS), so that an
outage of the broker or a scheduler that stands still loses no node."""
FROZEN_S = (LEASE_S + 1, LEASE_S + 3)
"""Longer than a lease: a node that stands still so long is lost."""
AWAY_S = (4.0, 7.0)
PAUSE_S = (0.2, 1.0)


class Planned(NamedTuple):
    """One fault."""

    fault: str
    target: str
    lasts_s: float
    after_s: float
    """How long its lane rests before it begins."""


STANDING_STILL = (
    ("frozen", "node-1"),
    ("suspended", "node-2"),
    ("frozen", "scheduler"),
    ("frozen", "intake"),
    ("frozen", "projector"),
    ("frozen", "api"),
)
"""frozen: SIGSTOP of the one process. suspended: of its children as well."""

AWAY = (
    ("down", "postgres"),
    ("frozen", "postgres"),
    ("read-only", "postgres"),
    ("down", "s3"),
    ("frozen", "s3"),
    ("down", "kafka"),
    ("frozen", "kafka"),
    ("held", "main"),
    ("drained", "local"),
    ("cordoned", "node-1"),
    ("namesake", "node-2"),
    ("bad records", "submissions"),
    ("bad records", "jobs"),
)
"""down: kill -9, again and again."""


class Timetable(NamedTuple):
    """Three lanes, which run side by side. Each does its faults one after another."""

    kills: list[Planned]
    still: list[Planned]
    away: list[Planned]

    @property
    def span_s(self) -> float:
        """How long the longest lane takes, if nothing has to be waited for."""
        return max(sum(one.lasts_s + one.after_s for one in lane) for lane in self)


def drawn(seed: int, kills: int, faults: int) -> Timetable:
    """The run of this seed. Of `faults` (of those that last) each kind comes as often as any other, but for one."""
    chance = random.Random(seed)
    kinds = _rounds(chance, STANDING_STILL + AWAY, faults)
    swapped = dict(zip(NODES, chance.sample(NODES, len(NODES)), strict=True))
    still = [_planned(chance, *kind, FROZEN_S, swapped) for kind in kinds if kind in STANDING_STILL]
    away = [_planned(chance, *kind, AWAY_S, swapped) for kind in kinds if kind in AWAY]
    span_s = Timetable([], still, away).span_s
    pause_s = (0.3, max(1.5, 2 * span_s / (kills or 1) - 0.3))
    killed = [
        Planned("killed", target, 0.0, round(chance.uniform(*pause_s), 1)) for target in _rounds(chance, KILLED, kills)
    ]
    return Timetable(killed, still, away)


def _planned(
    chance: random.Random, fault: str, target: str, lasts_s: tuple[float, float], swapped: dict[str, str]
) -> Planned:
    long_s = 0.0 if fault == "bad records" else round(chance.uniform(*lasts_s), 1)
    return Planned(fault, swapped.get(target, target), long_s, round(chance.uniform(*PAUSE_S), 1))


def _rounds(chance: random.Random, kinds: tuple[Kind, ...], count: int) -> list[Kind]:
    rounds = [chance.sample(kinds, len(kinds)) for _ in range(count // len(kinds) + 1)]
    return [kind for one in rounds for kind in one][:count]
