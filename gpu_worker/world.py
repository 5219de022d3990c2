"""Everything outside a GPU node that the node touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpu_worker.io.results import Store
from gpu_worker.io.supplies import Depot, ReadPayload
from runtime.worker.node import Listener, OrderReader, Producer


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the node that it touches."""

    producer: Producer
    store: Store
    depot: Depot
    cached: tuple[str, ...]
    """Versions that were on this disk at the start, the one that was used last first."""
    read_payload: ReadPayload
    open_orders: Callable[[str, Listener], OrderReader]
    """(session, listener) -> a reader of the orders to this session."""
    environment: Mapping[str, str]
    """This process's environment."""
