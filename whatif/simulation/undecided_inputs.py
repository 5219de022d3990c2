"""What was said to the simulated scheduler and is not decided yet."""

from __future__ import annotations

from contract.inputs import Body, Input
from whatif.simulation.nodes import SimulatedNode


class UndecidedInputs:
    """Gathers what is said until the next batch takes it, as the topic `jobs` does."""

    def __init__(self, offset: int) -> None:
        """`offset` is the offset of the next input in `jobs`."""
        self.offset = offset
        self.said: list[tuple[int, Body | SimulatedNode]] = []
        """When something was said, and what; a node stands for all its reports."""
        self.first_ms = 0
        """When the first entry of `said` was said."""

    def say(self, at_ms: int, said: Body | SimulatedNode) -> None:
        """A node that has reports is said once: its reports up to the next batch go together, as one record."""
        if not self.said:
            self.first_ms = at_ms
        self.said.append((at_ms, said))

    def take(self) -> list[Input]:
        """Everything that was said, as inputs with offsets; nothing is undecided afterwards."""
        taken, self.said = self.said, []
        inputs = []
        for at_ms, said in taken:
            body = said.report() if isinstance(said, SimulatedNode) else said
            inputs.append(Input(self.offset, at_ms, body))
            self.offset += 1
        return inputs
