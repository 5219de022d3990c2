"""What holds an encoder off the node: the layers of a model's child, tighter."""

from __future__ import annotations

import sys
from pathlib import Path

from contract.bounds import SLOTS_MAX
from runtime.worker.confinement import PROGRAMS, ChildPlaces, Confinement, interpreter_places

OWN = "own"


class EncoderWall:
    def __init__(self, confinement: Confinement) -> None:
        self._confinement = confinement

    def owner(self, number: int) -> int:
        """The user of the encoder of this number; 0: the agent's. No child of a node with less than SLOTS_MAX slots is
        this user."""
        return self._confinement.uid(SLOTS_MAX - 1 - number)

    def before(
        self, number: int, program: str, directory: str, address_space: int, file_bytes: int
    ) -> tuple[list[str], bool]:
        """What stands before the encoder's own command, and whether that keeps it in processes of its own. `directory`
        is all that it may write to."""
        read = (str(PROGRAMS), str(Path(program).resolve().parent), *interpreter_places(sys.executable))
        places = ChildPlaces(read, directory, directory, directory)
        plan = self._confinement.plan(SLOTS_MAX - 1 - number, places, gpus=False)
        plan |= {"address_space": address_space, "fsize": file_bytes}
        return self._confinement.command(plan), plan["processes"] == OWN
