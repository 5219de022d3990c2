"""The node agent: brings what happens to the node's rules, and turns until the node has left.

Every kind of node has this agent. What the kind's rules answer is carried out by what the kind holds (`Held`).

All of it runs in the main thread's loop but the waiting: one thread reads orders, one hears the producer's acks, a few
fetch and store. These threads post to the loop, which carries out each post in turn.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import structlog

from contract.inputs import NodeHeartbeat, NodeLeft
from contract.orders import Order
from contract.signing import RecordSigner
from runtime.jobs_writer import RecordSink
from runtime.kafka import Delivery
from runtime.worker import metrics
from runtime.worker.departure import Departure
from runtime.worker.heartbeat import HeartbeatTimer
from runtime.worker.loop import Loop
from runtime.worker.node import NOT_CONFINED, REFUSED, NodeIdentity
from runtime.worker.order_reader import OrderListener
from runtime.worker.report_sender import ReportSender
from runtime.worker.scratch import Scratch
from runtime.worker.strays import Strays

log = structlog.get_logger(__name__)


REFUSALS = {
    "name_taken": "expected its name to be its own, found that another machine works under it; give one of the two"
    " another --node name. If the other one is gone, start this one again when its lease is over (30 s)",
    "unknown_cluster": "expected its cluster in the pool that it writes to, found no such cluster there; apply a policy"
    " that has the cluster, or check --cluster and --partition",
    "no_token": "expected a join token, because this machine is new to the pool and its policy asks for one"
    " (`join_tokens`), found none that is good for this node now; whoever has the installation's key prints one with"
    " `headrace nodes token --cluster CLUSTER --name NODE`: start this node with it as HEADRACE_JOIN_TOKEN, in time",
    "revoked": "expected a signature that the policy in force lets in, found that it revokes this node's (`revoked`);"
    " whoever may change the policy lets the node in again with `headrace policy unrevoke node.CLUSTER/NODE`. The name"
    " of a key that leaked stays revoked: give the machine another --node name, and a key for that",
    "not_confined": "expected all layers to hold that keep models off this machine, found that some are missing, and"
    " that the policy in force does not trust its models; `headrace doctor` on this machine names each layer and what"
    " is missing, or whoever may change the policy applies one with `trusted_models: true`",
    "wrong_kind": "expected a cluster whose nodes do what this one does, found one of the other kind in the policy in"
    " force: CPU workers (`python -m cpu_worker`) join clusters with `kind: prepare`, and nodes that run models all"
    " others; give another --cluster",
    "bad_address": "expected HEADRACE_NODE_ADDRESS to be host:port with 1,000 ports from there on, found another",
}
"""By reason of the order Refuse, in words for whoever runs the machine."""

MENDED_BY_POLICY = ("unknown_cluster",)
"""Refusals that end without anything being done here: the node waits and asks again. An exit would have a supervisor
start it for ever, or give it up, and a policy that is applied later would find no node."""

OUT_S = 30.0
"""How long such a node waits before it asks again."""


Action = TypeVar("Action")
"""What the rules of this kind of node answer."""
_Given = TypeVar("_Given", covariant=True)
_Taken = TypeVar("_Taken", contravariant=True)


class OrderSource(Protocol):
    """runtime.worker.order_reader.OrderReader, as far as an agent uses an order reader."""

    def start(self) -> None: ...
    def stop(self, wait_s: float = ...) -> None: ...


class NodeServers(Protocol):
    """What every agent touches outside of its process."""

    @property
    def producer(self) -> RecordSink: ...
    @property
    def signer(self) -> RecordSigner: ...
    @property
    def open_orders(self) -> Callable[[str, OrderListener], OrderSource]:
        """(session, listener) -> a reader of the orders to this session."""

    @property
    def strays(self) -> Strays: ...


class SessionRules(Protocol[_Given]):
    """The rules of a kind of node, as far as its session goes."""

    session: str
    cached: tuple[str, ...]
    held_max: int

    @property
    def held(self) -> Mapping[str, Any]: ...
    @property
    def idle(self) -> bool: ...
    def take(self, order: Order) -> Sequence[_Given]: ...
    def acknowledged(self, dispatch: str) -> Sequence[_Given]:
        """The broker has the attempt's Started."""

    def unsaid(self, dispatch: str) -> Sequence[_Given]:
        """The broker will never have the attempt's Started."""

    def leave(self) -> Sequence[_Given]: ...
    def expel(self) -> Sequence[_Given]: ...
    def begin_session(self, session: str) -> None: ...
    def heartbeat(self) -> NodeHeartbeat: ...


class Held(Protocol[_Taken]):
    """What a kind of node holds, and how it carries out what its rules answer."""

    def follow(self, answer: Iterable[_Taken], /) -> None: ...
    def deadlines_s(self) -> list[float]:
        """When it has something to do (monotonic clock)."""

    def on_time(self, now_s: float, /) -> None:
        """Do what is due."""

    def look_at_disk(self) -> None: ...
    def close(self) -> None:
        """End whatever still runs; nobody is told of it."""


class NodeAgent(ABC, Generic[Action]):
    def __init__(
        self,
        node: NodeIdentity,
        servers: NodeServers,
        scratch: Scratch,
        rules: SessionRules[Action],
        *,
        heartbeat_ms: int,
    ) -> None:
        self._node = node
        self._servers = servers
        self._scratch = scratch
        self._loop = Loop()
        self._heartbeat = HeartbeatTimer(heartbeat_ms / 1000)
        self._departure = Departure(node.drain_grace_s)
        self._sender = ReportSender(node, servers.producer, servers.signer, self._on_delivery)
        self._rules = rules
        self._refused = 0
        """The exit status with which the node ends, because the scheduler told it to stay out; 0: it may go on."""
        self._ask_again_at_s: float | None = None
        """When a node that waits outside asks again (monotonic clock)."""
        self._orders = servers.open_orders(rules.session, self)

    @property
    @abstractmethod
    def _attempts(self) -> Held[Action]: ...

    # -- from other threads ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Once: drain and leave. Twice: leave at once. Any thread, or a signal handler."""
        self._loop.post(self._on_stop)

    def positioned(self, session: str) -> None:
        self._loop.post(lambda: self._join(session))

    def ordered(self, orders: list[Order]) -> None:
        self._loop.post(lambda: self._obey(orders))

    def _on_delivery(self, result: Delivery | Exception) -> None:
        self._loop.post(lambda: self._delivered(result))

    @property
    def turns(self) -> int:
        """How often the loop has turned: at least once a heartbeat, else the agent hangs. Any thread may look."""
        return self._loop.turns

    # -- the main thread ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until stopped. Exit status: 0; 1 when the broker did not take all reports; REFUSED or NOT_CONFINED when
        the node may not join."""
        self._orders.start()
        while not self._is_over(time.monotonic()):
            self._loop.turn(self._wait_s())
            self._do_what_is_due(time.monotonic())
            self._sender.send_next()
            if self._departure.has_begun and self._rules.idle:
                self._say_goodbye()
        return self._end()

    def _wait_s(self) -> float:
        """Until something is due, but at most a heartbeat's time: the time limit of an order may lie centuries off, and
        a watchdog counts the turns."""
        now_s = time.monotonic()
        maybe = (
            self._sender.again_at_s,
            self._heartbeat.due_at_s,
            self._ask_again_at_s,
            self._departure.expel_at_s,
            self._departure.give_up_at_s,
        )
        moments = [now_s + self._heartbeat.every_s, *self._attempts.deadlines_s()]
        moments += [moment for moment in maybe if moment is not None]
        return max(0.0, min(moments) - now_s)

    def _do_what_is_due(self, now_s: float) -> None:
        self._attempts.on_time(now_s)
        if self._sender.again_at_s is not None and self._sender.again_at_s <= now_s:
            self._sender.send_again()
        if self._heartbeat.take_due(now_s) and self._sender.queue.wants_heartbeat:
            self._heartbeat.note_sent(now_s)
            self._servers.strays.clear()
            self._attempts.look_at_disk()
            self._sender.queue.heartbeat(self._rules.heartbeat())
        if self._ask_again_at_s is not None and self._ask_again_at_s <= now_s:
            self._ask_again_at_s = None
            if not self._departure.has_begun:
                self._begin_session()
        if self._departure.take_expulsion(now_s):
            self._attempts.follow(self._rules.expel())

    def _delivered(self, result: Delivery | Exception) -> None:
        settled = self._sender.delivered(result)
        for dispatch in settled.acknowledged:
            self._attempts.follow(self._rules.acknowledged(dispatch))
        for dispatch in settled.unsaid:
            self._attempts.follow(self._rules.unsaid(dispatch))

    def _obey(self, orders: list[Order]) -> None:
        """Each order meets a node that has done all that the order before it asked for."""
        for order in orders:
            self._attempts.follow(self._rules.take(order))

    # -- session --------------------------------------------------------------------------------------------------

    def _join(self, session: str) -> None:
        if session != self._rules.session or self._heartbeat.is_running:
            return
        node = self._node
        self._heartbeat.start(time.monotonic())
        self._sender.queue.say(node.join(session, self._rules.cached, self._rules.held_max))
        log.info("joining", cluster=node.cluster, node=node.name, session=session, slots=node.slots)

    def _join_again(self) -> None:
        log.warning("the scheduler does not know this session: joining again", session=self._rules.session)
        self._begin_session()

    def _begin_session(self) -> None:
        metrics.sessions.inc()
        self._rules.begin_session(new_session())
        self._orders.stop()
        self._heartbeat.stop()
        self._orders = self._servers.open_orders(self._rules.session, self)
        self._orders.start()

    def _stay_out(self, reason: str) -> None:
        self._orders.stop()
        self._heartbeat.stop()
        status = NOT_CONFINED if reason == "not_confined" else REFUSED
        what_follows = {"exit_status": status}
        if reason in MENDED_BY_POLICY:
            self._ask_again_at_s = time.monotonic() + OUT_S
            what_follows = {"asks_again_in_s": round(OUT_S)}
        else:
            self._refused = status
        log.error(
            "this node stays out: "
            + REFUSALS.get(reason, "expected to be let in, found that the scheduler refuses it"),
            node=self._node.name,
            cluster=self._node.cluster,
            reason=reason if reason in REFUSALS else "other",
            **what_follows,
        )

    # -- departure ------------------------------------------------------------------------------------------------

    def _on_stop(self) -> None:
        now_s = time.monotonic()
        if self._departure.has_begun:
            self._departure.hurry(now_s)
            return
        log.info("draining", held=len(self._rules.held), grace_s=self._node.drain_grace_s)
        self._departure.begin(now_s)
        self._attempts.follow(self._rules.leave())

    def _say_goodbye(self) -> None:
        """All attempts are handed back: say so, and wait only so long for the broker to hear it."""
        self._departure.note_idle(time.monotonic())
        if self._heartbeat.is_running:
            self._heartbeat.stop()
            self._sender.queue.say(NodeLeft(self._node.name, self._rules.session))
            self._sender.send_next()

    def _is_over(self, now_s: float) -> bool:
        """Whether the node has left: the broker has all that the node said, or the node waits no longer."""
        if self._refused:
            return True
        if not self._departure.has_begun:
            return False
        all_said = self._rules.idle and not len(self._sender.queue)
        return all_said or self._departure.is_given_up(now_s)

    def _end(self) -> int:
        self._orders.stop()
        if self._refused:
            self._attempts.close()
            self._scratch.close()
            return self._refused
        left = len(self._sender.queue)
        self._attempts.close()
        self._scratch.close()
        if left:
            log.error("left with reports that the broker did not take; the lease will free the jobs", records=left)
        else:
            log.info("left")
        return 1 if left else 0


def new_session() -> str:
    return uuid.uuid4().hex
