"""The machines of a simulation: nodes with slots, and when each joins, leaves, or is lost."""

from __future__ import annotations

from enum import IntEnum

import msgspec

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


class Step(IntEnum):
    """In the order in which they happen at one moment."""

    LOSE = 0
    """From one moment to the next: no word any more, its attempts gone. Noticed when its lease lapses."""
    LEAVE = 1
    """In order: no new work, what is staged handed back, what runs finished, then gone."""
    JOIN = 2
    """With a new session."""


class Move(msgspec.Struct, frozen=True, order=True):
    at_ms: int
    step: Step
    node: str


class Fleet(msgspec.Struct):
    """Machines by node, and their moves in order of time."""

    machines: dict[str, Machine] = {}
    moves: list[Move] = []

    def join(self, at_ms: int, machine: Machine) -> None:
        self.machines[machine.node] = machine
        self.moves.append(Move(at_ms, Step.JOIN, machine.node))

    def leave(self, at_ms: int, node: str) -> None:
        self.moves.append(Move(at_ms, Step.LEAVE, node))

    def lose(self, at_ms: int, node: str) -> None:
        self.moves.append(Move(at_ms, Step.LOSE, node))

    def slot_ms(self, from_ms: int, to_ms: int) -> int:
        """Slots times ms that were there between these two moments."""
        total = 0
        since: dict[str, int] = {}
        for move in [*sorted(self.moves), *(Move(to_ms, Step.LEAVE, node) for node in self.machines)]:
            begun = since.pop(move.node, None)
            if begun is not None:
                total += self.machines[move.node].slots * max(0, min(move.at_ms, to_ms) - max(begun, from_ms))
            if move.step is Step.JOIN:
                since[move.node] = move.at_ms
        return total


def standing(cluster: str, nodes: int, slots: int = 1, speed_permille: int = SPEED_ONE, chipset: str = "cuda") -> Fleet:
    """A cluster of like nodes, there from the beginning (moment 0) to the end."""
    fleet = Fleet()
    for number in range(nodes):
        name = f"{cluster}-{number:04}"
        fleet.join(0, Machine(name, cluster, slots, chipset, speed_permille=speed_permille))
    return fleet


def together(*fleets: Fleet) -> Fleet:
    """Several as one; their nodes have different names."""
    whole = Fleet()
    for fleet in fleets:
        whole.machines |= fleet.machines
        whole.moves += fleet.moves
    return whole
