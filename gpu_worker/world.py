"""Everything outside a GPU node that the node touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from contract.signing import RecordSigner
from gpu_worker.io.encoding import DEFAULT_TUNING, EncoderTuning
from gpu_worker.io.prepared_inputs import INPUT_BYTES_MAX, InputStore
from gpu_worker.io.result_objects import ResultStore
from gpu_worker.io.versions import VersionSource
from runtime.jobs_writer import RecordSink
from runtime.settings import FRAMES_BYTES_MAX
from runtime.worker.confinement import Confinement
from runtime.worker.node_agent import OrderSource
from runtime.worker.order_reader import OrderListener
from runtime.worker.payloads import ReadPayload
from runtime.worker.strays import Strays


class NodeStore(ResultStore, InputStore, Protocol):
    """What a node asks the object store."""


@dataclass(frozen=True, slots=True)
class World:
    """The servers, disks and variables that an agent uses. Tests give an agent a world of lists."""

    producer: RecordSink
    signer: RecordSigner
    store: NodeStore
    depot: VersionSource
    cached: tuple[str, ...]
    """Versions on this disk at the start, the most recently used version first."""
    read_payload: ReadPayload
    open_orders: Callable[[str, OrderListener], OrderSource]
    """(session, listener) -> a reader of the orders to this session."""
    environment: Mapping[str, str]
    """This process's environment."""
    confinement: Confinement | None = None
    """What holds children off this process; None: nothing does."""
    encoder: str = ""
    """Path of ffmpeg; empty: there is none, and what models hand over cannot be encoded."""
    encoding: EncoderTuning = DEFAULT_TUNING
    frames_bytes_max: int = FRAMES_BYTES_MAX
    """Of pictures that one attempt hands over, before they are encoded."""
    input_bytes_max: int = INPUT_BYTES_MAX
    """Of prepared media that wait here for their attempts."""
    strays: Strays = field(default_factory=Strays)
    """What children of this process left behind."""
