"""What a slot is given to compute: one rank of one attempt, with all that its child needs."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from contract.orders import Run
from gpu_worker.io.supplies import Supplies
from runtime.worker.frames import Gang

JOIN_S = 600.0
"""How long the ranks of a gang wait for each other before and after they load: a node may have to fetch the version."""

HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Work:
    """One rank of an attempt. An attempt of one rank has rank 0."""

    run: Run
    supplies: Supplies
    rank: int = 0
    rendezvous: str = ""
    """Of a gang: host:port of its rank 0."""

    @property
    def gang(self) -> Gang | None:
        """What a child must know to join its gang; None for an attempt of one rank."""
        run = self.run
        return Gang(run.dispatch, self.rendezvous, JOIN_S, run.timeout_ms / 1000) if run.world > 1 else None


def rendezvous_here() -> str:
    """host:port on this machine that nothing uses now, for a gang whose ranks are all on this node."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind((HERE, 0))
        return f"{HERE}:{free.getsockname()[1]}"
