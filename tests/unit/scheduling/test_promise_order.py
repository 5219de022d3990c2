"""What `promise` keeps between the picks of a batch changes no pick."""

from __future__ import annotations

import random

import msgspec
import pytest

from contract.events import JobDispatched
from contract.inputs import NodeJoined, NodeReport, Requirements, Started, Succeeded
from contract.policy import Cluster, Tier
from scheduling.disciplines import promise
from scheduling.disciplines.promise_memory import RememberingOrder
from scheduling.disciplines.promise_order import PromiseOrder
from scheduling.disciplines.promise_shadow import FADE, SHIFT
from scheduling.picking.ranking import Choice
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, Line, LinePace, PromiseFacts
from tests.unit.scheduling.specification import CUDA, MANIFEST, POLICY, Pool, a_job, only, submission

CLASSES = {
    "any": Requirements(("cpu", "cuda"), 0),
    "cuda": Requirements(("cuda",), 1, 1_000),
    "large": Requirements(("cuda",), 1, 40_000),
}
SHAPES = (("cpu", 4_096), ("cuda", 8_192), ("cuda", 80_000))


WAITING = msgspec.structs.replace(
    POLICY,
    tiers={"api": Tier(10_000), "light": Tier(30_000), "free": Tier(50_000), "rest": Tier(1_000_000)},
    discipline="promise",
)


class Checked(RememberingOrder):
    """Compared at every question with the plain order, which remembers nothing."""

    def first(self) -> Choice | None:
        found = super().first()
        assert found == PromiseOrder(self._state, self._rooms).first()
        return found

    def second(self, turn: Entry, group: Group) -> Line | None:
        found = super().second(turn, group)
        assert found is PromiseOrder(self._state, self._rooms).second(turn, group)
        return found


def test_what_was_found_in_a_batch_holds_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promise, "RememberingOrder", Checked)
    reasons = {event.reason for event in dispatches(jobs=2_000)}
    assert reasons == {"on_time", "last_chance", "due", "overdue", "catch_up"}


def test_what_was_found_of_a_part_holds_until_its_pace_or_the_promise_says_otherwise() -> None:
    """The facts move one at a time and further than a shadow ever moves them."""
    pool, chance = Pool(WAITING, check=False), random.Random(6)
    pool.publish()
    for number in range(60):  # nothing runs them: of each tier but the last some are late, some on time
        pool.tell(submission(number, ("api", "light", "free", "rest")[number % 4]), after_ms=1_000)
    state = pool.state
    rooms = list(state.classes.values())
    order = RememberingOrder(state, rooms)
    pace = rooms[0].pace
    assert pace is not None
    reasons = set()
    for _ in range(5_000):
        _move_a_fact(chance, state.promise, chance.choice(list(pace.lines.values())))
        order.dispatched(rooms[0].lines["rest"], rooms)  # it is asked again
        found = order.first()
        assert found == PromiseOrder(state, rooms).first()
        reasons.add(found.reason if found is not None else "")
    assert reasons == {"due", "last_chance", "on_time"}


def _move_a_fact(chance: random.Random, facts: PromiseFacts, line: LinePace) -> None:
    fact = chance.choice(("promise", "longest", "chance"))
    if fact == "promise":
        facts.worst = chance.randrange(1_000, 8_000)
    elif fact == "longest":
        line.longest = chance.randrange(20_000) << FADE
    else:
        line.chance = chance.randrange(chance.choice((200, 4_000))) << SHIFT


def test_the_next_best_is_one_that_fits_where_the_job_goes() -> None:
    pool = Pool(WAITING)
    pool.publish()
    pool.publish("large", CUDA)
    for number, model in enumerate(("shapes", "large", "shapes"), start=1):
        pool.tell(submission(number, model=model), after_ms=1)
    events = pool.tell(
        NodeJoined("n1", "s1", "east", "cpu", 1, 0, 4_096), NodeJoined("n2", "s1", "east", "cuda", 1, 1, 80_000)
    )
    assert [(event.node, event.next_job) for event in only(events, JobDispatched)][:1] == [("n1", a_job(3))]


def dispatches(jobs: int) -> list[JobDispatched]:
    """Of a pool with three classes and shapes of nodes, in which more comes than goes, then all that is left goes."""
    policy = msgspec.structs.replace(
        POLICY,
        tiers={"fast": Tier(2_000), "even": Tier(8_000), "slow": Tier(40_000)},
        clusters={"east": Cluster("main", 12), "west": Cluster("main", 12)},
        discipline="promise",
        promise_max=2,
    )
    pool, chance, number = Pool(policy, check=False), random.Random(6), 0
    for name, requirements in CLASSES.items():
        pool.publish(name, requirements)
    for place in range(6):
        chipset, memory_mib = SHAPES[place % 3]
        cluster = ("east", "west")[place // 3]
        pool.join(f"n{place}", cluster, slots=4, chipset=chipset, gpus=1, memory_mib=memory_mib)
    found: list[JobDispatched] = []
    while number < jobs or pool.state.jobs:
        coming = []
        for _ in range(chance.randrange((25, 40, 90)[number // 250 % 3]) if number < jobs else 0):
            number += 1
            model, tier = chance.choice(tuple(CLASSES)), chance.choice(("fast", "fast", "even", "slow"))
            coming.append(submission(number, tier, model, tenant=f"t{chance.randrange(4)}"))
        found += only(pool.tell(*coming, after_ms=chance.randrange(900), lease_ms=0), JobDispatched)
        said = []
        for node, held in pool.state.node_attempts.items():
            done = [a for a in held.values() if a.started and chance.random() < 0.7]
            begun = [a for a in held.values() if not a.started][:2]
            ends = [Succeeded(a.job, a.dispatch, MANIFEST) for a in done]
            said.append(NodeReport(node, "s1", (*ends, *(Started(a.job, a.dispatch) for a in begun))))
        found += only(pool.tell(*said), JobDispatched)
    return found
