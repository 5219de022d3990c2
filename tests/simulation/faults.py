"""What goes wrong and when. Each seed draws its own mix, so that rare faults are also seen alone."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.timeline import Timeline


def plan(timeline: Timeline, until_ms: int, kinds: dict[str, tuple[int, Callable[[], None]]]) -> list[str]:
    """Plans faults and acts until a time, and returns the names of those chosen. `kinds` gives for each name the mean
    ms between two of them and what to do.

    This is swarm testing: each kind is left out of about a third of the seeds, and its pace varies by a factor of nine.
    """
    chosen = []
    for name, (mean_ms, action) in kinds.items():
        if timeline.happens(0.35):
            continue
        chosen.append(name)
        pace_ms = int(mean_ms * 3 ** timeline.chance.uniform(-1, 1))
        at_ms = timeline.now_ms
        while True:
            at_ms += max(1, int(timeline.chance.expovariate(1 / pace_ms)))
            if at_ms >= until_ms:
                break
            timeline.after(at_ms - timeline.now_ms, action)
    return chosen
