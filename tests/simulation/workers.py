"""Simulated CPU workers, written to the protocol of design section 5 (and not from cpu_worker's code), and what media
there are in the worlds that have such workers.

A worker is a node of kind `prepare`: it joins, beats, drains, leaves and is lost like any node. It prepares at once
what it is sent, once however often the order comes, and reports in its own time. These workers also answer late, twice,
in another order, for a session that is over, or never.
"""

from __future__ import annotations

from typing import Protocol

from contract import inputs, orders
from contract.names import dispatch_order
from contract.policy import Cluster
from contract.preparation_reports import (
    MEDIA_REFUSALS,
    PreparationDone,
    PreparationRefused,
    PreparationReport,
    PreparationStopped,
)
from tests.simulation.log import Broker
from tests.simulation.nodes import Attempt, Node, Work

PREPARES_SEEDS = (2, 3, 5)
"""Of seven worlds, those in which media are prepared."""
CLUSTER = "c"
CLUSTERS = {CLUSTER: Cluster("main", 2, kind="prepare")}
SLOTS = {"c.1": 2, "c.2": 1}
NAMES = tuple(SLOTS)
HANGS_MS = 15_000
"""After so long a worker that hangs ends by its own clock, and refuses the media."""
SAID_LATE = 0.3
"""How likely a worker that was told to stop has its answer under way."""


class Media(Work, Protocol):
    """Decides how a preparation turns out. It is asked when the preparation begins."""

    def prepare(self, job: str) -> tuple[str, int]:
        """done, refused, outage, unclaimed, hangs or dies, and after how many ms."""

    def store_prepared(self, job: str, preparation: str) -> str:
        """Puts the prepared files and their manifest into the world's store and returns the manifest's digest."""


class Preparation(Attempt):
    __slots__ = ()

    def __init__(self, order: orders.Prepare) -> None:
        self.job, self.dispatch, self.version = order.job, order.preparation, order.version
        self.slots, self.leads, self.timeout_ms = 1, True, order.timeout_ms
        self.begun = self.run = True


class Worker(Node):
    kind = "prepare"

    def __init__(self, broker: Broker, media: Media, name: str, slots: int) -> None:
        super().__init__(broker, media, name, CLUSTER, slots)
        self.media = media

    def _rise(self) -> None:
        if not self.alive:
            self.start()

    def drain(self) -> None:
        """Takes no new work. What is under way is finished, or handed back."""
        self._draining = True
        for held in list(self._held.values()):
            if self.timeline.happens(0.5):
                self._answer(held, PreparationStopped(held.job, held.dispatch, "drained"))

    def _begin_next(self) -> None:
        """Everything begins when it is ordered."""

    def _obey(self, order: orders.Order) -> None:
        match order:
            case orders.Prepare():
                self._prepare(order)
            case orders.Rejoin():
                self._rejoin()
            case _:
                super()._obey(order)

    def _rejoin(self) -> None:
        """A word of the session that is over may come after the new session began."""
        left, session = list(self._held.values()), self.session
        self._begin_session()
        if left and self.timeline.happens(SAID_LATE):
            held = left[0]
            self._post(inputs.NodeReport(self.name, session, (self._done(held),)))

    def _done(self, held: Attempt) -> PreparationDone:
        manifest = self.media.store_prepared(held.job, held.dispatch)
        return PreparationDone(held.job, held.dispatch, manifest, self.measures, self.measures)

    def _prepare(self, order: orders.Prepare) -> None:
        before = self._seen.get(order.job)
        if before is not None and dispatch_order(order.preparation) <= dispatch_order(before):
            said = self._answers.get(order.preparation)
            if said is not None and order.job not in self._held:
                self._say(said)
            return
        self._seen[order.job] = order.preparation
        held = Preparation(order)
        if self._draining:
            self._answer(held, PreparationStopped(order.job, order.preparation, "drained"))
            return
        self._held[order.job] = held
        what, for_ms = self.media.prepare(order.job)
        life, session = self.lives, self.session

        def end() -> None:
            if life == self.lives and session == self.session and self._held.get(order.job) is held:
                self._end_as(held, what)

        self.timeline.after(HANGS_MS if what == "hangs" else for_ms, end)

    def _end_as(self, held: Attempt, what: str) -> None:
        job, preparation = held.job, held.dispatch
        match what:
            case "dies":
                self.kill()
                self.timeline.after(self.timeline.between(200, 9_000), self._rise)
            case "hangs":
                self._answer(held, PreparationRefused(job, preparation, "decoder_time"))
            case "refused":
                kind = self.timeline.chance.choice(MEDIA_REFUSALS[:-1])
                self._answer(held, PreparationRefused(job, preparation, kind))
            case "outage" | "unclaimed":
                self._answer(held, PreparationStopped(job, preparation, what))
            case _:
                self._answer(held, self._done(held))

    def _answer(self, held: Attempt, report: PreparationReport) -> None:
        if self._held.get(held.job) is held:
            del self._held[held.job]
        self._say(report)
        if self.timeline.happens(0.1):  # and another answer, or the same one again
            other = PreparationRefused(report.job, report.preparation, "decoder")
            self._say(self.timeline.chance.choice((report, other)))

    def _say(self, report: PreparationReport) -> None:
        self._answers.setdefault(report.preparation, report)
        self._post(inputs.NodeReport(self.name, self.session, (report,)))

    def _give_back(self, order: orders.Kill | orders.Recall) -> None:
        """A worker that is told to stop reports nothing. What it was about to say may come all the same."""
        held = next((held for held in self._held.values() if held.dispatch == order.dispatch), None)
        if held is None:
            return
        del self._held[held.job]
        if self.timeline.happens(SAID_LATE):
            self._post(inputs.NodeReport(self.name, self.session, (self._done(held),)))

    def _begin_session(self) -> None:
        self._answers: dict[str, PreparationReport] = {}
        super()._begin_session()


class Impostor(Node):
    """A node that runs attempts and joins the cluster of CPU workers: it is refused whenever it comes."""

    def __init__(self, broker: Broker, work: Work) -> None:
        super().__init__(broker, work, "c.9", CLUSTER, 1)
