"""The machines of a simulation: nodes with slots, and when each joins, leaves, or is lost."""

from __future__ import annotations

from enum import Enum

import msgspec

from scheduling.state.capacity import holds_of

SPEED_ONE = 1000


class Machine(msgspec.Struct, frozen=True):
    """What a node offers, as its NodeJoined says it."""

    node: str
    cluster: str
    slots: int = 1
    chipset: str = "cuda"
    gpus: int = 1
    """Of each slot."""
    memory_mib: int = 80_000
    """Of each slot."""
    speed_permille: int = SPEED_ONE
    """1000: a job runs as long as its arrival says; 500: twice as long."""
    cached: tuple[str, ...] = ()
    holds: int = 0
    """Attempts that it takes, running and staged; 0: as many as a node of gpu_worker with its slots."""

    @property
    def holds_most(self) -> int:
        return holds_of(self.slots, self.holds)


class Step(Enum):
    LOSE = "lose"
    """From one moment to the next: no word any more, its attempts gone. Noticed when its lease lapses."""
    LEAVE = "leave"
    """In order: no new work, what is staged handed back, what runs finished, then gone."""
    JOIN = "join"
    """With a new session."""


class FleetMove(msgspec.Struct, frozen=True):
    at_ms: int
    step: Step
    node: str
    machine: Machine | None = None
    """What joins."""


class Fleet(msgspec.Struct):
    moves: list[FleetMove] = []

    def join(self, at_ms: int, machine: Machine) -> None:
        self.moves.append(FleetMove(at_ms, Step.JOIN, machine.node, machine))

    def leave(self, at_ms: int, node: str) -> None:
        self.moves.append(FleetMove(at_ms, Step.LEAVE, node))

    def lose(self, at_ms: int, node: str) -> None:
        self.moves.append(FleetMove(at_ms, Step.LOSE, node))

    def in_order(self) -> list[FleetMove]:
        """By time; those of one moment as they were put in."""
        return sorted(self.moves, key=lambda move: move.at_ms)

    def slot_ms(self, from_ms: int, to_ms: int) -> int:
        """Slots times ms that were there between these two moments."""
        total = 0
        there: dict[str, tuple[int, int]] = {}
        for move in self.in_order():
            begun_ms, slots = there.pop(move.node, (move.at_ms, 0))
            total += slots * max(0, min(move.at_ms, to_ms) - max(begun_ms, from_ms))
            if move.machine is not None:
                there[move.node] = (move.at_ms, move.machine.slots)
        return total + sum(slots * max(0, to_ms - max(begun_ms, from_ms)) for begun_ms, slots in there.values())


def standing(cluster: str, nodes: int, slots: int = 1, speed_permille: int = SPEED_ONE, chipset: str = "cuda") -> Fleet:
    """A cluster of like nodes, there from the beginning (moment 0) to the end."""
    fleet = Fleet()
    for number in range(nodes):
        name = f"{cluster}-{number:04}"
        fleet.join(0, Machine(name, cluster, slots, chipset, speed_permille=speed_permille))
    return fleet


def together(*fleets: Fleet) -> Fleet:
    """Several as one; their nodes have different names."""
    return Fleet([move for fleet in fleets for move in fleet.moves])
