"""Worlds with one broken machine, or one broken version: what becomes of the jobs (case C5).

Small and fast, on `decide` alone: five nodes of one slot each in one cluster, jobs of two versions and three tenants, a
queue that never runs empty. In a world with a broken node one node fails whatever it gets, faster than any other node
runs it. In a world with a broken version that version fails everywhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec

from contract.events import AttemptFailed, JobDeadLettered, JobSucceeded, NodeCordoned
from contract.inputs import Body, Failed, NodeHeartbeat, NodeReport, Report, Started, Stopped, Succeeded
from contract.names import dispatch_order
from contract.policy import Cluster
from tests.unit.scheduling.specification import MANIFEST, POLICY, Pool, submission

NODES = ("n1", "n2", "n3", "n4", "n5")
JOBS = 60
STEP_MS = 500
HEARTBEAT_MS = 5_000
STEPS_MAX = 4_000


@dataclass
class BrokenWorld:
    """What happened in one world."""

    succeeded: int = 0
    dead_lettered: int = 0
    failures: int = 0
    cordoned: tuple[str, ...] = ()
    left: int = 0
    """Jobs that have not ended."""


def live(seed: int, *, broken_node: bool, nodes: tuple[str, ...] = NODES, jobs: int = JOBS) -> BrokenWorld:
    """The world of this seed: with a broken node, or else with a broken version, `two`."""
    chance = random.Random(seed)
    clusters = {"east": Cluster("main", 8, staged_per_slot=chance.randrange(3))}
    pool = Pool(msgspec.structs.replace(POLICY, clusters=clusters), check=False)
    for name in ("one", "two"):
        pool.publish(name)
    for node in nodes:
        pool.join(node)
    broken = chance.choice(nodes) if broken_node else "two"
    ends_ms: dict[str, int] = {}
    world, waiting = BrokenWorld(), list(range(jobs))
    for _ in range(STEPS_MAX):
        said = [
            submission(number, tenant=f"t{number % 3}", model=chance.choice(("one", "two"))) for number in waiting[:3]
        ]
        del waiting[:3]
        events = pool.tell(*said, *_said(pool, chance, ends_ms, broken, nodes), after_ms=STEP_MS)
        world.succeeded += sum(isinstance(event, JobSucceeded) for event in events)
        world.dead_lettered += sum(isinstance(event, JobDeadLettered) for event in events)
        world.failures += sum(isinstance(event, AttemptFailed) for event in events)
        world.cordoned += tuple(event.node for event in events if isinstance(event, NodeCordoned))
        if not waiting and not pool.state.jobs:
            break
    world.left = len(pool.state.jobs)
    return world


def _said(
    pool: Pool, chance: random.Random, ends_ms: dict[str, int], broken: str, nodes: tuple[str, ...]
) -> list[Body]:
    """What the nodes say now: that they are alive, which attempt has ended, and which begins in a free slot."""
    found: list[Body] = []
    for node in nodes:
        held = sorted(pool.state.node_attempts[node].values(), key=lambda attempt: dispatch_order(attempt.dispatch))
        running = next((attempt for attempt in held if attempt.started), None)
        reports: list[Report] = []
        if running is not None and ends_ms[running.dispatch] <= pool.now_ms:
            job, dispatch = running.job, running.dispatch
            fails = broken in (node, pool.job(job).model)
            reports.append(
                Failed(job, dispatch, "environment", "OSError") if fails else Succeeded(job, dispatch, MANIFEST)
            )
            running = None
        if running is None:
            running = next((attempt for attempt in held if not attempt.started and not attempt.stop), None)
            if running is not None:
                run_ms = STEP_MS if node == broken else chance.randrange(2_000, 20_000)
                ends_ms[running.dispatch] = pool.now_ms + run_ms
                reports.append(Started(running.job, running.dispatch))
        reports += [Stopped(attempt.job, attempt.dispatch, "recalled") for attempt in held if attempt.stop]
        if reports:
            found.append(NodeReport(node, "s1", tuple(reports)))
        if pool.now_ms % HEARTBEAT_MS == 0:
            running_now = tuple(attempt.dispatch for attempt in held if attempt.started)
            staged = tuple(attempt.dispatch for attempt in held if not attempt.started)
            found.insert(0, NodeHeartbeat(node, "s1", running_now, staged))
    return found


def faults(worlds: int) -> list[str]:
    """What is wrong in so many worlds of each kind; empty when nothing is."""
    wrong = []
    for seed in range(worlds):
        machine = live(seed, broken_node=True)
        if machine.dead_lettered or machine.left or machine.succeeded != JOBS:
            wrong.append(f"seed {seed}, a broken node of five: {machine}")
        version = live(seed, broken_node=False)
        if version.cordoned or version.left:
            wrong.append(f"seed {seed}, a broken version: {version}")
    return wrong
