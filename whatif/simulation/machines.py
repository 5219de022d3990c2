"""The machines of a simulation: nodes with slots, and when each joins, leaves, or is lost."""

from __future__ import annotations

from enum import Enum

import msgspec

from contract.policy import Policy
from scheduling.state.capacity import holds_of

SPEED_ONE = 1000


class Machine(msgspec.Struct, frozen=True):
    """What a node offers, as its NodeJoined says."""

    node: str
    cluster: str
    slots: int = 1
    chipset: str = "cuda"
    gpus: int = 1
    """GPUs of each slot."""
    memory_mib: int = 80_000
    """Memory of each slot."""
    speed_permille: int = SPEED_ONE
    """1000: a job runs for as long as its arrival says; 500: for twice as long."""
    cached: tuple[str, ...] = ()
    holds: int = 0
    """Most attempts, running and staged, that the node takes; 0: as many as a gpu_worker node with these slots."""

    @property
    def holds_most(self) -> int:
        return holds_of(self.slots, self.holds)


def let_in(policy: Policy) -> Policy:
    """The policy as a simulation is told it. Machines come and go as they were recorded, with no token and unsigned:
    the policy asks for none and revokes nobody."""
    if not policy.join_tokens and not policy.revoked:
        return policy
    return msgspec.structs.replace(policy, join_tokens=False, revoked=())


class Step(Enum):
    """What a machine does in a move."""

    LOSE = "lose"
    """The machine goes silent and its attempts are gone. The scheduler notices when the lease lapses."""
    LEAVE = "leave"
    """The machine takes no new work, hands back what is staged, finishes what runs, and goes."""
    JOIN = "join"
    """The machine comes, with a new session."""


class FleetMove(msgspec.Struct, frozen=True):
    """A machine joins, leaves or is lost."""

    at_ms: int
    step: Step
    node: str
    machine: Machine | None = None
    """The machine that joins; None in every other move."""


class Fleet(msgspec.Struct):
    """All moves of a simulation's machines."""

    moves: list[FleetMove] = []

    def join(self, at_ms: int, machine: Machine) -> None:
        self.moves.append(FleetMove(at_ms, Step.JOIN, machine.node, machine))

    def leave(self, at_ms: int, node: str) -> None:
        self.moves.append(FleetMove(at_ms, Step.LEAVE, node))

    def lose(self, at_ms: int, node: str) -> None:
        self.moves.append(FleetMove(at_ms, Step.LOSE, node))

    def in_order(self) -> list[FleetMove]:
        """The moves by time; moves of one moment stay in the order in which they were added."""
        return sorted(self.moves, key=lambda move: move.at_ms)

    def slot_ms(self, from_ms: int, to_ms: int) -> int:
        """Slots times ms that the machines offered between these two moments."""
        total = 0
        there: dict[str, tuple[int, int]] = {}
        for move in self.in_order():
            begun_ms, slots = there.pop(move.node, (move.at_ms, 0))
            total += slots * max(0, min(move.at_ms, to_ms) - max(begun_ms, from_ms))
            if move.machine is not None:
                there[move.node] = (move.at_ms, move.machine.slots)
        return total + sum(slots * max(0, to_ms - max(begun_ms, from_ms)) for begun_ms, slots in there.values())


def standing(cluster: str, nodes: int, slots: int = 1, speed_permille: int = SPEED_ONE, chipset: str = "cuda") -> Fleet:
    """A cluster of equal nodes that are there from the beginning (moment 0) to the end."""
    fleet = Fleet()
    for number in range(nodes):
        name = f"{cluster}-{number:04}"
        fleet.join(0, Machine(name, cluster, slots, chipset, speed_permille=speed_permille))
    return fleet


def together(*fleets: Fleet) -> Fleet:
    """Several fleets as one. Their nodes must have different names."""
    return Fleet([move for fleet in fleets for move in fleet.moves])
