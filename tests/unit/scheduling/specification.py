"""Given inputs so far, when these inputs come, then these events: a pool under test.

`Pool` feeds inputs through the one door, checks every invariant after each batch, and folds the same batches into a
second state that must agree with the first. So every test of scheduling is also a test of I7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from contract.batch import Batch, hash_of
from contract.codec import encode
from contract.events import Event
from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    Failed,
    Input,
    NodeHeartbeat,
    NodeJoined,
    NodeLeft,
    NodeReport,
    PolicyApplied,
    Report,
    Requirements,
    Started,
    Stopped,
    Submission,
    Succeeded,
    VersionPublished,
)
from contract.names import job_id
from contract.orders import Order
from contract.policy import Cluster, Policy, Tier, fingerprint
from contract.policy import Pool as PolicyPool
from scheduling import invariants, snapshot
from scheduling.attempts import orders
from scheduling.decide import Clock, Decision, decide, open_pool
from scheduling.evolve import fold, seal
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt
from scheduling.state.pool import State, initial_state

START_MS = 1_700_000_000_000
POOL = "main"
MANIFEST = "sha256:" + "e" * 64
CPU = Requirements(chipsets=("cpu",), gpus=0)
CUDA = Requirements(chipsets=("cuda",), gpus=1, memory_mib=40_000)

POLICY = Policy(
    tiers={"api": Tier(10_000), "free": Tier(100_000), "light": Tier(30_000)},
    pools={POOL: PolicyPool(0), "other": PolicyPool(1)},
    clusters={"east": Cluster(POOL, 4), "west": Cluster(POOL, 4), "far": Cluster("other", 4)},
    discipline="wait_fraction",
    may_starve=True,
)

Kind = TypeVar("Kind", bound=msgspec.Struct)


def version_of(name: str) -> str:
    """A manifest digest for a name."""
    return "sha256:" + hash_of(name.encode())


def a_job(number: int) -> str:
    return job_id(POOL, "test", str(number))


def a_join(node: str, cluster: str = "east", slots: int = 1, session: str = "s1", **more: Any) -> NodeJoined:
    facts: dict[str, Any] = {"chipset": "cpu", "gpus": 0, "memory_mib": 4096, **more}
    return NodeJoined(node=node, session=session, cluster=cluster, slots=slots, **facts)


class Pool:
    """One pool's scheduler and one reader of its ledger."""

    def __init__(self, policy: Policy | None = POLICY, *, check: bool = True, name: str = POOL) -> None:
        self.name = name
        self.state: State = initial_state(name)
        self.reader: State = initial_state(name)
        self.now_ms = START_MS
        self.offset = 0
        self.batches: list[Batch] = []
        self.records: list[bytes] = []
        self.inputs: list[Input] = []
        self.check = check
        self.signer = ""
        """Of the inputs that follow."""
        self.token_until_ms = 0
        """Of the joins that follow."""
        self.take_over()
        if policy is not None:
            self.tell(PolicyApplied(policy, fingerprint(policy)))

    def take_over(self, signed_from: int = -1) -> None:
        clock = Clock(self.state.epoch + 1, self.state.seq + 1, self.now_ms, 0, False)
        opened = open_pool(self.state, f"scheduler-{clock.epoch}", "test", clock, signed_from)
        batch = self._append(clock, (), opened, self.offset)
        fold(self.state, batch, hash_of(self.records[-1]), len(self.records) - 1)
        self._agree()

    def tell(
        self, *bodies: Body, after_ms: int = 0, lease_ms: int | None = None, caught_up: bool = True
    ) -> list[Event]:
        """One batch with these inputs. Lease time moves with the clock unless `lease_ms` says how far."""
        self.now_ms += after_ms
        self.inputs = [self._input(body) for body in bodies]
        elapsed_ms = after_ms if lease_ms is None else lease_ms
        decision = self._batch(self.inputs, elapsed_ms, caught_up)
        events, left = list(decision.events), self.inputs[decision.taken :]
        while left or decision.is_full:
            decision = self._batch(left, 0, caught_up)
            events, left = events + decision.events, left[decision.taken :]
        self.events = events
        return events

    def tick(self, ms: int, **how: Any) -> list[Event]:
        """Time goes on, and no input comes."""
        return self.tell(after_ms=ms, **how)

    def orders(self) -> list[Order]:
        """The orders that follow from the last batch."""
        return orders.orders_for(self.state, self.inputs, self.events)

    def _input(self, body: Body) -> Input:
        key = f"k{self.offset}" if isinstance(body, Submission) else ""
        token_until_ms = self.token_until_ms if isinstance(body, NodeJoined) else 0
        record = Input(self.offset, self.now_ms, body, key, self.signer, token_until_ms)
        self.offset += 1
        return record

    def _batch(self, inputs: Sequence[Input], elapsed_ms: int, caught_up: bool) -> Decision:
        clock = Clock(self.state.epoch, self.state.seq + 1, self.now_ms, elapsed_ms, caught_up)
        decision = decide(self.state, inputs, clock)
        taken = tuple(inputs[: decision.taken])
        self._append(clock, taken, decision.events, self.offset - (len(inputs) - len(taken)))
        seal(self.state, hash_of(self.records[-1]), len(self.records) - 1, self.batches[-1].position)
        self._agree()
        return decision

    def _append(self, clock: Clock, inputs: tuple[Input, ...], events: Iterable[Event], position: int) -> Batch:
        batch = Batch(
            pool=self.name,
            epoch=clock.epoch,
            seq=clock.seq,
            prev_hash=self.reader.head_hash,
            now_ms=clock.now_ms,
            elapsed_ms=clock.elapsed_ms,
            caught_up=clock.caught_up,
            position=position,
            inputs=inputs,
            events=tuple(events),
        )
        self.batches.append(batch)
        self.records.append(encode(batch))
        fold(self.reader, batch, hash_of(self.records[-1]), len(self.records) - 1)
        return batch

    def _agree(self) -> None:
        if not self.check:
            return
        assert invariants.check(self.state) == []
        assert snapshot.encode(self.state) == snapshot.encode(self.reader)

    # what tests say often

    def publish(
        self, name: str = "shapes", requirements: Requirements = CPU, version: str = "v1", move: int = 1
    ) -> str:
        """A version of a model, and its alias `live` on it."""
        digest = version_of(f"{name}/{version}")
        self.tell(VersionPublished(name, digest, requirements, 60_000), AliasMoved(name, "live", digest, move))
        return digest

    def join(self, node: str, cluster: str = "east", slots: int = 1, session: str = "s1", **more: Any) -> list[Event]:
        return self.tell(a_join(node, cluster, slots, session, **more))

    def job(self, job: str) -> Job:
        return self.state.jobs[job]

    def attempt(self, job: str) -> Attempt:
        """The job's open attempt; there must be one."""
        return open_attempt(self.state.jobs[job])

    def dispatch(self, job: str) -> str:
        return self.attempt(job).dispatch

    def report(self, *reports: Report, node: str = "n1", session: str = "s1", after_ms: int = 0) -> list[Event]:
        return self.tell(NodeReport(node, session, reports), after_ms=after_ms)

    def start(self, job: str, node: str = "n1", session: str = "s1") -> list[Event]:
        return self.report(Started(job, self.dispatch(job)), node=node, session=session)

    def succeed(self, job: str, node: str = "n1", session: str = "s1") -> list[Event]:
        return self.report(Succeeded(job, self.dispatch(job), MANIFEST), node=node, session=session)

    def fail(self, job: str, kind: str = "model_error", node: str = "n1", session: str = "s1") -> list[Event]:
        return self.report(Failed(job, self.dispatch(job), kind, "ValueError"), node=node, session=session)

    def stop(self, job: str, reason: str, node: str = "n1", session: str = "s1") -> list[Event]:
        return self.report(Stopped(job, self.dispatch(job), reason), node=node, session=session)

    def report_with(self, first: Body, job: str) -> list[Event]:
        """One batch with `first` and then the success of the job."""
        return self.tell(first, NodeReport("n1", "s1", (Succeeded(job, self.dispatch(job), MANIFEST),)))

    def cancel(self, job: str, tenant: str = "") -> list[Event]:
        return self.tell(CancelRequested(job, tenant))

    def leave(self, node: str = "n1", session: str = "s1") -> list[Event]:
        return self.tell(NodeLeft(node, session))

    def adopt(self, policy: Policy) -> list[Event]:
        return self.tell(PolicyApplied(policy, fingerprint(policy)))

    def beat(self, node: str = "n1", session: str = "s1", after_ms: int = 0, **more: Any) -> list[Event]:
        """A heartbeat that lists what the node should hold, unless told otherwise."""
        held = self.state.node_attempts.get(node, {}).values()
        facts: dict[str, Any] = {
            "running": tuple(a.dispatch for a in held if a.started),
            "staged": tuple(a.dispatch for a in held if not a.started),
        }
        if node in self.state.nodes:
            facts |= {"loaded": self.state.nodes[node].loaded, "cached": self.state.nodes[node].cached}
        return self.tell(NodeHeartbeat(node=node, session=session, **{**facts, **more}), after_ms=after_ms)


def submission(number: int, tier: str = "free", model: str = "shapes", **more: Any) -> Submission:
    facts: dict[str, Any] = {"tenant": "acme", "digest": "sha256:" + "d" * 64, "via": "api", **more}
    return Submission(job=a_job(number), tier=tier, model=model, **facts)


def open_attempt(job: Job) -> Attempt:
    """The job's open attempt; there must be one."""
    assert job.open is not None
    return job.open


def names(events: Sequence[Event]) -> list[str]:
    """The events' class names, in order."""
    return [type(event).__name__ for event in events]


def only(events: Sequence[Event], kind: type[Kind]) -> list[Kind]:
    """The events of one class, in order."""
    return [event for event in events if isinstance(event, kind)]
