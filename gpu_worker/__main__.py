"""`python -m gpu_worker --cluster C --node N --slots K`: one node, until SIGTERM. Addresses come from Settings.

HEADRACE_NODE_ADDRESS says where other nodes reach this node, for gangs across nodes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from contract.bounds import SLOTS_MAX
from contract.names import is_name
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
from runtime.object_store import SHORT_READ_TIMEOUT_S, ObjectStore
from runtime.settings import Settings
from runtime.telemetry import configure_logging, serve_metrics
from runtime.worker.canary_flight import find_layers, tell_of
from runtime.worker.ffmpeg_program import ffmpeg_program
from runtime.worker.identity import IdentityTaken, hold_identity, identity_in
from runtime.worker.node import NodeIdentity
from runtime.worker.order_reader import OrderReader
from runtime.worker.scratch import Scratch, ScratchTaken
from runtime.worker.strays import Strays
from runtime.worker.watchdog import Watchdog, limit_s

log = structlog.get_logger(__name__)

DIGITS_MAX = 9

STORE_READ_TIMEOUT_S, STORE_PART_TIMEOUT_S, STORE_TRIES = SHORT_READ_TIMEOUT_S, 30.0, 1
"""Whoever asks the store here asks again for as long as it takes (runtime.worker.outages), so one call need not last.
With 30 s and two tries a node said nothing for a minute of a store that stood still, and took jobs all the while."""


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
        hold_identity(_folder(settings, node.name))
        signer = jobs_writer.process_signer(settings, node_signer(node.cluster, node.name))
        scratch = Scratch(options.scratch or _folder(settings, node.name))
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
    store = ObjectStore(
        settings, read_timeout_s=STORE_READ_TIMEOUT_S, part_timeout_s=STORE_PART_TIMEOUT_S, tries=STORE_TRIES
    )
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
        read_payload=lambda partition, offset: _payload(lookup, partition, offset),
        open_orders=lambda session, agent: OrderReader(settings.brokers, node.cluster, node.name, session, agent),
        environment=os.environ,
        confinement=layers.confinement,
        encoder=ffmpeg_program(settings.ffmpeg),
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
    parser = argparse.ArgumentParser(prog="gpu_worker", description="One node of a cluster: runs models in its slots.")
    parser.add_argument("--cluster", required=True, type=_name, help="the cluster this node belongs to")
    parser.add_argument("--node", required=True, type=_name, help="name of this node, unique in the installation")
    parser.add_argument(
        "--slots", required=True, type=_slots, help=f"how many attempts run at a time, 1 to {SLOTS_MAX}"
    )
    parser.add_argument("--chipset", default="cpu", type=_name, help="cpu, cuda, rocm or another label (default: cpu)")
    parser.add_argument("--gpus", default=0, type=_count, help="GPUs of each slot (default: 0)")
    parser.add_argument("--memory-mib", type=_count, help="memory of each slot (default: main memory by slots)")
    parser.add_argument("--scratch", type=Path, help="directory of this node's own files (default: under the data)")
    parser.add_argument("--partition", default=0, type=_count, help="the pool's partition of `jobs` (default: 0)")
    parser.add_argument("--cores", type=_positive, help="CPU cores that the slots share (default: all)")
    parser.add_argument(
        "--drain-grace-s",
        default=10.0,
        type=float,
        help="how long attempts may go on after SIGTERM; whoever stops the node should wait a bit longer (default: 10)",
    )
    return parser


def _name(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"expected lower case letters, digits, '.', '_', '-', found {text[:80]!r}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS_MAX:
        raise argparse.ArgumentTypeError(f"expected a whole number of at most {DIGITS_MAX} digits, found {text[:80]!r}")
    return int(text)


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected at least 1, found 0")
    return number


def _slots(text: str) -> int:
    number = _positive(text)
    if number > SLOTS_MAX:
        raise argparse.ArgumentTypeError(
            f"expected at most {SLOTS_MAX} slots, found {number}; start several nodes on this machine"
        )
    return number


def _folder(settings: Settings, node: str) -> Path:
    """The data directory of this node."""
    return settings.data / "nodes" / node


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
        identity=identity_in(_folder(settings, options.node)),
        join_token=settings.join_token,
    )


def _payload(lookup: Lookup, partition: int, offset: int) -> bytes | None:
    record = lookup.at(partition, offset)
    return None if record is None else record.value


if __name__ == "__main__":
    exit_with("gpu_worker", main)
