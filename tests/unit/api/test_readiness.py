"""What a probe is told, and when: one slow or failed answer changes nothing, and only some parts end the service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from api import readiness
from api.policies import InForce, Policies
from api.problems import Problem
from api.readiness import STALE_S, KnownPools, PartWatch, Readiness
from contract.policy import Policy, Pool
from runtime.object_store import StoreAway
from runtime.postgres import ReadOnly
from tests.waiting import until_async
from views.queries import PoolView

POLICY = Policy({}, {"main": Pool(0), "other": Pool(1)}, {})


def pool(name: str, signed_from: int = -1) -> PoolView:
    return PoolView(name, 7, "aa", 3, 1, 1, "0.2.0", 4, 0, False, signed_from, 0)


def known(*views: PoolView, waiting: tuple[str, ...] = ()) -> KnownPools:
    return KnownPools(list(views), frozenset(view.pool for view in views), list(waiting))


class Part:
    """A part that answers as the test says, at moments of its clock."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.now_s = 0.0
        self.watch: PartWatch[Any] = PartWatch(self._question, 0.001, lambda: self.now_s)

    async def _question(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def asked(self, times: int = 1) -> None:
        for _ in range(times):
            asyncio.run(self.watch.ask_once())


class Process:
    def __init__(self, *, signs: bool = True) -> None:
        self.kafka, self.postgres, self.store = Part((0, 1)), Part(known(pool("main"))), Part(None)
        self.readiness = Readiness(self.kafka.watch, self.postgres.watch, self.store.watch, signs=signs)

    def begin(self) -> None:
        for part in (self.kafka, self.postgres, self.store):
            part.asked()
        assert self.readiness.health().status == "ok"

    @property
    def status(self) -> str:
        return self.readiness.health().status

    def parts(self) -> dict[str, str]:
        """What does not do its work."""
        return {part: state for part, state in self.readiness.health().parts.items() if state != "ok"}


TIMED_OUT = KafkaException(KafkaError(KafkaError._TIMED_OUT, "Local: Timed out"))


def test_nothing_is_served_before_every_part_that_a_job_needs_has_answered() -> None:
    process = Process()
    assert (process.status, set(process.parts())) == ("failing", {"kafka", "postgres", "object_store", "policy"})
    process.postgres.asked()
    process.kafka.answer = TIMED_OUT  # a wrong address: a release that has one must not replace the one before
    process.kafka.asked()
    assert process.status == "failing"
    assert process.parts()["kafka"] == "failed: expected Kafka to answer, found Local: Timed out"
    process.kafka.answer = (0, 1)
    process.kafka.asked()
    assert process.status == "degraded", "the object store may stay away"
    process.store.asked()
    assert (process.status, process.parts()) == ("ok", {})


def test_a_process_that_nobody_has_probed_yet_has_begun_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ASK_AGAIN_S", 0.001)
    process = Process()

    async def serve() -> str:
        process.readiness.start()
        await until_async(lambda: process.kafka.watch.state == process.postgres.watch.state == "ok")
        process.kafka.answer = TIMED_OUT
        await until_async(lambda: process.kafka.watch.state != "ok")
        await process.readiness.close()
        return process.status

    assert asyncio.run(serve()) == "degraded"


def test_a_slow_answer_is_waited_for_and_one_that_never_comes_is_told_after_a_while() -> None:
    process = Process()
    process.begin()
    process.postgres.now_s = STALE_S
    assert process.status == "ok"
    assert process.readiness.health().ages_s == {"kafka": 0, "postgres": STALE_S, "object_store": 0}
    process.postgres.now_s += 1
    assert process.parts() == {"postgres": f"no answer for {STALE_S + 1:.0f} s"}
    process.postgres.asked()
    assert process.status == "ok"


def test_one_failure_changes_nothing_two_do_and_one_success_ends_it() -> None:
    process = Process()
    process.begin()
    process.postgres.answer = ReadOnly()
    process.postgres.asked()
    assert process.status == "ok"
    process.postgres.asked()
    assert process.status == "failing"
    assert "found it read-only" in process.parts()["postgres"]
    process.postgres.answer = known(pool("main"))
    process.postgres.asked()
    assert process.status == "ok"
    process.postgres.answer = ZeroDivisionError()
    process.postgres.asked()
    assert process.status == "ok", "failures in a row count, not all of them"


@pytest.mark.parametrize(
    ("part", "fault", "said"),
    [
        ("kafka", TIMED_OUT, "failed: expected Kafka to answer, found Local: Timed out"),
        ("store", StoreAway("the object store does not answer"), "failed: the object store does not answer"),
    ],
)
def test_a_part_that_is_away_is_said_while_the_rest_is_served(part: str, fault: Exception, said: str) -> None:
    process = Process()
    process.begin()
    away: Part = getattr(process, part)
    away.answer = fault
    away.asked(2)
    assert (process.status, list(process.parts().values())) == ("degraded", [said])


def test_without_a_policy_nothing_is_served_and_pools_that_wait_are_named() -> None:
    process = Process()
    process.begin()
    process.postgres.answer = known(pool("main"), waiting=("other",))
    process.postgres.asked()
    health = process.readiness.health()
    assert (health.status, health.waiting) == ("ok", ["other"])
    process.postgres.answer = known(waiting=("main", "other"))
    process.postgres.asked()
    assert process.status == "failing"
    assert process.parts() == {"policy": "no pool has a policy in force, so nothing can be submitted"}


def test_a_process_without_a_key_says_which_pools_would_refuse_its_records() -> None:
    process = Process(signs=False)
    process.begin()
    process.postgres.answer = known(pool("main", signed_from=0), pool("other"))
    process.postgres.asked()
    assert process.status == "degraded", "jobs are read, and pool other takes new ones"
    assert "jobs of pools that ask for it (main); set what `headrace keys derive api`" in process.parts()["signing"]
    new = Process(signs=False)
    new.postgres.answer = known(pool("main", signed_from=9))
    for part in (new.kafka, new.postgres, new.store):
        part.asked()
    assert new.status == "failing", "a release that lost its key must not replace the one before"


@pytest.mark.parametrize(("signs", "refused"), [(True, []), (False, ["main"])])
def test_what_a_pool_would_refuse_is_not_written(signs: bool, refused: list[str]) -> None:
    async def in_thread(function: Any, *arguments: Any) -> Any:
        return InForce({"main": POLICY, "other": POLICY}, frozenset({"main"}))

    policies = Policies(None, in_thread, signs=signs)  # type: ignore[arg-type]
    for name in ("main", "other"):
        assert asyncio.run(policies.of(name)) is POLICY, "what is there may be read"
        if name not in refused:
            assert asyncio.run(policies.for_writing(name)) is POLICY
    for name in refused:
        with pytest.raises(Problem) as caught:
            asyncio.run(policies.for_writing(name))
        assert (caught.value.status, caught.value.code) == (503, "cannot-sign")
        assert "headrace keys derive api" in caught.value.detail
