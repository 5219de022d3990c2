"""The agent of a GPU node: what its rules answer is carried out by its held attempts."""

from __future__ import annotations

from gpu_worker.held_attempts import HeldAttempts
from gpu_worker.rules.actions import Action
from gpu_worker.rules.node_rules import NodeRules
from gpu_worker.world import World
from runtime.worker.node import NodeIdentity
from runtime.worker.node_agent import NodeAgent, new_session
from runtime.worker.rules.holding import RESULT_BYTES_MAX, Holding
from runtime.worker.scratch import Scratch


class Agent(NodeAgent[Action]):
    def __init__(
        self,
        node: NodeIdentity,
        world: World,
        scratch: Scratch,
        *,
        heartbeat_ms: int,
        result_bytes_max: int = RESULT_BYTES_MAX,
    ) -> None:
        """`result_bytes_max`: of outputs that wait here for an object store that is away, before nothing new starts."""
        rules = NodeRules(node.name, new_session(), node.slots, Holding(result_bytes_max))
        super().__init__(node, world, scratch, rules, heartbeat_ms=heartbeat_ms)
        self._held_attempts = HeldAttempts(
            node,
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
    def _attempts(self) -> HeldAttempts:
        return self._held_attempts

    @property
    def child_pids(self) -> list[int]:
        """Process id of each slot's child, 0 for none."""
        return self._held_attempts.child_pids
