"""A node on the twin: its order reader, report sender, payloads and rules are the product's; only its GPU is not."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from contract.inputs import AttemptReport, Failed, Succeeded
from contract.orders import Order, Run
from contract.results import EMPTY_MANIFEST
from contract.signers import node_signer
from contract.topics import JOBS
from gpu_worker.rules.actions import (
    Action,
    Announce,
    Conclude,
    FetchSupplies,
    Halt,
    JoinAgain,
    Launch,
    ListVersions,
    Say,
    StayOut,
    Unstore,
)
from gpu_worker.rules.node_rules import NodeRules
from runtime.kafka import Delivery, Lookup, Producer
from runtime.worker.node import NodeIdentity
from runtime.worker.order_reader import OrderReader
from runtime.worker.outages import GivenUp, OutageWaits
from runtime.worker.payloads import PayloadMissing, payload_of, read_payload
from runtime.worker.report_sender import ReportSender
from tests.twin.kafka import TwinKafka
from tests.twin.signing import signer_of

HEARTBEAT_S = 5.0

Work = Callable[[Run], float]
"""How many seconds an attempt runs."""


class TwinNode:
    """Make it on the event loop. `client_ids` names its connections, for TwinKafka.cut_off."""

    def __init__(
        self,
        kafka: TwinKafka,
        name: str,
        cluster: str,
        work: Work,
        *,
        slots: int = 2,
        partition: int = 0,
        machine: str = "",
    ) -> None:
        """`machine`: another one than that of the node's name, which has an identity of its own."""
        self.name, self.partition, self._kafka, self._work = name, partition, kafka, work
        self.client_ids = (f"node-{name}", f"node-{name}-payloads")
        self.runs: Counter[str] = Counter()
        """How often each job was computed here."""
        self.sessions = 0
        self.refused = ""
        """Why the node stays out, as the scheduler said."""
        identity = hashlib.sha256((machine or name).encode()).hexdigest()[:32]
        self._node = NodeIdentity(cluster, name, slots, "cpu", 0, 1_000, partition, 1, 10.0, identity=identity)
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(kafka.brokers, self.client_ids[0])
        self._lookup = Lookup(kafka.brokers, JOBS, client_id=self.client_ids[1])
        signer = signer_of(node_signer(cluster, name))
        self._sender = ReportSender(self._node, self._producer, signer, self._on_delivery)
        self._waits = OutageWaits(lambda what, cause: None)
        self._rules = NodeRules(name, uuid.uuid4().hex, slots)
        self._has_joined = False
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._orders = self._reader()
        self._spawn(self._beat())

    def close(self) -> None:
        """kill -9: not a word more."""
        self._end_here()
        self._kafka.cut_off(*self.client_ids)

    def _end_here(self) -> None:
        """The process ends; another one with its name goes on."""
        self._is_over = True
        self._orders.stop()
        for task in self._tasks:
            task.cancel()

    # -- from other threads ------------------------------------------------------------------------------------------

    def positioned(self, session: str) -> None:
        self._loop.call_soon_threadsafe(self._join, session)

    def ordered(self, orders: list[Order]) -> None:
        self._loop.call_soon_threadsafe(self._obey, orders)

    def _on_delivery(self, result: Delivery | Exception) -> None:
        self._loop.call_soon_threadsafe(self._delivered, result)

    # -- on the loop -------------------------------------------------------------------------------------------------

    def _reader(self) -> OrderReader:
        reader = OrderReader(self._kafka.brokers, self._node.cluster, self.name, self._rules.session, self)
        reader.start()
        self.sessions += 1
        return reader

    def _join(self, session: str) -> None:
        if session != self._rules.session or self._is_over:
            return
        self._has_joined = True
        self._sender.queue.say(self._node.join(session, self._rules.cached, self._rules.held_max))
        self._sender.send_next()

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            self._follow(self._rules.take(order))

    def _delivered(self, result: Delivery | Exception) -> None:
        if self._is_over:
            return
        settled = self._sender.delivered(result)
        for dispatch in settled.acknowledged:
            self._follow(self._rules.acknowledged(dispatch))
        for dispatch in settled.unsaid:
            self._follow(self._rules.unsaid(dispatch))
        if self._sender.again_at_s is not None:
            self._loop.call_later(max(0.0, self._sender.again_at_s - self._loop.time()), self._sender.send_again)
        else:
            self._sender.send_next()

    def _follow(self, actions: list[Action]) -> None:
        for action in actions if not self._is_over else ():
            match action:
                case Say(report):
                    self._sender.queue.report(self._rules.session, report)
                case FetchSupplies(run):
                    self._spawn(self._fetch(run))
                case Launch(_, run):
                    self._spawn(self._compute(run))
                case Halt(_, dispatch):
                    self._loop.call_soon(self._halted, dispatch)
                case Conclude() | Unstore():
                    raise AssertionError(f"nothing here runs gangs or stores outputs, found {action}")
                case Announce():
                    self._say_heartbeat()
                case ListVersions():
                    self._sender.queue.list_versions()
                case StayOut(reason):
                    self.refused = reason
                    self._end_here()
                case JoinAgain():
                    self._has_joined = False
                    self._rules.begin_session(uuid.uuid4().hex)
                    self._orders.stop()
                    self._orders = self._reader()
        self._sender.send_next()

    def _halted(self, dispatch: str) -> None:
        self._follow(self._rules.halted(dispatch))

    async def _fetch(self, run: Run) -> None:
        try:
            if payload_of(run) is None:
                await asyncio.to_thread(read_payload, run, self._payload, lambda: not self._is_over, self._waits)
        except GivenUp:
            return
        except PayloadMissing:
            self._end(run, Failed(run.job, run.dispatch, "payload_missing", "PayloadMissing"))
        else:
            self._follow(self._rules.fetched(run.dispatch))

    def _payload(self, partition: int, offset: int) -> bytes | None:
        record = self._lookup.at(partition, offset)
        return record.value if record is not None else None

    async def _compute(self, run: Run) -> None:
        self.runs[run.job] += 1
        await asyncio.sleep(self._work(run))
        if self._rules.is_running(run.dispatch):
            self._follow(self._rules.computed(run.dispatch))
            self._end(run, Succeeded(run.job, run.dispatch, EMPTY_MANIFEST))

    def _end(self, run: Run, report: AttemptReport) -> None:
        self._follow(self._rules.ended(run.dispatch, report))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._say_heartbeat()

    def _say_heartbeat(self) -> None:
        if self._has_joined and self._sender.queue.wants_heartbeat:
            self._sender.queue.heartbeat(self._rules.heartbeat())
            self._sender.send_next()

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with suppress(asyncio.CancelledError):
            task.result()
