"""What the ranks of a gang on one node share, and nobody else: a network, shared memory, a user.

The first rank's process makes these when it goes behind its layers, and hands them to the others' through sockets that
the agent gave each pair (`runtime.worker.layers.namespaces`). So the agent waits for nobody, whichever rank's slot is
free first. A rank whose first does not start meets the end of its socket, and does not start either.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from runtime.worker.room_place import RoomPlace


class GangRoom:
    """For the agent's main thread, from the launch of an attempt until the attempt is forgotten."""

    def __init__(self, slots: Sequence[int]) -> None:
        """OSError when no descriptors are left."""
        self._slots = tuple(slots)
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        try:
            for slot in self._slots[1:]:
                self._pairs[slot] = socket.socketpair()
        except BaseException:  # no socket of half a room stays open, whatever ended its making
            self.close()
            raise

    def place(self, slot: int) -> RoomPlace:
        first = self._slots[0]
        if slot == first:
            return RoomPlace(first, opens=tuple(ours.fileno() for ours, _ in self._pairs.values()))
        return RoomPlace(first, enters=self._pairs[slot][1].fileno())

    def started(self, slot: int) -> None:
        """The rank's process has its ends: only its own life keeps them open from now on."""
        if slot == self._slots[0]:
            for ours, _ in self._pairs.values():
                ours.close()
        else:
            self._pairs[slot][1].close()

    def close(self) -> None:
        for pair in self._pairs.values():
            for end in pair:
                end.close()
