"""`python -m gpu_worker --cluster C --node N --slots K`: one node, until SIGTERM. Addresses come from Settings.

HEADRACE_NODE_ADDRESS says where other nodes reach this node, for gangs across nodes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

import structlog

from contract.signers import node_signer
from contract.topics import JOBS
from gpu_worker.agent import Agent
from gpu_worker.io.encoding import EncoderTuning
from gpu_worker.rules.budgets import budgets
from gpu_worker.world import World
from registry.depot import Depot
from runtime import jobs_writer
from runtime.anonymous_clients import require_names
from runtime.entry import exit_with
from runtime.kafka import Lookup, Producer
from runtime.media.decoder_program import DecoderUnusable, find_program
from runtime.settings import Settings
from runtime.telemetry import configure_logging, serve_metrics
from runtime.worker.canary_flight import find_layers, tell_of
from runtime.worker.identity import IdentityTaken, hold_identity, identity_in
from runtime.worker.node import NodeIdentity
from runtime.worker.node_store import node_store
from runtime.worker.options import count, name, node_folder, node_parser, payload_at
from runtime.worker.order_reader import OrderReader
from runtime.worker.scratch import Scratch, ScratchTaken
from runtime.worker.strays import Strays
from runtime.worker.watchdog import Watchdog, limit_s

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 after a drain; 1 when the broker did not take the last reports; 2 when the options or the scratch
    directory cannot be used; 3 or SIGPROF when the watchdog ended the process; 4 when the scheduler keeps the node out;
    5 when models could reach what is the node's, and the policy does not say that they are trusted."""
    settings = Settings()
    options = _parser().parse_args(arguments)
    configure_logging("gpu_worker")
    require_names(settings)
    try:
        node = _node(options, settings)
        hold_identity(node_folder(settings, node.name))
        signer = jobs_writer.process_signer(settings, node_signer(node.cluster, node.name))
        scratch = Scratch(options.scratch or node_folder(settings, node.name))
        layers = find_layers(scratch.confinement, [settings.data, scratch.path], os.environ)
    except (IdentityTaken, ScratchTaken, OSError) as error:
        print(f"gpu_worker: {error}", file=sys.stderr)
        return 2
    tell_of(layers)
    node = replace(node, layers_missing=layers.missing)
    scratch.give_slots_to(layers.confinement.uid)
    strays = Strays()
    strays.adopt()
    scratch.end_strays()
    serve_metrics(settings.metrics_port)
    store = node_store(settings)
    depot = Depot(settings.data / "depot", store)
    lookup = Lookup(settings.brokers, JOBS, client_id=f"node-{node.name}-payloads")
    allowed = budgets(
        scratch.free_bytes(),
        node.slots,
        result_bytes_max=settings.result_bytes_max,
        frames_bytes_max=settings.frames_bytes_max,
        input_bytes_max=settings.input_bytes_max,
    )
    world = World(
        producer=Producer(settings.brokers, f"node-{node.name}"),
        signer=signer,
        store=store,
        depot=depot,
        cached=tuple(depot.cached()),
        read_payload=lambda partition, offset: payload_at(lookup, partition, offset),
        open_orders=lambda session, agent: OrderReader(settings.brokers, node.cluster, node.name, session, agent),
        environment=os.environ,
        confinement=layers.confinement,
        encoder=_encoder(settings),
        encoding=EncoderTuning.of(settings, node.cores),
        frames_bytes_max=allowed.frames_bytes,
        input_bytes_max=allowed.input_bytes,
        strays=strays,
    )
    agent = Agent(node, world, scratch, heartbeat_ms=settings.heartbeat_ms, result_bytes_max=allowed.result_bytes)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: agent.stop())
    Watchdog(lambda: agent.turns, limit_s(settings.heartbeat_ms / 1000)).start()
    return agent.run()


def _parser() -> argparse.ArgumentParser:
    parser = node_parser("gpu_worker", "One node of a cluster: runs models in its slots.", "attempts run")
    parser.add_argument("--chipset", default="cpu", type=name, help="cpu, cuda, rocm or another label (default: cpu)")
    parser.add_argument("--gpus", default=0, type=count, help="GPUs of each slot (default: 0)")
    parser.add_argument("--memory-mib", type=count, help="memory of each slot (default: main memory by slots)")
    return parser


def _node(options: argparse.Namespace, settings: Settings) -> NodeIdentity:
    """OSError when the data directory cannot be used."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 // options.slots
    return NodeIdentity(
        cluster=options.cluster,
        name=options.node,
        slots=options.slots,
        chipset=options.chipset,
        gpus=options.gpus,
        memory_mib=memory_mib if options.memory_mib is None else options.memory_mib,
        jobs_partition=options.partition,
        cores=options.cores or len(os.sched_getaffinity(0)),
        drain_grace_s=options.drain_grace_s,
        address=settings.node_address,
        identity=identity_in(node_folder(settings, options.node)),
        join_token=settings.join_token,
    )


def _encoder(settings: Settings) -> str:
    """The program that encodes; empty, with a word in the log: there is none, and jobs that need one will say so."""
    try:
        return str(find_program(settings.ffmpeg))
    except DecoderUnusable as error:
        log.warning("no encoder: what models hand over cannot be encoded", found=str(error))
        return ""


if __name__ == "__main__":
    exit_with("gpu_worker", main)
