"""A node of a simulation: what it has staged and running, and what it says of itself, as gpu_worker does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from contract.inputs import NodeHeartbeat, NodeJoined, NodeReport, Report
from whatif.simulation.machines import Machine

RENDEZVOUS_PORT = 29_500
"""Every simulated node can be reached at ports from this one on, so any node may run rank 0 of a gang."""


class Costs(msgspec.Struct, frozen=True):
    """What moving work about costs, in ms."""

    switch_ms: int = 0
    """Loading a version into a slot that has another version, or none."""
    order_ms: int = 0
    """From a decision until its order is at the node."""
    fetch_ms: int = 0
    """Fetching the inputs of an attempt, while it is staged."""


class StagedAttempt:
    __slots__ = ("job", "model", "number", "rank_slots", "ready_ms")

    def __init__(self, job: str, number: int, model: int, ready_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
        self.job, self.number, self.model, self.ready_ms, self.rank_slots = job, number, model, ready_ms, rank_slots


class RunningAttempt:
    __slots__ = ("dispatch", "ends_ms", "job", "number", "rank_slots")

    def __init__(self, job: str, number: int, dispatch: str, ends_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
        self.job, self.number, self.dispatch, self.ends_ms, self.rank_slots = job, number, dispatch, ends_ms, rank_slots


class RankSlot:
    """The slot of one more rank of a gang, taken from the order on and given back when rank 0's attempt is over.

    `first` is the node of rank 0."""

    __slots__ = ("dispatch", "first", "node", "slot")

    def __init__(self, node: SimulatedNode, slot: int, first: SimulatedNode, dispatch: str) -> None:
        self.node, self.slot, self.first, self.dispatch = node, slot, first, dispatch


class SimulatedNode:
    """One machine, from its join to its end. `left` is called when it has drained and has nothing left."""

    __slots__ = (
        "alive",
        "cached",
        "draining",
        "free",
        "left",
        "loaded",
        "machine",
        "reports",
        "running",
        "session",
        "staged",
    )

    def __init__(self, machine: Machine, session: str, left: Callable[[int, SimulatedNode], None]) -> None:
        self.machine = machine
        self.session = session
        self.left = left
        self.alive = True
        self.draining = False
        self.loaded: list[int] = [-1] * machine.slots
        """Number of the version in each slot."""
        self.running: list[RunningAttempt | RankSlot | None] = [None] * machine.slots
        self.free = machine.slots
        self.staged: OrderedDict[str, StagedAttempt] = OrderedDict()
        """Staged attempts by dispatch, in the order in which they came."""
        self.cached = set(machine.cached)
        self.reports: list[Report] = []
        """Reports that go with the next batch."""

    @property
    def is_idle(self) -> bool:
        return self.free == self.machine.slots and not self.staged

    def joined(self) -> NodeJoined:
        machine = self.machine
        return NodeJoined(
            machine.node,
            self.session,
            machine.cluster,
            machine.chipset,
            machine.slots,
            machine.gpus,
            machine.memory_mib,
            tuple(sorted(self.cached)),
            f"{machine.node}:{RENDEZVOUS_PORT}",
            machine.holds_most,
        )

    def heartbeat(self, versions: Sequence[str]) -> NodeHeartbeat:
        return NodeHeartbeat(
            self.machine.node,
            self.session,
            tuple(run.dispatch for run in self.running if run is not None),
            tuple(self.staged),
            tuple(sorted({versions[model] for model in self.loaded if model >= 0})),
            tuple(sorted(self.cached)),
            self.draining,
        )

    def report(self) -> NodeReport:
        """All reports that are ready, as one record; none is ready afterwards."""
        said = NodeReport(self.machine.node, self.session, tuple(self.reports))
        self.reports.clear()
        return said

    def free_slot_for(self, model: int) -> int:
        """A free slot with the version loaded, else one with none loaded, else any: the lowest of those."""
        best, best_preference = -1, 3
        for slot, run in enumerate(self.running):
            if run is None:
                loaded = self.loaded[slot]
                preference = 0 if loaded == model else 1 if loaded < 0 else 2
                if preference < best_preference:
                    best, best_preference = slot, preference
        return best
