"""The whole simulated world of one seed, and its two phases: faults, then healing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from contract.bounds import NUMBER_MAX
from contract.inputs import LAYERS
from contract.topics import JOBS, LEDGER, dispatch_topic
from streams.ledger.outputs import SnapshotReady
from tests.simulation import extremes, faults, workers
from tests.simulation.auditor import Auditor
from tests.simulation.log import CLOCK_START_MS, LATE_MS_MAX, Broker, Fates, Record
from tests.simulation.nodes import Node
from tests.simulation.operators import POLICY, VERSIONS, Operators, Work
from tests.simulation.readers import ProductionReader
from tests.simulation.schedulers import Scheduler, Snapshots
from tests.simulation.submitters import SUBMISSIONS, Api, Intake
from tests.simulation.timeline import Timeline
from tests.simulation.violation import Violation
from tests.simulation.workers import Impostor, Worker

FAULTS_MS = 50_000
HEALING_MS_MAX = 400_000
JOBS_TOTAL = 30
MEDIA_JOBS = 15
"""So many jobs more come where there are CPU workers."""
STEPS_MAX = 40_000
"""The most steps of a run. A run that needs more has a loop."""
SECOND_LIVES_EVERY = 5
"""One world of this many goes on until forgotten ids come again."""
EXTREMES_EVERY = 6
"""In one world of this many the broker and the machines say the largest numbers that are legal."""
BROKEN_EVERY = 6
"""In one world of this many a cluster is broken as long as there are faults, nothing else fails, and there is more to
do."""
FORGOTTEN_MS = 120_000
"""How much later than `submission_age_max` ids come again: ids are forgotten by the minute."""
OUTAGE_MS_MAX = 45_000
SIGNED_FROM = (0, 0, 60, -1)
"""By seed: where in `jobs` signatures begin; -1: nobody signs."""
FOR_EVER_MS = 1_000_000_000
LOAD_MS = 25_000
"""What loading a version costs in every second world, in ms."""


class World:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.timeline = Timeline(seed)
        self.broker = Broker(self.timeline)
        self.work = Work(self.broker)
        self.auditor = Auditor(self.broker.topic(JOBS), self.broker.compacted, self.work.stored)
        self.auditor.book.stored_inputs = self.work.stored_inputs
        self.reader = ProductionReader()
        self.api = Api(self.broker)
        self.intake = Intake(self.broker)
        self.prepares = seed % 7 in workers.PREPARES_SEEDS
        self.operators = Operators(self.broker, self.api, self.work, self.auditor, media=self.prepares)
        self.snapshots = Snapshots()
        self.schedulers: list[Scheduler] = []
        self.healed = False
        self.faults: list[str] = []
        self._started = 0
        self._idle_since_ms: int | None = 0
        self._idle: list[tuple[int, int]] = []
        self.nodes = [
            Node(self.broker, self.work, "a.1", "a", 1),
            Node(self.broker, self.work, "a.2", "a", 2, chipset="cuda", gpus=1, memory_mib=80_000),
            Node(self.broker, self.work, "b.1", "b", 1, chipset="cuda", gpus=1, memory_mib=24_000),
            Node(self.broker, self.work, "b.2", "b", 1),
        ]
        self.is_extreme = seed % EXTREMES_EVERY == EXTREMES_EVERY - 1
        self.extremes = extremes.Extremes(self.operators, is_extreme=self.is_extreme)
        if self.is_extreme:
            self.broker.clock_offset_ms = extremes.CLOCK_MS - CLOCK_START_MS
            vast = self.nodes[1]
            vast.gpus = vast.memory_mib = vast.holds = vast.measures = NUMBER_MAX
        self.spare = [self.nodes[-1]]
        """Nodes without which others can do all the work."""
        self.strangers = [Node(self.broker, self.work, "a.1", "b", 1)]
        """Other machines that have the names of nodes, and one that no cluster of its kind takes."""
        if self.prepares:
            prepares = [Worker(self.broker, self.work, name, slots) for name, slots in workers.SLOTS.items()]
            self.nodes += prepares
            self.spare.append(prepares[-1])
            self.strangers.append(Worker(self.broker, self.work, workers.NAMES[0], 1))
            self.strangers.append(Impostor(self.broker, self.work))
        self.refusals = 0
        """How often a machine was told that its name is taken."""
        for node in (*self.nodes, *self.strangers):
            node.load_ms = LOAD_MS if seed % 2 else 0
            node.refused = partial(self._refused, node)
        self.broker.on_append.append(self._appended)
        self.auditor.downtime = self._downtime

    # -- wiring -----------------------------------------------------------------------------------------------

    def _appended(self, topic: str, record: Record) -> None:
        if topic == LEDGER:
            counts = self.auditor.ledger_appended(record)
            self.reader.read(record, counts)
            for scheduler in self.schedulers:
                scheduler.wake(self.timeline.between(1, 8))
        elif topic == JOBS:
            self.auditor.jobs_appended(record)
            for scheduler in self.schedulers:
                scheduler.wake(self.timeline.between(1, 150))
        elif topic == SUBMISSIONS:
            self.intake.appended()
        else:
            for node in (*self.nodes, *self.strangers):
                if topic == dispatch_topic(node.cluster):
                    node.hear_append()

    def _built(self, record: bytes) -> None:
        self.auditor.built_ms.setdefault(hashlib.sha256(record).hexdigest(), self.timeline.now_ms)

    def _stored(self, ready: SnapshotReady) -> None:
        self.reader.check_snapshot(ready, self.broker.topic(LEDGER))

    # -- schedulers -------------------------------------------------------------------------------------------

    def start_scheduler(self) -> None:
        self._started += 1
        name = f"scheduler.{self._started}"
        self.schedulers.append(
            Scheduler(
                self.broker,
                self.snapshots,
                name,
                built=self._built,
                stored=self._stored,
                ended=self._scheduler_ended,
                signed_from=SIGNED_FROM[self.seed % len(SIGNED_FROM)],
            )
        )
        self._note_idle()

    def _scheduler_ended(self, ended: Scheduler) -> None:
        if ended in self.schedulers:
            self.schedulers.remove(ended)
            self._note_idle()
            if not self.schedulers:
                self.timeline.after(self.timeline.between(50, 4_000), self._supervise)

    def _supervise(self) -> None:
        if not self.schedulers:
            self.start_scheduler()

    def _note_idle(self) -> None:
        """Notes the intervals in which no scheduler ran: these are outages of ours."""
        running = any(not scheduler.stalled for scheduler in self.schedulers)
        if running and self._idle_since_ms is not None:
            self._idle.append((self._idle_since_ms, self.timeline.now_ms))
            self._idle_since_ms = None
        elif not running and self._idle_since_ms is None:
            self._idle_since_ms = self.timeline.now_ms

    def _downtime(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """How long the outages between two true times lasted, in ms, each instant counted once, and how many there
        were."""
        idle = [*self._idle]
        if self._idle_since_ms is not None:
            idle.append((self._idle_since_ms, end_ms))
        spans = sorted(
            (max(start, start_ms), min(end, end_ms))
            for start, end in idle + self.broker.outages
            if start < end_ms and end > start_ms
        )
        total, reached = 0, start_ms
        for start, end in spans:
            total += max(0, end - max(start, reached))
            reached = max(reached, end)
        return total, len(spans)

    # -- faults -----------------------------------------------------------------------------------------------

    def _one_scheduler(self, act: Callable[[Scheduler], None]) -> Callable[[], None]:
        def action() -> None:
            if self.schedulers:
                act(self.timeline.chance.choice(self.schedulers))

        return action

    def _one_node(self, act: Callable[[Node], None]) -> Callable[[], None]:
        return lambda: act(self.timeline.chance.choice(self.nodes))

    def _stall(self, scheduler: Scheduler) -> None:
        for_ms = self.timeline.between(200, 15_000)
        scheduler.stall(for_ms)
        self._note_idle()
        self.timeline.after(for_ms + 1, self._note_idle)
        if self.timeline.happens(0.7):
            self.timeline.after(self.timeline.between(50, 2_000), self._start_second)

    def _start_second(self) -> None:
        if len(self.schedulers) < 3 and not self.healed:
            self.start_scheduler()

    def _kill_node(self, node: Node) -> None:
        if node.alive:
            node.kill()
            self.timeline.after(self.timeline.between(200, 40_000), lambda: self._start_node(node))

    def _start_node(self, node: Node) -> None:
        if not node.alive:
            node.start()

    def _refused(self, node: Node) -> None:
        """Somebody starts the machine again later; strangers stay away once the world heals."""
        self.refusals += 1
        if self.timeline.happens(0.3):
            node.get_token(self.timeline.between(1_000, 60_000))
        if node not in self.strangers:
            self.timeline.after(self.timeline.between(2_000, 12_000), lambda: self._start_node(node))

    def _move_node(self, node: Node) -> None:
        """The node's name and key come to another machine, with a join token or without."""
        if node.alive:
            node.move()
            if self.timeline.happens(0.5):
                node.get_token(self.timeline.between(1_000, 60_000))
            self.timeline.after(self.timeline.between(200, 25_000), lambda: self._start_node(node))

    def _lose_layer(self, node: Node) -> None:
        """The machine restarts, and a layer is missing there for a while."""
        node.layers_missing = (self.timeline.chance.choice(LAYERS),)

        def mend() -> None:
            node.layers_missing = ()

        self.timeline.after(self.timeline.between(5_000, 40_000), mend)
        self._kill_node(node)

    def _deafen(self) -> None:
        """Orders to one node are lost, its heartbeats are not: for a while, or for ever where others can do all its
        work."""
        if self.timeline.happens(0.5):
            spare = self.spare[0] if len(self.spare) == 1 else self.timeline.chance.choice(self.spare)
            spare.deaf_until_ms = FOR_EVER_MS
        else:
            self._one_node(lambda node: node.deafen(self.timeline.between(5_000, 60_000)))()

    def _break(self, what: str) -> None:
        """A node, or a version on any node, fails whatever it runs for a while."""
        self.work.broken.add(what)
        self.timeline.after(self.timeline.between(5_000, 30_000), lambda: self.work.broken.discard(what))

    def _break_cluster(self) -> None:
        """Every node of a cluster fails whatever it runs until the world heals: a driver that was rolled out, or a
        store that only they use."""
        cluster = self.timeline.chance.choice(tuple(POLICY.clusters))
        self.work.broken |= {node.name for node in self.nodes if node.cluster == cluster}

    def _retire_node(self, node: Node) -> None:
        if node.alive:
            again_ms = self.timeline.between(500, 15_000)
            node.leave(lambda: self.timeline.after(again_ms, lambda: self._start_node(node)))

    def _lose_store(self) -> None:
        self.work.away_until_ms = self.timeline.now_ms + self.timeline.between(2_000, 20_000)

    def _jump_clock(self) -> None:
        self.broker.clock_offset_ms += self.timeline.chance.choice((-1, 1)) * self.timeline.between(500, 45_000)

    def _kinds(self) -> dict[str, tuple[int, Callable[[], None]]]:
        operators, timeline = self.operators, self.timeline
        more = {
            "workers' namesakes": (30_000, lambda: self._start_node(self.strangers[1])),
            "wrong kind": (30_000, lambda: self._start_node(self.strangers[2])),
            "store away": (30_000, self._lose_store),
            "flood of media": (50_000, operators.flood),
        }
        return {
            "scheduler killed": (15_000, self._one_scheduler(Scheduler.crash)),
            "scheduler stalled": (18_000, self._one_scheduler(self._stall)),
            "scheduler starved": (20_000, self._one_scheduler(lambda host: host.starve(timeline.between(500, 30_000)))),
            "second scheduler": (20_000, self._start_second),
            "node killed": (20_000, self._one_node(self._kill_node)),
            "node cut off": (20_000, self._one_node(lambda node: node.cut_off(timeline.between(500, 45_000)))),
            "node forgets": (50_000, self._one_node(Node.forget)),
            "node limps": (25_000, self._one_node(lambda node: node.limp(timeline.between(1_000, 20_000)))),
            "namesakes": (30_000, lambda: self._start_node(self.strangers[0])),
            "node deaf": (40_000, self._deafen),
            "withdraw": (60_000, operators.withdraw),
            "hold": (40_000, operators.hold),
            "node leaves": (40_000, self._one_node(self._retire_node)),
            "broker down": (40_000, lambda: self.broker.go_down(timeline.between(300, OUTAGE_MS_MAX))),
            "clock jump": (25_000, self._jump_clock),
            "intake crash": (15_000, self.intake.crash),
            "snapshot": (6_000, self._one_scheduler(Scheduler.want_snapshot)),
            "cancel": (4_000, operators.cancel),
            "erase": (25_000, operators.erase),
            "alias move": (15_000, operators.move_alias),
            "policy": (20_000, operators.change_policy),
            "node breaks": (25_000, lambda: self._break(timeline.chance.choice([node.name for node in self.nodes]))),
            "version breaks": (50_000, lambda: self._break(timeline.chance.choice(sorted(VERSIONS)))),
            "cordon": (30_000, operators.cordon),
            "drain": (25_000, operators.drain),
            "old submission": (40_000, operators.submit_old),
            "extremes": (50_000, self.extremes.say),
            "node clears its disk": (50_000, self._one_node(Node.clear_disk)),
            "revoke": (20_000, operators.revoke),
            "access": (20_000, operators.change_access),
            "policy copied": (20_000, operators.copy_policy),
            "node moves": (30_000, self._one_node(self._move_node)),
            "layer lost": (30_000, self._one_node(self._lose_layer)),
            **(more if self.prepares else {}),
        }

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs both phases. Raises Violation when an invariant does not hold."""
        timeline = self.timeline
        scale = timeline.chance.choice((0.0, 0.3, 1.0))
        self.broker.fates = Fates(0.01 * scale, 0.01 * scale, 0.02 * scale, 0.02 * scale)
        self.broker.order_fates = Fates(0.3 * scale, 0, 0.04 * scale, 0.04 * scale)
        self.work.failing, self.work.hanging = timeline.chance.choice((0.05, 0.25)), 0.14
        jobs = JOBS_TOTAL + (MEDIA_JOBS if self.prepares else 0)
        if self.seed % BROKEN_EVERY == 4:
            self.work.failing = self.work.hanging = 0
            self._break_cluster()
            jobs += jobs // 2
        self.operators.set_up()
        self.extremes.publish()
        self.start_scheduler()
        for node in self.nodes:
            timeline.after(timeline.between(0, 3_000), node.start)
        for _ in range(jobs):
            timeline.after(timeline.between(100, FAULTS_MS - 10_000), self.operators.submit)
        self.faults = faults.plan(timeline, FAULTS_MS, self._kinds())
        while timeline.now_ms < FAULTS_MS:
            self._step()
        self._heal()
        limit_ms = timeline.now_ms + HEALING_MS_MAX
        settled_ms = timeline.now_ms + 25_000
        while timeline.now_ms < settled_ms or self._is_unsettled():
            if timeline.now_ms > limit_ms:
                self._too_late()
            self._step()
        if self.seed % SECOND_LIVES_EVERY == 0:
            self._live_again()
        self.reader.check_end(self.broker.topic(LEDGER), self.snapshots.stored, timeline)

    def _live_again(self) -> None:
        """Puts the broker's clock forward until everything is forgotten, and lets some ids come again: they are other
        lives of their jobs."""
        behind_ms = max(0, self.auditor.now_ms - self.broker.clock_ms)  # the pool's clock never goes back
        self.broker.clock_offset_ms += behind_ms + POLICY.submission_age_max_ms + FORGOTTEN_MS
        quiet_ms = self.timeline.now_ms + 12_000
        while self.timeline.now_ms < quiet_ms:
            self._step()
        since_ms, ended_ms = self.auditor.now_ms, self.auditor.book.ended_ms
        again, limit_ms = self.operators.submit_again(), self.timeline.now_ms + HEALING_MS_MAX
        while waiting := [job for job in sorted(again) if ended_ms.get(job, 0) <= since_ms]:
            if self.timeline.now_ms > limit_ms:
                raise Violation("I9", "an id that was forgotten came again, and did not live and end", waiting[0])
            self._step()

    def _is_unsettled(self) -> bool:
        return bool(self.auditor.unfinished() or self.auditor.unknown(self._promised()) or self._misknown())

    def _misknown(self) -> list[str]:
        """Nodes that hear, and of whose cached versions the ledger says something else than they do."""
        found = []
        for node in self.nodes:
            known = self.auditor.book.nodes.get(node.name)
            hears = node.alive and node.deaf_until_ms <= self.timeline.now_ms
            if hears and (known is None or set(known.cached) != node.cached):
                found.append(node.name)
        return found

    def _step(self) -> None:
        if self.timeline.steps > STEPS_MAX or not self.timeline.step():
            raise Violation("I9", f"the world stands still or spins after {self.timeline.steps} steps")

    def _promised(self) -> set[str]:
        return self.api.acknowledged | self.intake.taken_young

    def _too_late(self) -> None:
        """Raises Violation with what is still not as it must be, long after everything has healed."""
        for job in self.auditor.unknown(self._promised()):
            raise Violation("I1", "acknowledged, and the ledger never heard of it", job)
        for job in self.auditor.unfinished():
            raise Violation("I9", "not ended though everything has healed", job)
        raise Violation("S4", f"what {self._misknown()} have cached is not what the ledger says")

    def _heal(self) -> None:
        self.healed = True
        self.broker.fates = self.broker.order_fates = Fates()
        self.work.failing = self.work.hanging = 0.0
        self.work.broken.clear()
        self.work.away_until_ms = 0
        self.broker.come_back()
        for scheduler in self.schedulers:
            scheduler.stalled_until_ms = 0
            scheduler.feed()
        self._note_idle()
        for stranger in self.strangers:
            stranger.kill()
        for node in self.nodes:
            node.recover()
            node.cut_until_ms, node.layers_missing = 0, ()
            if node.deaf_until_ms == FOR_EVER_MS:
                node.kill()  # what it ran when it became deaf, nobody can tell it to stop
            else:
                node.deaf_until_ms = 0
            self._start_node(node)
        self.operators.heal()
        # once more when no late copy of anything said before can arrive any more
        self.timeline.after(LATE_MS_MAX + 5_000, self.operators.heal)
        self.timeline.after(LATE_MS_MAX + OUTAGE_MS_MAX + 5_000, self.operators.heal)
