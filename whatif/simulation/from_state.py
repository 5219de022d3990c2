"""The machines of a simulation that begins in the middle of a pool's life, as the pool's state has them.

An attempt that runs in the state runs on, in a slot that has its version loaded, until its job's run time has passed
since the recorded start. An attempt that is staged in the state is staged in the simulation, with its inputs fetched.
An attempt that was told to stop stops. A node that holds off, or has slots that cannot be used, is whole again from its
first heartbeat on: nothing says how long its trouble lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduling.state.pool import State
from whatif.simulation.machines import Machine
from whatif.simulation.nodes import SimulatedNode
from whatif.simulation.site import Site


def take_over(
    state: State, site: Site, now_ms: int, numbers: Mapping[str, int], left: Callable[[int, SimulatedNode], None]
) -> list[SimulatedNode]:
    """Joins every node of the state to the site, with what the node holds. `numbers` of the open jobs. Returns
    the nodes that drain and hold nothing any more."""
    for name in sorted(state.nodes):
        known = state.nodes[name]
        machine = Machine(
            name,
            known.cluster,
            known.slots,
            known.chipset,
            known.gpus,
            known.memory_mib,
            cached=known.cached,
            holds=known.holds,
        )
        site.join(machine, known.session, left).draining = known.draining
    attempts = [job.open for job in state.jobs.values() if job.open is not None]
    for attempt in sorted(attempts, key=lambda attempt: (not attempt.started, attempt.dispatched_ms, attempt.job)):
        if attempt.started:
            site.run_on(now_ms, attempt, numbers[attempt.job])
        else:
            site.hold(now_ms, attempt, numbers[attempt.job])
    for attempt in attempts:
        if attempt.stop:  # ordered before the state: the order reaches the node now
            (site.kill if attempt.stop == "kill" else site.recall)(now_ms, attempt.node, attempt.dispatch)
    nodes = [site.nodes[name] for name in sorted(state.nodes)]
    for node in nodes:
        site.load(node, state.nodes[node.machine.node].loaded)
        site.fill(now_ms, node)
        known = state.nodes[node.machine.node]
        if known.holding or known.usable < known.slots:
            site.stale_loads[node.machine.node] = node
    return [node for node in nodes if node.alive and node.draining and node.is_idle]
