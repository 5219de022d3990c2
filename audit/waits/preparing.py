"""Why a job's media are not prepared yet, by the state alone; and what became of the time at a CPU worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from audit.waits.causes import Cause, CauseGroup
from contract.events import InputsPrepared
from scheduling.picking.preparations import room
from scheduling.state.backpressure import in_flight
from scheduling.state.pool import State

ENDED_BY_REQUEST = ("cancel", "erase", "expired")
"""Why a preparation is closed when its job ends."""


class Stretch(NamedTuple):
    """A part of the wait that is kept aside."""

    cause: Cause
    from_ms: int
    until_ms: int
    ahead: str = ""
    """The job that held the slot."""


def before_workers(state: State) -> dict[Cause, int]:
    """How many CPU workers each cause keeps from a job that waits for one."""
    found: dict[Cause, int] = {}
    are_leaving = False
    for group in state.preparing.requirement_class.groups:
        cluster, workers = group.cluster, group.able.bit_count()
        if cluster.draining and workers:
            cause = Cause(CauseGroup.DRAINING, cluster=cluster.name)
        elif not workers or not cluster.limit:
            are_leaving = are_leaving or bool(group.ids)
            continue
        elif in_flight(cluster) >= cluster.limit:
            cause = Cause(CauseGroup.WORKER_LIMIT, cluster=cluster.name)
        else:
            cause = Cause(CauseGroup.DECIDING if room(group) else CauseGroup.WORKERS_BUSY)
        found[cause] = found.get(cause, 0) + workers
    return found or {Cause(CauseGroup.NO_WORKER, reason="leaving" if are_leaving else "none"): 1}


def divided(aside: Iterable[Stretch], done: InputsPrepared) -> list[Stretch]:
    """The time at the worker whose inputs count: the worker says how long it fetched, checked and decoded, at the end;
    before that it had not come to the job, or its report was on its way. More than there was is not believed."""
    left = [
        (Cause(CauseGroup.DECODING), done.decode_ms),
        (Cause(CauseGroup.CHECKING), done.check_ms),
        (Cause(CauseGroup.FETCHING), done.fetch_ms),
    ]
    parts: list[Stretch] = []
    for stretch in sorted(aside, key=lambda stretch: -stretch.until_ms):
        until_ms = stretch.until_ms
        while left and until_ms > stretch.from_ms and stretch.cause.group is CauseGroup.AT_WORKER:
            cause, ms = left.pop(0)
            from_ms = max(stretch.from_ms, until_ms - ms)
            parts.append(Stretch(cause, from_ms, until_ms))
            if (rest_ms := ms - (until_ms - from_ms)) > 0:
                left.insert(0, (cause, rest_ms))
            until_ms = from_ms
        parts.append(Stretch(stretch.cause, stretch.from_ms, until_ms))
    return parts[::-1]
