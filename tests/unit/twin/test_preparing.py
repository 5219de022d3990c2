"""CPU workers beside a scheduler, in memory: killed, draining, slow; every job is prepared once and runs once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contract.events import (
    InputsPrepared,
    InputsRefused,
    JobCancelled,
    JobExpired,
    JobSucceeded,
    PreparationClosed,
    PreparationOrdered,
)
from contract.inputs import AliasMoved, CancelRequested, EraseRequested, JobSubmitted, Requirements, VersionPublished
from contract.orders import Prepare
from contract.policy import Cluster
from contract.preparation_reports import PreparationRefused, PreparationReport
from tests.twin.installation import POLICY, Installation, submission
from tests.twin.worker import TwinWorker, prepared

CPUS = "cpus"
TAKING = "sha256:" + "c" * 64
WITH_CPUS = msgspec.structs.replace(POLICY, clusters={**POLICY.clusters, CPUS: Cluster("main", 16, kind="prepare")})


def begin(here: Installation) -> None:
    """A scheduler, a node, and a version that takes media under the alias that jobs name."""
    here.setup()
    here.say(VersionPublished("noop", TAKING, Requirements(("cpu",), 0), 60_000, prepares="sha256:" + "1" * 64))
    here.say(AliasMoved("noop", "live", TAKING, 2))
    here.scheduler()
    here.node("node-1")


def submit(here: Installation, number: int) -> None:
    for at in range(number):
        record = submission("main", f"media-{at}", "api")
        said = msgspec.structs.replace(record.submission, media=1)
        taken: JobSubmitted = msgspec.structs.replace(record, submission=said)
        here.say(taken)
        here.acknowledged[0].append(said.job)


def worker(here: Installation, name: str, seconds: float = 1.0) -> TwinWorker:
    return TwinWorker(here.kafka, name, CPUS, lambda order: (seconds, prepared(order)))


async def all_run(here: Installation, within_s: float = 300) -> None:
    await here.until(lambda: len(here.events(JobSucceeded)) == len(here.acknowledged[0]), within_s)
    assert Counter(event.job for event in here.events(InputsPrepared)) == Counter(here.acknowledged[0])
    assert here.verify().findings == []


def test_jobs_with_media_are_prepared_and_then_run() -> None:
    with Installation(seed=1, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            first = worker(here, "cpu-1")
            submit(here, 6)
            await all_run(here)
            assert set(first.begun.values()) == {1}
            assert first.begun.total() == len(here.events(PreparationOrdered)) == 6

        here.run(body)


@pytest.mark.parametrize("killed_after_s", [0.5, 3.0, 7.0])
def test_what_a_worker_that_was_killed_had_is_prepared_by_another(killed_after_s: float) -> None:
    with Installation(seed=2, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            first, _ = worker(here, "cpu-1", 4.0), worker(here, "cpu-2", 4.0)
            submit(here, 8)
            await here.until(lambda: first.begun)
            await asyncio.sleep(killed_after_s)
            first.close()
            await all_run(here)

        here.run(body)


def test_a_worker_that_drains_gives_back_nothing_that_it_has_begun() -> None:
    with Installation(seed=3, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            first = worker(here, "cpu-1", 4.0)
            submit(here, 6)
            await here.until(lambda: len(first.begun) == 2)
            first.drain()
            worker(here, "cpu-2")
            await all_run(here)
            assert {event.reason for event in here.events(PreparationClosed)} <= {"drained"}
            assert first.begun.total() == 2

        here.run(body)


def test_a_scheduler_that_takes_over_goes_on_with_what_is_open() -> None:
    with Installation(seed=4, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            first = worker(here, "cpu-1", 6.0)
            submit(here, 2)
            await here.until(lambda: len(first.begun) == 2)
            here.scheduler("second")
            await all_run(here)
            assert first.begun.total() == 2, "nothing was begun anew"

        here.run(body)


def test_media_that_are_refused_end_their_job_and_no_other() -> None:
    with Installation(seed=5, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            refused = submission("main", "media-0", "api").submission.job

            def outcome(order: Prepare) -> tuple[float, PreparationReport]:
                if order.job == refused:
                    return 1.0, PreparationRefused(order.job, order.preparation, "too_long")
                return 1.0, prepared(order)

            TwinWorker(here.kafka, "cpu-1", CPUS, outcome)
            submit(here, 4)
            await here.until(lambda: len(here.events(JobSucceeded)) == 3 and here.events(InputsRefused))
            (ended,) = here.events(InputsRefused)
            assert (ended.job, ended.kind) == (refused, "too_long")
            assert here.verify().findings == []

        here.run(body)


def cancelled(here: Installation, job: str) -> None:
    here.say(CancelRequested(job, "acme"))


def erased(here: Installation, job: str) -> None:
    here.say(EraseRequested(job, "acme"))


@pytest.mark.parametrize("ends", [cancelled, erased, None], ids=["cancelled", "erased", "expired"])
@pytest.mark.parametrize("is_under_way", [True, False], ids=["under way", "waits"])
def test_a_job_that_ends_while_it_is_prepared_takes_its_worker_no_longer(
    ends: Callable[[Installation, str], None] | None, is_under_way: bool
) -> None:
    with Installation(seed=7, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            slow = worker(here, "cpu-1", 1_000.0) if is_under_way else None
            record = submission("main", "media-0", "api")
            changes: dict[str, Any] = {"media": 1} if ends else {"media": 1, "expires_in_ms": 8_000}
            said = msgspec.structs.replace(record.submission, **changes)
            here.say(msgspec.structs.replace(record, submission=said))
            if slow:
                await here.until(lambda: slow.begun)
            if ends:
                ends(here, said.job)
            await here.until(lambda: here.events(JobCancelled) or here.events(JobExpired))
            quick = slow or worker(here, "cpu-1")
            await here.until(lambda: not quick.held)
            await asyncio.sleep(30)
            assert here.events(InputsPrepared) == []
            assert quick.begun.total() == is_under_way, "it is not prepared again"
            assert here.verify().findings == []

        here.run(body)


def test_a_node_of_the_other_kind_stays_out() -> None:
    with Installation(seed=6, policy=WITH_CPUS) as here:

        async def body() -> None:
            begin(here)
            astray = TwinWorker(here.kafka, "cpu-1", "main-cluster", lambda order: (1.0, prepared(order)))
            await here.until(lambda: astray.refused)
            assert astray.refused == "wrong_kind"

        here.run(body)
