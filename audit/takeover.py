"""The machines of a simulation that begins in the middle of a pool's life, as the pool's state has them.

An attempt that runs there runs on, in a slot that has its version loaded, until its job's run time has passed since
the start that was recorded. What is staged there is staged here, its inputs fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audit.fleet import Machine
from audit.simulated_nodes import Node, Site
from scheduling.state import State


def take_over(
    state: State, site: Site, now_ms: int, numbers: Mapping[str, int], left: Callable[[int, Node], None]
) -> list[Node]:
    """Puts every node of the state and what it holds there. `numbers` of the jobs that are open. Returns nodes that
    drain and hold nothing any more."""
    over = []
    for name in sorted(state.nodes):
        known, held = state.nodes[name], state.node_attempts[name]
        machine = Machine(
            name, known.cluster, known.slots, known.chipset, known.gpus, known.memory_mib, cached=known.cached
        )
        node = site.join(machine, known.session, left)
        node.draining = known.draining
        attempts = sorted(held.values(), key=lambda attempt: (attempt.dispatched_ms, attempt.job))
        for attempt in attempts:
            if attempt.started:
                site.run_on(now_ms, node, attempt.job, numbers[attempt.job], attempt.dispatch, attempt.started_ms)
            else:
                site.hold(now_ms, node, attempt.job, numbers[attempt.job], attempt.dispatch)
        site.load(node, known.loaded)
        site.fill(now_ms, node)
        if node.draining and node.is_idle:
            over.append(node)
    return over
