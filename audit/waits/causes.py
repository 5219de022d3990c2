"""What a job can wait for, and how a wait is divided among causes: exactly, in integers.

Some stretches of a wait have one cause. A stretch in which a job waits for any of several slots has the causes of all
those slots. Shares are kept as fractions until the end and then made whole by largest remainders: so the milliseconds
of all causes sum to the wait, and their percents to 100."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)


class CauseGroup(StrEnum):
    """The groups of causes. audit.waits.sentences has a sentence for each; docs/glossary.md and the OpenAPI document
    list them."""

    ON_THE_WAY = "on_the_way"
    """The job was submitted, and the scheduler has not read it yet."""
    DOWN = "down"
    """Nothing was decided: no scheduler led the pool, or the broker was away."""
    HELD = "held"
    """The pool is on hold: it accepts jobs and starts none."""
    WITHDRAWN = "withdrawn"
    """The job's version was withdrawn, and its alias has none that may run, or the scheduler has not come to it."""
    BACKOFF = "backoff"
    """The job rests before its next attempt."""
    NO_WORKER = "no_worker"
    """Its media are not prepared: there is no CPU worker that takes work."""
    WORKER_LIMIT = "worker_limit"
    """Its media are not prepared: a cluster of CPU workers has as many open preparations as its limit allows."""
    WORKERS_BUSY = "workers_busy"
    """Its media are not prepared: CPU workers prepare the media of other jobs."""
    AT_WORKER = "at_worker"
    """A CPU worker was told to prepare its media, and has not begun, or its report is on its way."""
    FETCHING = "fetching"
    """A CPU worker fetched its media."""
    CHECKING = "checking"
    """A CPU worker checked its media."""
    DECODING = "decoding"
    """A CPU worker decoded its media and stored what the model gets."""
    UNPREPARED = "unprepared"
    """A preparation of its media came to nothing."""
    WORKER_BACKOFF = "worker_backoff"
    """The job rests before its media are prepared again: a server was away, or a CPU worker was lost."""
    NO_NODE = "no_node"
    """There is no node on which the job could run."""
    BUSY = "busy"
    """A slot that fits has been taken since before the job could be picked."""
    OUTRANKED = "outranked"
    """A slot that fits went to a job that was picked before it."""
    PASSED_OVER = "passed_over"
    """A slot that fits went to a job further back whose version was loaded there (look-ahead)."""
    GANG_KEPT = "gang_kept"
    """A slot that fits is kept free for a gang."""
    GATHERING = "gathering"
    """A slot that fits is free, and the job needs several at once."""
    LIMIT = "limit"
    """A slot that fits is free, in a cluster that has as many attempts not started as the cluster's limit allows."""
    DRAINING = "draining"
    """A slot that fits is in a cluster that drains."""
    SET_ASIDE = "set_aside"
    """A slot that fits is on a node that takes nothing new for now, by its own word or because other jobs failed
    there."""
    DECIDING = "deciding"
    """A slot that fits is free, and the scheduler had not come to the job yet (a batch was full)."""
    STAGED_BEHIND = "staged_behind"
    """The job is at its node, behind an attempt that holds the slot."""
    VERSION = "version"
    """The job is at its node, which has to load the job's version first."""
    ORDER = "order"
    """The order and the inputs are on their way to the node, or the node's report is on its way back."""
    PARKED = "parked"
    """The job was at a node that never started it: the attempt was called back, handed back or lost."""
    RAN = "ran"
    """An attempt ran, and failed or was stopped; the job had to start again."""


class Cause(msgspec.Struct, frozen=True, order=True):
    """One cause; fields that do not matter to its group are empty."""

    group: CauseGroup
    tier: str = ""
    tenant: str = ""
    """Tenant of the jobs that went first, of the job ahead at the node, or of the gang. Names of other tenants are for
    operators only."""
    cluster: str = ""
    job: str = ""
    """The gang for which slots are kept."""
    attempt: int = 0
    reason: str = ""
    """How the attempt or the preparation ended, why there is no node or worker, or why the node takes nothing new."""


class CauseShare(msgspec.Struct, frozen=True):
    """The part of a wait for which one cause is to blame."""

    ms: int
    from_ms: int
    """When the cause was first at work, by the pool's clock."""
    until_ms: int
    """When the cause was last at work."""
    jobs: frozenset[str]
    """Jobs that went first, or were ahead at the node."""


class Shares:
    """Adds up the stretches of one wait by cause."""

    def __init__(self) -> None:
        self._whole: dict[Cause, int] = {}
        self._split: dict[int, dict[Cause, int]] = {}
        """By number of slots: ms times slots of each cause."""
        self._spans: dict[Cause, tuple[int, int]] = {}
        self._jobs: dict[Cause, set[str]] = {}
        self.total_ms = 0

    def add(self, cause: Cause, from_ms: int, until_ms: int) -> None:
        """Adds a stretch with one cause."""
        if until_ms > from_ms:
            self._whole[cause] = self._whole.get(cause, 0) + until_ms - from_ms
            self._note(cause, from_ms, until_ms)
            self.total_ms += until_ms - from_ms

    def split(self, weights: Mapping[Cause, int], from_ms: int, until_ms: int) -> None:
        """Adds a stretch in which each cause held `weights[cause]` of the slots that the job waited for."""
        if until_ms <= from_ms:
            return
        shares = self._split.setdefault(sum(weights.values()), {})
        for cause, held in weights.items():
            shares[cause] = shares.get(cause, 0) + (until_ms - from_ms) * held
            self._note(cause, from_ms, until_ms)
        self.total_ms += until_ms - from_ms

    def name(self, cause: Cause, jobs: Iterable[str]) -> None:
        """Names jobs of a cause: they went first, or were ahead at the node."""
        self._jobs.setdefault(cause, set()).update(jobs)

    def _note(self, cause: Cause, from_ms: int, until_ms: int) -> None:
        first_ms, _ = self._spans.get(cause, (from_ms, 0))
        self._spans[cause] = (first_ms, until_ms)

    def settled(self) -> dict[Cause, CauseShare]:
        """The share of each cause; the milliseconds of all shares sum to `total_ms`."""
        exact: dict[Cause, Fraction] = {cause: Fraction(ms) for cause, ms in self._whole.items()}
        for slots, shares in self._split.items():
            for cause, slot_ms in shares.items():
                exact[cause] = exact.get(cause, Fraction(0)) + Fraction(slot_ms, slots)
        return {
            cause: CauseShare(ms, *self._spans[cause], frozenset(self._jobs.get(cause, ())))
            for cause, ms in apportioned({cause: exact[cause] for cause in sorted(exact)}, self.total_ms).items()
        }


def apportioned(shares: Mapping[K, Fraction | int], whole: int) -> dict[K, int]:
    """Divides `whole` into integers in proportion to the shares, by largest remainders; ties go by the shares' order.

    No share may be negative, and not all shares may be 0 unless `whole` is 0."""
    total = sum(shares.values(), Fraction(0))
    if not total:
        return dict.fromkeys(shares, 0)
    exact = {name: Fraction(share) * whole / total for name, share in shares.items()}
    parts = {name: int(share) for name, share in exact.items()}
    left = whole - sum(parts.values())
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[:left]:
        parts[name] += 1
    return parts
