"""What a node is and where it belongs, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.inputs import NodeJoined
from contract.policy import CLUSTER_KINDS

REFUSED = 4
"""Exit status of a node that the scheduler told to stay out. Its supervisor should rest longer after each start."""

NOT_CONFINED = 5
"""Exit status of a node on which layers are missing that hold models off, where the policy does not trust models."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What a node's process was started with: its name, its cluster and what its slots have."""

    cluster: str
    name: str
    slots: int
    chipset: str
    gpus: int
    """GPUs of each slot."""
    memory_mib: int
    """Memory of each slot."""
    jobs_partition: int
    """The pool's partition of `jobs`."""
    cores: int
    """CPU cores that all slots share."""
    drain_grace_s: float
    """How long running attempts may go on after the node was told to end."""
    address: str = ""
    """host:port, of the first of 1,000 ports at which other nodes reach rank 0 of a gang here. Empty: other nodes
    cannot reach this node."""
    identity: str = ""
    """32 hex digits that tell this node from another one of the same name (`identity`)."""
    join_token: str = field(default="", repr=False)
    """Goes with every join (contract.join_tokens). Empty: none does."""
    layers_missing: tuple[str, ...] = ()
    """Which of contract.inputs.LAYERS do not hold here."""
    kind: str = CLUSTER_KINDS[0]
    """What the node does: one of contract.policy.CLUSTER_KINDS."""

    def join(self, session: str, cached: tuple[str, ...], holds: int) -> NodeJoined:
        """The record with which the node begins a session. `cached` and `holds`: as there."""
        return NodeJoined(
            self.name,
            session,
            self.cluster,
            self.chipset,
            self.slots,
            self.gpus,
            self.memory_mib,
            cached,
            self.address,
            holds,
            self.identity,
            self.layers_missing,
            self.kind,
        )
