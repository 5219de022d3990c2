"""Simulated nodes, written to the node rules of design section 5 (and not from gpu_worker's code).

A node joins, reads the orders of its session, stages, starts on the broker's ack of its `Started`, finishes or fails,
and reports through an outbox that tries again until the broker acked. It can be killed, cut off or stopped for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from contract import codec, inputs, orders
from contract.names import dispatch_order
from contract.signers import node_signer
from contract.topics import JOBS, dispatch_topic
from tests.simulation.log import Broker, Record, Unclear
from tests.simulation.signatures import signed

HEARTBEAT_MS = 5_000


class Work(Protocol):
    """Decides how an attempt turns out. It is asked when the attempt starts."""

    def begin(self, job: str, dispatch: str, node: str, version: str) -> tuple[str, int]:
        """The kind of failure, empty for success, and how long the attempt runs in ms."""

    def store(self, job: str, dispatch: str) -> str:
        """Puts the outputs and their manifest into the world's store and returns the manifest's digest."""


class Attempt:
    __slots__ = ("begun", "dispatch", "job", "leads", "run", "slots", "timeout_ms", "version")

    def __init__(self, order: orders.Run) -> None:
        self.job, self.dispatch, self.version = order.job, order.dispatch, order.version
        self.slots, self.leads = len(order.ranks), 0 in order.ranks
        self.timeout_ms = order.timeout_ms
        self.begun = False
        self.run = False


class Node:
    kind = "run"

    def __init__(
        self,
        broker: Broker,
        work: Work,
        name: str,
        cluster: str,
        slots: int,
        *,
        chipset: str = "cpu",
        gpus: int = 0,
        memory_mib: int = 4096,
    ) -> None:
        self.broker, self.work, self.timeline = broker, work, broker.timeline
        self.name, self.cluster, self.slots = name, cluster, slots
        self.chipset, self.gpus, self.memory_mib = chipset, gpus, memory_mib
        self.holds = slots + broker.timeline.between(0, 2 * slots + 2)
        """How many attempts the node takes, running and staged. The node gives back what is sent beyond that."""
        self.cached: set[str] = set()
        self.identity = f"{broker.timeline.chance.getrandbits(128):032x}"
        self.layers_missing: tuple[str, ...] = ()
        """What the node finds open when it starts, whatever it has found before."""
        self.token_until_ms = 0
        """How long the join token is good that somebody gave to the node; 0: it has none."""
        self.usable = slots
        self.holding = ""
        self.cut_until_ms = 0
        self.deaf_until_ms = 0
        """Until then orders do not reach the node, and it is heard all the time."""
        self.measures = 0
        """What the node says of the size of results and of loading times."""
        self.load_ms = 0
        """How much longer an attempt takes when its version is not loaded."""
        self.lives = 0
        self.refused: Callable[[], None] = lambda: None
        """Called when the node has ended because it was told that it may not join."""
        self.alive = False

    def start(self) -> None:
        """Starts a new process with a new session and no attempts. What was on the disk stays."""
        self.lives += 1
        self.alive = True
        self._begin_session()
        life = self.lives
        self.timeline.every(HEARTBEAT_MS, lambda: self._beat(life))

    def kill(self) -> None:
        """kill -9."""
        self.alive = False
        self.lives += 1

    def cut_off(self, for_ms: int) -> None:
        """Cuts the node off: no word gets in or out, and the work goes on."""
        self.cut_until_ms = max(self.cut_until_ms, self.timeline.now_ms + for_ms)
        self.timeline.after(for_ms + 1, self._wake_again)

    def limp(self, for_ms: int) -> None:
        """For a while some slots cannot be used, or the node takes nothing new; what is there goes on."""
        if self.timeline.happens(0.5):
            self.usable = self.timeline.between(0, self.slots - 1)
        else:
            self.holding = self.timeline.chance.choice(inputs.HOLDING)
        self.timeline.after(for_ms, self.recover)

    def recover(self) -> None:
        self.usable, self.holding = self.slots, ""
        if self.alive:
            self._begin_next()

    def deafen(self, for_ms: int) -> None:
        self.deaf_until_ms = max(self.deaf_until_ms, self.timeline.now_ms + for_ms)

    def move(self) -> None:
        """The node's name and key are on another machine from the next start on, without a token."""
        self.kill()
        self.identity = f"{self.timeline.chance.getrandbits(128):032x}"
        self.token_until_ms = 0
        self.cached.clear()

    def get_token(self, for_ms: int) -> None:
        self.token_until_ms = self.broker.clock_ms + for_ms

    def clear_disk(self) -> None:
        """Cached versions that no slot has loaded are removed."""
        if self.alive:
            self.cached.intersection_update(self._loaded)

    def forget(self) -> None:
        """A defect of the node: it loses an attempt that runs, and reports nothing."""
        if not self.alive:
            return
        for job in [attempt.job for attempt in self._held.values() if attempt.run]:
            del self._held[job]
        self._begin_next()

    @property
    def connected(self) -> bool:
        return self.alive and self.timeline.now_ms >= self.cut_until_ms and not self.broker.down

    def hear_append(self) -> None:
        """The dispatch topic of this cluster has grown."""
        if self.alive:
            life = self.lives
            self.timeline.after(self.timeline.between(1, 4), lambda: self._read_orders(life))

    # -- session ---------------------------------------------------------------------------------------------

    def _begin_session(self) -> None:
        self.session = f"{self.name}.s{self.timeline.between(0, 1 << 40):x}"
        self._held: dict[str, Attempt] = {}
        self._seen: dict[str, str] = {}
        self._last_report: dict[str, inputs.AttemptReport] = {}
        self._epoch = 0
        self._draining = False
        self._loaded: list[str] = []
        self._outbox: deque[tuple[str, bytes, Callable[[], None] | None]] = deque()
        self._sending = False
        self._beat_waits = False
        self._told = inputs.cached_digest(self.cached)
        self._position = len(self.broker.topic(dispatch_topic(self.cluster)))
        self._post(
            inputs.NodeJoined(
                node=self.name,
                session=self.session,
                cluster=self.cluster,
                chipset=self.chipset,
                slots=self.slots,
                gpus=self.gpus,
                memory_mib=self.memory_mib,
                cached=tuple(sorted(self.cached)),
                address=f"{self.name}.lan:20000",
                holds=self.holds,
                identity=self.identity,
                layers_missing=self.layers_missing,
                kind=self.kind,
            )
        )

    def leave(self, gone: Callable[[], None]) -> None:
        """SIGTERM without patience: NodeLeft itself hands back what the node holds. Calls `gone` when NodeLeft is in
        the log."""
        self._held.clear()
        self._draining = True

        def left() -> None:
            self.kill()
            gone()

        self._post(inputs.NodeLeft(node=self.name, session=self.session), left)

    def drain(self) -> None:
        """Takes no new work, hands back what is staged, and lets what runs finish."""
        self._draining = True
        for attempt in list(self._held.values()):
            if not attempt.begun:
                self._end(attempt, inputs.Stopped(attempt.job, attempt.dispatch, "drained"))

    # -- outbox ----------------------------------------------------------------------------------------------

    def _post(self, body: inputs.Wire, acked: Callable[[], None] | None = None) -> None:
        token_until_ms = self.token_until_ms if isinstance(body, inputs.NodeJoined) else 0
        key = signed(node_signer(self.cluster, self.name), token_until_ms)
        self._outbox.append((key, codec.encode(body), acked))
        self._send_next()

    def _report(self, report: inputs.AttemptReport, acked: Callable[[], None] | None = None) -> None:
        self._last_report[report.dispatch] = report
        self._post(inputs.NodeReport(self.name, self.session, (report,)), acked)

    def _send_next(self) -> None:
        if self._sending or not self._outbox or not self.alive:
            return
        life, session = self.lives, self.session
        if self.timeline.now_ms < self.cut_until_ms:
            return
        self._sending = True
        key, value, acked = self._outbox[0]

        def heard(outcome: Record | Unclear) -> None:
            if life != self.lives or session != self.session:
                return
            self._sending = False
            if isinstance(outcome, Record):
                self._outbox.popleft()
                if acked is not None:
                    acked()
            self._send_next()

        self.broker.produce(JOBS, value, heard, key)

    def _wake_again(self) -> None:
        if self.connected:
            self._send_next()
            self._read_orders(self.lives)

    def _beat(self, life: int) -> bool:
        if life != self.lives:
            return False
        if not self._beat_waits:
            self._beat_waits = True
            session = self.session

            def sent() -> None:
                self._beat_waits = False

            held = self._held.values()
            digest = inputs.cached_digest(self.cached)
            lists = digest != self._told
            self._told = digest
            self._post(
                inputs.NodeHeartbeat(
                    node=self.name,
                    session=session,
                    running=tuple(sorted(attempt.dispatch for attempt in held if attempt.begun)),
                    staged=tuple(sorted(attempt.dispatch for attempt in held if not attempt.begun)),
                    loaded=tuple(sorted(set(self._loaded))),
                    cached=tuple(sorted(self.cached)) if lists else (),
                    draining=self._draining,
                    cached_digest=digest,
                    usable=-1 if self.usable == self.slots else self.usable,
                    holding=self.holding,
                ),
                sent,
            )
        self._wake_again()
        return True

    # -- orders ----------------------------------------------------------------------------------------------

    def _read_orders(self, life: int) -> None:
        if life != self.lives or not self.connected:
            return
        records = self.broker.read(dispatch_topic(self.cluster), self._position)
        for record in records:
            self._position = record.offset + 1
            if self.timeline.now_ms < self.deaf_until_ms:
                continue
            for order in codec.decode_orders(record.value):
                if order.node == self.name and order.session == self.session and order.epoch >= self._epoch:
                    self._epoch = order.epoch
                    self._obey(order)
                    if life != self.lives:
                        return

    def _obey(self, order: orders.Order) -> None:
        match order:
            case orders.Run():
                self._run(order)
            case orders.Kill() | orders.Recall():
                self._give_back(order)
            case orders.Drain():
                self.drain()
            case orders.Tell():
                self._told = ""
            case orders.Refuse():
                self.kill()
                self.refused()
            case orders.Rejoin():
                self._begin_session()

    def _run(self, order: orders.Run) -> None:
        seen = self._seen.get(order.job)
        if seen is not None and dispatch_order(order.dispatch) <= dispatch_order(seen):
            said = self._last_report.get(order.dispatch)
            if said is not None and order.job not in self._held:
                self._report(said)
            return
        self._seen[order.job] = order.dispatch
        self._held.pop(order.job, None)
        attempt = Attempt(order)
        if self._draining:
            self._end(attempt, inputs.Stopped(order.job, order.dispatch, "drained"))
            return
        if len(self._held) >= self.holds:
            self._end(attempt, inputs.Stopped(order.job, order.dispatch, "unclaimed"))
            return
        self._held[order.job] = attempt
        self._begin_next()

    def _give_back(self, order: orders.Kill | orders.Recall) -> None:
        attempt = next((held for held in self._held.values() if held.dispatch == order.dispatch), None)
        if attempt is not None:
            if isinstance(order, orders.Kill):
                self._end(attempt, inputs.Stopped(attempt.job, order.dispatch, "killed"))
            elif not attempt.begun:
                self._end(attempt, inputs.Stopped(attempt.job, order.dispatch, "recalled"))
            return
        said = self._last_report.get(order.dispatch)
        if said is None or isinstance(said, inputs.Started):
            reason = "killed" if isinstance(order, orders.Kill) else "recalled"
            said = inputs.Stopped(order.job, order.dispatch, reason)
            seen = self._seen.get(order.job)
            if seen is None or dispatch_order(order.dispatch) > dispatch_order(seen):
                self._seen[order.job] = order.dispatch
        self._report(said)

    # -- running ---------------------------------------------------------------------------------------------

    def _begin_next(self) -> None:
        taken = sum(attempt.slots for attempt in self._held.values() if attempt.begun)
        for attempt in list(self._held.values()):
            if attempt.begun:
                continue
            taken += attempt.slots
            if taken > self.usable:
                return
            attempt.begun = True
            if attempt.leads:
                self._report(inputs.Started(attempt.job, attempt.dispatch), partial(self._go, attempt))
            else:
                self._go(attempt)

    def _go(self, attempt: Attempt) -> None:
        if self._held.get(attempt.job) is not attempt:
            return
        attempt.run = True
        self.cached.add(attempt.version)
        load_ms = 0 if attempt.version in self._loaded else self.load_ms
        self._loaded = [attempt.version, *self._loaded][: self.slots]
        failure, runs_ms = self.work.begin(attempt.job, attempt.dispatch, self.name, attempt.version)
        runs_ms += load_ms
        if runs_ms >= attempt.timeout_ms:
            failure, runs_ms = "time_out", attempt.timeout_ms
        life, session = self.lives, self.session

        if not attempt.leads and not failure:
            return  # until it is told that the gang is over

        def finish() -> None:
            if life == self.lives and session == self.session and self._held.get(attempt.job) is attempt:
                self._finish(attempt, failure)

        self.timeline.after(runs_ms, finish)

    def _finish(self, attempt: Attempt, failure: str) -> None:
        job, dispatch = attempt.job, attempt.dispatch
        if failure:
            self._end(attempt, inputs.Failed(job, dispatch, failure, "RuntimeError"))
        else:
            manifest = self.work.store(job, dispatch)
            self._end(attempt, inputs.Succeeded(job, dispatch, manifest, self.measures, self.measures))

    def _end(self, attempt: Attempt, report: inputs.AttemptReport) -> None:
        if self._held.get(attempt.job) is attempt:
            del self._held[attempt.job]
        self._report(report)
        self._begin_next()
