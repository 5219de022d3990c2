"""The agent of a CPU worker: what its rules answer is carried out by its held preparations."""

from __future__ import annotations

from cpu_worker.held_preparations import HeldPreparations
from cpu_worker.rules.actions import WorkerAction
from cpu_worker.rules.preparation_rules import PreparationRules
from cpu_worker.world import WorkerWorld
from runtime.worker.node import NodeIdentity
from runtime.worker.node_agent import NodeAgent, new_session
from runtime.worker.rules.holding import Holding
from runtime.worker.scratch import Scratch

GIB = 2**30
FILES_BYTES_MAX = 16 * GIB
"""Of sources and prepared media that lie on the worker's disk, before nothing new begins."""


class WorkerAgent(NodeAgent[WorkerAction]):
    def __init__(
        self,
        node: NodeIdentity,
        world: WorkerWorld,
        scratch: Scratch,
        *,
        heartbeat_ms: int,
        files_bytes_max: int = FILES_BYTES_MAX,
    ) -> None:
        rules = PreparationRules(node.name, new_session(), node.slots, Holding(files_bytes_max))
        super().__init__(node, world, scratch, rules, heartbeat_ms=heartbeat_ms)
        self._held_preparations = HeldPreparations(
            node.slots,
            world,
            scratch,
            self._loop,
            rules,
            self._sender,
            self._heartbeat,
            self._join_again,
            self._stay_out,
        )

    @property
    def _attempts(self) -> HeldPreparations:
        return self._held_preparations
