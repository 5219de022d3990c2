"""Several pools, several processes, and a broker that goes away: who leads what, and that work goes on."""

from __future__ import annotations

import uuid
from pathlib import Path

from contract.events import JobSucceeded, NodeLost
from local.services import Services
from runtime.kafka import Producer
from tests.integration.streams.pool import FIRST_AND_LAST, Pool
from tests.integration.streams.processes import Processes, Running
from tests.waiting import until


def work_off(pools: list[Pool]) -> None:
    def ended() -> bool:
        for pool in pools:
            pool.work(0.05)
        return all(pool.count(JobSucceeded) == dict.fromkeys(pool.jobs, 1) for pool in pools)

    until(ended, "every job of every pool succeeds once")


def leads(process: Running, pool: Pool) -> int:
    """How often the process began to lead the pool."""
    return process.log.read_text().count(f'"pool": "{pool.name}", "epoch"')


def test_pools_are_shared_out_over_the_processes_of_a_group(
    servers: Services, processes: Processes, tmp_path: Path
) -> None:
    producer = Producer(servers.settings.brokers, "test")
    pools = [Pool(servers.settings, producer, number) for number in FIRST_AND_LAST]
    group = f"scheduler-{uuid.uuid4().hex[:6]}"
    one = processes.start("scheduler", group, data=tmp_path / "one")
    for pool in pools:
        pool.setup()
        pool.join()
        pool.submit(5)
    work_off(pools)
    assert [leads(one, pool) for pool in pools] == [1, 1], "one process leads both"

    other = processes.start("scheduler", group, data=tmp_path / "other")
    until(lambda: sum(leads(other, pool) for pool in pools) == 1, "the other takes one of the two over")
    for pool in pools:
        pool.submit(5)
    work_off(pools)
    assert one.process.poll() is None, "who gave a pool away does not stop for that"
    assert other.process.poll() is None

    one.kill()
    until(lambda: all(leads(other, pool) for pool in pools), "the other leads both")
    for pool in pools:
        pool.submit(5)
    work_off(pools)
    for pool in pools:
        pool.close()
    producer.close()


def test_a_broker_that_was_killed_and_comes_back_costs_nothing(
    servers: Services, pool: Pool, processes: Processes
) -> None:
    scheduler = processes.start("scheduler", f"scheduler-{uuid.uuid4().hex[:6]}")
    pool.setup()
    pool.join()
    pool.submit(5)
    work_off([pool])
    servers.kafka.kill()
    servers.kafka.start()
    servers.kafka.await_ready()
    pool.submit(5)
    work_off([pool])
    assert scheduler.process.poll() is None
    assert not any(isinstance(event, NodeLost) for event in pool.events())
    assert len(pool.opened()) == 1
