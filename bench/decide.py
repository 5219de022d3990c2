"""Measures how long `decide` takes for one batch, and how much memory a queued job costs.

`python bench/decide.py` prints the median and 99th percentile of `decide` for batches of 100 inputs and 100 dispatches
with 100,000 jobs queued and 1,000 slots, the fold rate, and the memory of 1,000,000 queued jobs. It needs no server.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence

import psutil

from contract.events import Event
from contract.inputs import (
    AliasMoved,
    Body,
    Input,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    PolicyApplied,
    Requirements,
    Started,
    Submission,
    Succeeded,
    VersionPublished,
)
from contract.names import job_id
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from scheduling import snapshot
from scheduling.decide import Clock, decide, open_pool
from scheduling.evolve import evolve
from scheduling.state.pool import State, initial_state

MANIFEST = "sha256:" + "0" * 64
TIERS = {"api": 60_000, "enterprise": 120_000, "unlimited": 600_000, "light": 1_800_000, "free": 7_200_000}
CLUSTERS = ("east", "north", "south", "west")
CLASSES = (
    Requirements(("cuda",), 1, 24_000),
    Requirements(("cuda", "rocm"), 1, 24_000),
    Requirements(("cuda",), 1, 70_000),
)


class Host:
    """Feeds inputs to the core of one pool, as the scheduler's host does."""

    def __init__(self, nodes: int) -> None:
        self.state: State = initial_state("main")
        self.now_ms = 1_700_000_000_000
        self.offset = 0
        self.number = 0
        clock = Clock(1, 0, self.now_ms, 0, True)
        for event in open_pool(self.state, "bench", "bench", clock):
            evolve(self.state, event)
        self.state.epoch, self.state.seq = 1, 0
        policy = Policy(
            tiers={name: Tier(slo_ms) for name, slo_ms in TIERS.items()},
            pools={"main": Pool(0)},
            clusters={name: Cluster("main", 600) for name in CLUSTERS},
        )
        self.decide([PolicyApplied(policy, fingerprint(policy))])
        for place, requirements in enumerate(CLASSES):
            digest = f"sha256:{place:064x}"
            model = f"model{place}"
            self.decide([VersionPublished(model, digest, requirements, 60_000), AliasMoved(model, "live", digest, 1)])
        self.nodes = nodes

    def join(self) -> None:
        for number in range(self.nodes):
            cached = tuple(f"sha256:{place:064x}" for place in range(len(CLASSES)))
            body = NodeJoined(f"n{number:04}", "s", CLUSTERS[number % 4], "cuda", 2, 1, 80_000, cached)
            self.decide([body], seconds=0)

    def submissions(self, count: int) -> list[Submission]:
        made = []
        for _ in range(count):
            self.number += 1
            tier = list(TIERS)[self.number % len(TIERS)]
            made.append(
                Submission(
                    job=job_id("main", str(self.number)),
                    tenant=f"tenant{self.number % 1000}",
                    tier=tier,
                    model=f"model{self.number % len(CLASSES)}",
                    digest=f"sha256:{self.number:064x}",
                    via="api",
                )
            )
        return made

    def batch(self, bodies: Sequence[Body], milliseconds: int = 20) -> tuple[list[Input], Clock]:
        self.now_ms += milliseconds
        inputs = [Input(self.offset + place, self.now_ms, body, f"{place:032x}") for place, body in enumerate(bodies)]
        self.offset += len(bodies)
        return inputs, Clock(1, self.state.seq + 1, self.now_ms, 0, True)

    def decide(self, bodies: Sequence[Body], seconds: float = 0.02) -> list[Event]:
        """Decides on these inputs, in as many batches as they take, and returns the events."""
        inputs, clock = self.batch(bodies, int(seconds * 1000))
        decision = decide(self.state, inputs, clock)
        events = decision.events
        while inputs := inputs[decision.taken :]:
            decision = decide(self.state, inputs, Clock(1, self.state.seq + 1, self.now_ms, 0, True))
            events = events + decision.events
        self.state.position = self.offset
        return events


def measure_decide(queued: int, slots: int, rounds: int) -> None:
    """Times batches of 50 submissions and 50 node reports. Each report ends two attempts, so plan sends 100 jobs.

    Two clocks are read: the thread's processor time, which leaves out other work on the machine, and the wall clock."""
    host = Host(slots // 2)
    while host.number < queued:
        host.decide(host.submissions(500), seconds=1)
    host.join()
    gc.collect()
    gc.freeze()  # as the host does after it has read its snapshot
    for _ in range(40):  # fill the slots and what may be staged
        host.decide([])
    took: list[float] = []
    waited: list[float] = []
    dispatched: list[int] = []
    state = host.state
    while len(took) < rounds:
        for node in sorted(state.nodes):
            starting = [a for a in state.node_attempts[node].values() if not a.started][:2]
            host.decide([NodeReport(node, "s", tuple(Started(a.job, a.dispatch) for a in starting))], seconds=0)
        nodes = sorted(state.nodes)
        for first in range(0, len(nodes), 50):
            bodies: list[Body] = [*host.submissions(50)]
            for node in nodes[first : first + 50]:
                done = [a for a in state.node_attempts[node].values() if a.started]
                bodies.append(NodeReport(node, "s", tuple(Succeeded(a.job, a.dispatch, MANIFEST) for a in done)))
            inputs, clock = host.batch(bodies)
            began, began_cpu = time.perf_counter(), time.thread_time()
            decision = decide(state, inputs, clock)
            took.append((time.thread_time() - began_cpu) * 1000)
            waited.append((time.perf_counter() - began) * 1000)
            assert decision.taken == len(inputs), "one batch is what is timed"
            state.position = host.offset
            dispatched.append(sum(type(event).__name__ == "JobDispatched" for event in decision.events))
        host.decide(
            [NodeHeartbeat(name, "s", cached=node.cached, loaded=node.loaded) for name, node in state.nodes.items()]
        )
    took, dispatched = took[len(took) // 10 :], dispatched[len(dispatched) // 10 :]
    took_sorted = sorted(took)
    print(
        f"decide: {queued:,} queued, {slots:,} slots, 100 inputs and {statistics.mean(dispatched):.0f} dispatches:"
        f" median {statistics.median(took):.2f} ms, p99 {took_sorted[int(len(took) * 0.99)]:.2f} ms of processor time,"
        f" median {statistics.median(waited):.2f} ms by the clock ({len(took)} batches)"
    )
    began = time.perf_counter()
    data = snapshot.encode(state)
    encoded = time.perf_counter()
    snapshot.decode(data)
    decoded = time.perf_counter()
    print(
        f"snapshot: {len(state.jobs):,} jobs, {len(data) / 2**20:.0f} MiB, encode {encoded - began:.2f} s,"
        f" decode {decoded - encoded:.2f} s"
    )


def measure_memory(queued: int) -> None:
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    host = Host(0)
    began = time.perf_counter()
    while host.number < queued:
        host.decide(host.submissions(500), seconds=1)
    took = time.perf_counter() - began
    gc.collect()
    after = process.memory_info().rss
    print(
        f"memory: {len(host.state.jobs):,} queued jobs cost {(after - before) / queued:.0f} bytes each,"
        f" process {after / 2**20:.0f} MiB; accepted {queued / took:,.0f} jobs/s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--slots", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--memory-jobs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    measure_decide(arguments.queued, arguments.slots, arguments.rounds)
    if arguments.memory_jobs:
        measure_memory(arguments.memory_jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
