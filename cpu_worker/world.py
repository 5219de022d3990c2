"""Everything outside a CPU worker that the worker touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contract.signing import RecordSigner
from cpu_worker.io.file_decoders import FileDecoder
from cpu_worker.io.media_sources import UrlFetcher
from cpu_worker.io.preparation_work import MediaStore
from cpu_worker.io.version_inputs import BlobSource
from runtime.jobs_writer import RecordSink
from runtime.worker.node_agent import OrderSource
from runtime.worker.order_reader import OrderListener
from runtime.worker.payloads import ReadPayload
from runtime.worker.strays import Strays


@dataclass(frozen=True, slots=True)
class WorkerWorld:
    """The servers and programs that a worker uses. Tests give a worker a world of lists."""

    producer: RecordSink
    signer: RecordSigner
    store: MediaStore
    blobs: BlobSource
    urls: UrlFetcher
    read_payload: ReadPayload
    open_orders: Callable[[str, OrderListener], OrderSource]
    """(session, listener) -> a reader of the orders to this session."""
    decoder_of: Callable[[int], FileDecoder]
    """By slot: at one time, one file is decoded in each."""
    strays: Strays = field(default_factory=Strays)
    """What children of this process left behind."""
