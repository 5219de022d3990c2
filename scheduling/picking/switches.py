"""What loading another version costs, as far as recorded run times say, and how often that may be paid.

The load is part of an attempt, after its start, so it is never reported by itself: it is what attempts that started
where their version was not loaded took longer than the usual time of the version on slots that had it. The mean counts
once it stands out of the spread of run times; until then, and where loads cost nothing that can be seen, it is 0.

Of the time of a class's slots at most `switch_percent` goes to loads, while jobs wait whose versions are loaded: after
a switch the next one is `interval_ms` away (look_ahead).

Seam: `interval_ms`.
"""

from __future__ import annotations

from contract.policy import Policy
from scheduling.state.nodes import Attempt
from scheduling.state.pool import Mean, RequirementClass, State

MEMORY = 128
"""A mean is over all values at first, later over about so many."""
CLEAR = 16
"""A mean counts when its square times the values it is over is more than this times that of the mean deviation: it is
then about three of its own standard errors away from nothing, or more."""


def saw_start(state: State, attempt: Attempt, version: str) -> None:
    """The attempt starts now, and its node is as it was before. Part of `evolve`."""
    attempt.switched = version not in state.nodes[attempt.node].loaded


def saw_success(state: State, attempt: Attempt, version: str) -> None:
    """The attempt, which had started, has done its work. Part of `evolve`."""
    run_ms = state.now_ms - attempt.started_ms
    known = state.warm_ms.get(version)
    if not attempt.switched:
        if known is None:
            known = state.warm_ms[version] = Mean()
        take(known, run_ms)
    elif known is not None:
        take(state.load_ms, run_ms - known.mean)


def take(mean: Mean, value: int) -> None:
    """One more value."""
    mean.count = min(mean.count + 1, MEMORY)
    if mean.count == 1:
        mean.mean, mean.deviation = value, abs(value) // 2
    else:
        mean.deviation += (abs(value - mean.mean) - mean.deviation) // mean.count
        mean.mean += (value - mean.mean) // mean.count


def load_ms(state: State) -> int:
    """What a switch costs; 0: nothing that can be seen."""
    mean = state.load_ms
    is_clear = mean.mean > 0 and mean.mean**2 * mean.count > CLEAR * mean.deviation**2
    return mean.mean if is_clear else 0


def saw_dispatch(state: State, requirement_class: RequirementClass, version: str, node: str) -> None:
    """A job of the class goes to the node. Part of `evolve`."""
    if version not in state.nodes[node].loaded:
        requirement_class.switched_ms = state.now_ms


def interval_ms(state: State, policy: Policy, requirement_class: RequirementClass) -> int:
    """The least time between two switches of the class that the policy allows while there is a choice; 0: any."""
    slots = sum({group.cluster.name: group.cluster.slots for group in requirement_class.groups if group.ids}.values())
    return load_ms(state) * 100 // (policy.switch_percent * max(1, slots))
