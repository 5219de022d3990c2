"""What a node is, and who hears the orders to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contract.orders import Order
from runtime.kafka import OnDelivery


@dataclass(frozen=True, slots=True)
class Node:
    """What this node is and where it belongs."""

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
    """How long what runs may go on once the node was told to end."""
    address: str = ""
    """host:port, of the first of 1,000 ports at which other nodes reach rank 0 of a gang here; empty: they can't."""


class Producer(Protocol):
    """runtime.kafka.Producer, as far as it is used here."""

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = ...,
        headers: list[tuple[str, bytes]] = ...,
        partition: int | None = ...,
        on_delivery: OnDelivery | None = ...,
    ) -> None: ...


class Listener(Protocol):
    """Who hears what an OrderReader reads. Both are called in the reading thread."""

    def positioned(self, session: str) -> None:
        """Every order to this session from here on will be heard: it may join."""

    def ordered(self, orders: list[Order]) -> None:
        """Orders to this node, in log order."""


class OrderReader(Protocol):
    """runtime.worker.order_reader.Dispatches"""

    def start(self) -> None: ...
    def stop(self, wait_s: float = ...) -> None: ...
