"""A CPU worker on the twin: its order reader, report sender and rules are the product's; it decodes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from contract.names import digest_of
from contract.orders import Order, Prepare
from contract.preparation_reports import PreparationDone, PreparationReport
from contract.signers import node_signer
from cpu_worker.rules.actions import (
    Abandon,
    Announce,
    Begin,
    JoinAgain,
    ListVersions,
    PreparationPhase,
    Say,
    StayOut,
    Sweep,
    WorkerAction,
)
from cpu_worker.rules.preparation_rules import PreparationRules
from runtime.kafka import Delivery, Producer
from runtime.worker.node import NodeIdentity
from runtime.worker.order_reader import OrderReader
from runtime.worker.report_sender import ReportSender
from tests.twin.kafka import TwinKafka
from tests.twin.signing import signer_of

HEARTBEAT_S = 5.0

Outcome = Callable[[Prepare], tuple[float, PreparationReport]]
"""How many seconds a preparation takes, and what is said of it then."""


def prepared(order: Prepare) -> PreparationDone:
    return PreparationDone(order.job, order.preparation, digest_of(order.preparation.encode()), 9, 1, 2, 3)


class TwinWorker:
    """Make it on the event loop. `client_ids` names its connections, for TwinKafka.cut_off."""

    def __init__(
        self, kafka: TwinKafka, name: str, cluster: str, outcome: Outcome, *, slots: int = 2, partition: int = 0
    ) -> None:
        self.name, self._kafka, self._outcome = name, kafka, outcome
        self.client_ids = (f"node-{name}",)
        self.begun: Counter[str] = Counter()
        """How often each preparation was begun here."""
        self.refused = ""
        """Why the worker stays out, as the scheduler said."""
        identity = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._node = NodeIdentity(
            cluster, name, slots, "cpu", 0, 1_000, partition, 1, 10.0, identity=identity, kind="prepare"
        )
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(kafka.brokers, self.client_ids[0])
        self._sender = ReportSender(
            self._node, self._producer, signer_of(node_signer(cluster, name)), self._on_delivery
        )
        self._rules = PreparationRules(name, uuid.uuid4().hex, slots)
        self._has_joined = False
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._orders = self._reader()
        self._spawn(self._beat())

    def close(self) -> None:
        """kill -9: not a word more."""
        self._is_over = True
        self._orders.stop()
        for task in self._tasks:
            task.cancel()
        self._kafka.cut_off(*self.client_ids)

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(self._rules.held)

    def drain(self) -> None:
        """SIGTERM."""
        self._follow(self._rules.leave())

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
        self._sender.delivered(result)
        if self._sender.again_at_s is not None:
            self._loop.call_later(max(0.0, self._sender.again_at_s - self._loop.time()), self._sender.send_again)
        else:
            self._sender.send_next()

    def _follow(self, actions: list[WorkerAction]) -> None:
        for action in actions if not self._is_over else ():
            match action:
                case Say(report):
                    self._sender.queue.report(self._rules.session, report)
                case Begin(order):
                    self._spawn(self._prepare(order))
                case Abandon(preparation):
                    self._loop.call_soon(self._gone, preparation)
                case Sweep():
                    pass
                case Announce():
                    self._say_heartbeat()
                case ListVersions():
                    self._sender.queue.list_versions()
                case StayOut(reason):
                    self.refused = reason
                case JoinAgain():
                    self._has_joined = False
                    self._rules.begin_session(uuid.uuid4().hex)
                    self._orders.stop()
                    self._orders = self._reader()
        self._sender.send_next()

    def _gone(self, preparation: str) -> None:
        self._follow(self._rules.ended(preparation, None))

    async def _prepare(self, order: Prepare) -> None:
        self.begun[order.preparation] += 1
        took_s, report = self._outcome(order)
        await asyncio.sleep(took_s)
        self._rules.moved(order.preparation, PreparationPhase.STORING)
        self._follow(self._rules.ended(order.preparation, report))

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
