"""`python -m cpu_worker --cluster C --node N --slots K`: one CPU worker, until SIGTERM. Settings have the addresses."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from contract.policy import CLUSTER_KINDS
from contract.signers import node_signer
from contract.topics import JOBS
from cpu_worker.agent import WorkerAgent
from cpu_worker.io.file_decoders import DecoderProcesses
from cpu_worker.world import WorkerWorld
from registry.blobs import BlobCache
from runtime import jobs_writer
from runtime.anonymous_clients import require_names
from runtime.egress.egress import process_egress
from runtime.entry import exit_with
from runtime.kafka import Lookup, Producer
from runtime.media.confined_program import find_decoder
from runtime.settings import Settings
from runtime.telemetry import configure_logging, serve_metrics
from runtime.worker.identity import IdentityTaken, hold_identity, identity_in
from runtime.worker.node import NodeIdentity
from runtime.worker.node_store import node_store
from runtime.worker.options import node_folder, node_parser, payload_at
from runtime.worker.order_reader import OrderReader
from runtime.worker.scratch import Scratch, ScratchTaken
from runtime.worker.strays import Strays
from runtime.worker.watchdog import Watchdog, limit_s

_, PREPARE = CLUSTER_KINDS
CHIPSET = "cpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 after a drain; 1 when the broker did not take the last reports; 2 when the options, the scratch
    directory or the decoder cannot be used; 3 or SIGPROF when the watchdog ended the process; 4 when the scheduler
    keeps the worker out."""
    settings = Settings()
    options = node_parser("cpu_worker", "One CPU worker: prepares the media of jobs.", "preparations run").parse_args(
        arguments
    )
    configure_logging("cpu_worker")
    require_names(settings)
    try:
        node = _node(options, settings)
        hold_identity(node_folder(settings, node.name))
        signer = jobs_writer.process_signer(settings, node_signer(node.cluster, node.name))
        scratch = Scratch(options.scratch or node_folder(settings, node.name))
        decoder = find_decoder(settings.ffmpeg, scratch.confinement, [settings.data, scratch.path])
    except (IdentityTaken, ScratchTaken, OSError) as error:
        print(f"cpu_worker: {error}", file=sys.stderr)
        return 2
    strays = Strays()
    strays.adopt()
    serve_metrics(settings.metrics_port)
    store = node_store(settings)
    lookup = Lookup(settings.brokers, JOBS, client_id=f"node-{node.name}-payloads")
    world = WorkerWorld(
        producer=Producer(settings.brokers, f"node-{node.name}"),
        signer=signer,
        store=store,
        blobs=BlobCache(settings.data / "blobs", store),
        urls=process_egress(settings.egress_policy),
        read_payload=lambda partition, offset: payload_at(lookup, partition, offset),
        open_orders=lambda session, agent: OrderReader(settings.brokers, node.cluster, node.name, session, agent),
        decoder_of=DecoderProcesses(decoder).for_slot,
        strays=strays,
    )
    agent = WorkerAgent(node, world, scratch, heartbeat_ms=settings.heartbeat_ms)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: agent.stop())
    Watchdog(lambda: agent.turns, limit_s(settings.heartbeat_ms / 1000)).start()
    return agent.run()


def _node(options: argparse.Namespace, settings: Settings) -> NodeIdentity:
    """OSError when the data directory cannot be used."""
    return NodeIdentity(
        cluster=options.cluster,
        name=options.node,
        slots=options.slots,
        chipset=CHIPSET,
        gpus=0,
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 // options.slots,
        jobs_partition=options.partition,
        cores=options.cores or len(os.sched_getaffinity(0)),
        drain_grace_s=options.drain_grace_s,
        identity=identity_in(node_folder(settings, options.node)),
        join_token=settings.join_token,
        kind=PREPARE,
    )


if __name__ == "__main__":
    exit_with("cpu_worker", main)
