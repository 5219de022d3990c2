"""What befalls an installation in memory, drawn by a seed: outages, rebalances, zombies, gaps, and users who go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

from contract.topics import JOBS, SUBMISSIONS
from tests.twin.installation import Installation, Program
from tests.twin.log import Kind
from tests.twin.node import TwinNode, Work
from tests.twin.object_store import StoreFaults

STORE_FAULTS = (
    StoreFaults(away=True),
    StoreFaults(hangs=True),
    StoreFaults(slow_s=5.0),
    StoreFaults(full=True),
    StoreFaults(read_only=True),
    StoreFaults(busy_rate=0.7),
)
GARBAGE = (b"no JSON", b"{}", b"\xff", None)


class Troubles:
    """Make it on the event loop. It starts the programs and the nodes."""

    def __init__(self, here: Installation, seed: int, *, nodes_each: int = 2) -> None:
        self._here, self._random = here, Random(seed)
        self.schedulers = [here.scheduler()]
        self.others = [here.intake(), here.projector()]
        self.zombies: list[Program] = []
        self.nodes: list[TwinNode] = []
        self.befell: Counter[str] = Counter()
        """How often each trouble was drawn."""
        self._ends: list[tuple[float, Callable[[], object]]] = []
        self._numbers = iter(range(1_000))
        for partition in here.partitions:
            for _ in range(nodes_each):
                self._start_node(partition)

    async def befall(self, seconds: float) -> None:
        """Troubles and jobs, for so long. All that was taken away is back at the end."""
        over_s = self._here.time.now_s() + seconds
        while self._here.time.now_s() < over_s:
            draw = self._random.choice(DRAWS)
            self.befell[draw.__name__.strip("_")] += 1
            await draw(self)
            for partition in self._here.partitions:
                self._here.submit(partition, self._random.randrange(4))
                self._here.upstream(partition, self._random.randrange(4))
            await asyncio.sleep(self._random.expovariate(0.5))
            self._end_what_is_over(self._here.time.now_s())
        self._end_what_is_over(float("inf"))
        for zombie in self.zombies:  # they notice at last
            await zombie.hosted.assigned(set())

    async def stop(self) -> None:
        for node in self.nodes:
            node.close()
        for scheduler in self.schedulers:
            await scheduler.stop()
        await asyncio.sleep(5)  # the others read to the end
        for program in self.others:
            await program.stop()

    # -- troubles ----------------------------------------------------------------------------------------------------

    async def _broker_away(self) -> None:
        self._here.kafka.go_away()
        self._later(20, self._here.kafka.come_back)

    async def _node_cut_off(self) -> None:
        node = self._random.choice(self.nodes)
        self._here.kafka.cut_off(*node.client_ids)
        self._later(45, lambda: self._here.kafka.reconnect(*node.client_ids))

    async def _node_killed(self) -> None:
        node = self._random.choice(self.nodes)
        self.nodes.remove(node)
        node.close()
        self._start_node(node.partition)

    async def _node_twin(self) -> None:
        """Another machine comes up under the name of a node: it stays out, unless that node's lease has lapsed."""
        node = self._random.choice(self.nodes)
        machine = f"machine{next(self._numbers)}"
        self.nodes.append(self._here.node(node.name, node.partition, work=self._work(), machine=machine))

    async def _node_deaf(self) -> None:
        """Its reader of orders gets nothing more, and no error."""
        self._here.kafka.deafen_consumers(self._random.choice(self.nodes).client_ids[0])

    async def _clients_broken(self) -> None:
        """Fatal errors: a client of a node, or those that read ledgers."""
        clients = [client for node in self.nodes for client in node.client_ids]
        self._here.kafka.break_consumers(self._random.choice([*clients, "headrace-ledger"]))

    async def _rebalance(self) -> None:
        self._random.choice([*self.schedulers, *self.others]).app.rebalance()

    async def _another_scheduler(self) -> None:
        if len(self.schedulers) < 3:
            self.schedulers.append(self._here.scheduler())

    async def _zombie(self) -> None:
        """A scheduler's group gives its partitions to another scheduler, and it does not notice."""
        zombie = self.schedulers.pop(self._random.randrange(len(self.schedulers)))
        zombie.lose_group()
        self.zombies.append(zombie)
        self.schedulers.append(self._here.scheduler())

    async def _scheduler_stopped(self) -> None:
        stopped = self.schedulers.pop(self._random.randrange(len(self.schedulers)))
        self.schedulers.append(self._here.scheduler())
        await stopped.stop()

    async def _store_ill(self) -> None:
        self._here.store.state.faults = self._random.choice(STORE_FAULTS)
        self._later(30, self._here.store.mend)

    async def _registry_away(self) -> None:
        self._here.registry.away = True
        self._later(30, lambda: setattr(self._here.registry, "away", False))

    async def _views_away(self) -> None:
        self._here.views.away = True
        self._later(30, lambda: setattr(self._here.views, "away", False))

    async def _gap(self) -> None:
        """Somebody's transaction into a topic ends, well or not."""
        kafka, (topic, partition) = self._here.kafka, self._any_place(JOBS, SUBMISSIONS)
        for _ in range(self._random.randrange(1, 4)):
            kafka.write(topic, b"aborted", partition=partition, key=b"k", transaction="foreign")
        kafka.log(topic, partition).finish(kafka.now_ms(), "foreign", Kind.ABORT)

    async def _garbage(self) -> None:
        topic, partition = self._any_place(JOBS, JOBS)
        self._here.kafka.write(topic, self._random.choice(GARBAGE), partition=partition, key=b"garbage")

    async def _quiet(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 10))

    # ----------------------------------------------------------------------------------------------------------------

    def _any_place(self, *topics: str) -> tuple[str, int]:
        topic = self._random.choice(topics)
        return topic, self._random.randrange(self._here.kafka.partitions_of(topic))

    def _start_node(self, partition: int) -> None:
        self.nodes.append(self._here.node(f"node{next(self._numbers)}", partition, work=self._work()))

    def _work(self) -> Work:
        """How long the attempts of one node take."""
        seconds = self._random.uniform(0.1, 4.0)
        return lambda _: seconds

    def _later(self, at_most_s: float, end: Callable[[], object]) -> None:
        self._ends.append((self._here.time.now_s() + self._random.uniform(0.1, at_most_s), end))

    def _end_what_is_over(self, now_s: float) -> None:
        over = [end for at_s, end in self._ends if at_s <= now_s]
        self._ends = [(at_s, end) for at_s, end in self._ends if at_s > now_s]
        for end in over:
            end()


DRAWS = (
    Troubles._broker_away,
    Troubles._node_cut_off,
    Troubles._node_killed,
    Troubles._node_twin,
    Troubles._node_deaf,
    Troubles._clients_broken,
    Troubles._rebalance,
    Troubles._another_scheduler,
    Troubles._zombie,
    Troubles._scheduler_stopped,
    Troubles._store_ill,
    Troubles._registry_away,
    Troubles._views_away,
    Troubles._gap,
    Troubles._garbage,
    Troubles._quiet,
)
