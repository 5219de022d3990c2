"""What loading another version costs, as far as recorded run times say, and how often that price may be paid.

A load is part of an attempt and comes after the attempt's start, so no report names its time. It is inferred: how much
longer attempts ran whose version had to be loaded than the version usually runs on slots that have loaded it. The mean
of this difference counts once it stands out from the spread of run times; until then the cost is taken as 0.

While jobs wait whose versions are loaded, at most `switch_percent` of the time of a class's slots goes to loads: after
a switch the next switch is `interval_ms` away (look_ahead).

Seam: `interval_ms`.
"""

from __future__ import annotations

from contract.policy import Policy
from scheduling.state.nodes import Attempt
from scheduling.state.pool import Mean, RequirementClass, State

MEMORY = 128
"""A mean is over all values at first, later over about this many of the last ones."""
CLEAR = 16
"""A mean counts when mean**2 * count > CLEAR * deviation**2: the mean is then about three of its standard errors or
more away from 0."""


def saw_start(state: State, attempt: Attempt, version: str) -> None:
    """The attempt starts now. Call this before the node's loaded versions change. Part of `evolve`."""
    attempt.switched = version not in state.nodes[attempt.node].loaded


def saw_success(state: State, attempt: Attempt, version: str) -> None:
    """An attempt that had started has succeeded. Part of `evolve`."""
    run_ms = state.now_ms - attempt.started_ms
    known = state.warm_ms.get(version)
    if not attempt.switched:
        if known is None:
            known = state.warm_ms[version] = Mean()
        take(known, run_ms)
    elif known is not None:
        take(state.load_ms, run_ms - known.mean)


def take(mean: Mean, value: int) -> None:
    """Take one more value into the mean."""
    mean.count = min(mean.count + 1, MEMORY)
    if mean.count == 1:
        mean.mean, mean.deviation = value, abs(value) // 2
    else:
        mean.deviation += (abs(value - mean.mean) - mean.deviation) // mean.count
        mean.mean += (value - mean.mean) // mean.count


def load_ms(state: State) -> int:
    """What a switch costs in ms; 0: no cost can be seen."""
    mean = state.load_ms
    is_clear = mean.mean > 0 and mean.mean**2 * mean.count > CLEAR * mean.deviation**2
    return mean.mean if is_clear else 0


def saw_dispatch(state: State, requirement_class: RequirementClass, version: str, node: str) -> None:
    """A job of the class goes to the node. Part of `evolve`."""
    if version not in state.nodes[node].loaded:
        requirement_class.switched_ms = state.now_ms


def interval_ms(state: State, policy: Policy, requirement_class: RequirementClass) -> int:
    """The least time in ms between two switches of the class while another choice exists; 0: no least time."""
    slots = sum({group.cluster.name: group.cluster.slots for group in requirement_class.groups if group.ids}.values())
    return load_ms(state) * 100 // (policy.switch_percent * max(1, slots))
