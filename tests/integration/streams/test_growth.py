"""A topic that has grown is read whole within seconds, whatever was killed meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import migrations
from contract import policy as policies
from contract.codec import encode
from contract.inputs import PolicyApplied
from contract.policy import Cluster, Policy, Tier
from contract.topics import JOBS, topics_for
from local.services import Services, running
from registry import pools
from runtime import postgres
from runtime.kafka import Producer, ensure_topics
from tests.integration.streams.processes import Processes, Running
from tests.waiting import until

SOON_S = 30.0
"""It takes about 5 s. Left to Faust it takes 5 minutes, or for ever."""
_sizes = count(2)


def policy_of(partitions: int) -> Policy:
    return Policy(
        tiers={"free": Tier(slo_ms=60_000)},
        pools={f"pool{n}": policies.Pool(partition=n) for n in range(partitions)},
        clusters={f"cluster{n}": Cluster(pool=f"pool{n}", limit=10) for n in range(partitions)},
        submission_partitions=partitions,
    )


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers of one partition a topic, which the tests make more."""
    with running(tmp_path_factory.mktemp("growing"), durable=False) as started:
        migrations.upgrade(started.settings.database_url)
        adopt(started, 1)
        yield started


@pytest.fixture
def own(growing: Services, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(growing.settings, tmp_path)
    yield processes
    processes.kill_all()


def adopt(services: Services, partitions: int) -> int:
    """What `headrace policy apply` does with a policy of so many pools; the newest one's partition."""
    policy = policy_of(partitions)
    ensure_topics(services.settings.brokers, topics_for(policy))
    engine = postgres.engine(services.settings)
    pools.register(engine, policy)
    engine.dispose()
    producer = Producer(services.settings.brokers, "test")
    applied = encode(PolicyApplied(policy, policies.fingerprint(policy)))
    for partition in range(partitions):
        producer.send_and_wait(JOBS, applied, key=uuid.uuid4().hex.encode(), partition=partition)
    producer.close()
    return partitions - 1


def started(processes: Processes, group: str) -> dict[str, Running]:
    return {name: processes.start(name, f"{name}-{group}") for name in ("scheduler", "intake", "projector")}


def reads(running: dict[str, Running], partition: int) -> bool:
    """Whether each of them has taken the partition up."""
    said = {
        "scheduler": ("leading a pool", f'"pool": "pool{partition}"'),
        "intake": ("reading submissions", f'"partition": {partition}'),
        "projector": ("folding a ledger", f'"partition": {partition}'),
    }
    return all(
        any(all(part in line for part in said[name]) for line in one.log.read_text().splitlines())
        for name, one in running.items()
    )


def test_whatever_was_killed_what_is_new_is_read(growing: Services, own: Processes) -> None:
    """By processes that run; by those that were killed and started again at once, to whom the broker gives what they
    had; and by those that were down together with the broker."""
    group = uuid.uuid4().hex[:6]
    running = started(own, group)
    until(lambda: reads(running, 0), "all read the first partition")
    newest = adopt(growing, next(_sizes))
    until(lambda: reads(running, newest), "all read the new partition", SOON_S)
    assert all(one.process.poll() is None for one in running.values())

    for one in running.values():
        one.kill()
    newest = adopt(growing, next(_sizes))
    running = started(own, group)
    until(lambda: reads(running, newest), "after a kill, all read the new partition", SOON_S)

    for one in running.values():
        assert one.terminate() == 0
    growing.kafka.stop()
    growing.kafka.start()
    growing.kafka.await_ready()
    newest = adopt(growing, next(_sizes))
    running = started(own, group)
    until(lambda: reads(running, newest), "after a restart of all, all read the new partition", SOON_S)


def test_of_two_whichever_was_killed_what_is_new_is_read(growing: Services, own: Processes, tmp_path: Path) -> None:
    group = f"scheduler-{uuid.uuid4().hex[:6]}"
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    running = []
    for folder in folders:
        running.append(own.start("scheduler", group, data=folder))
        until(lambda: reads({"scheduler": running[0]}, 0), "the first partition is read")
    until(lambda: running[1].said('"leading a pool"'), "both have pools")
    for victim in (0, 1):
        running[victim].kill()
        newest = adopt(growing, next(_sizes))
        running[victim] = own.start("scheduler", group, data=folders[victim])
        until(
            lambda n=newest: any(reads({"scheduler": one}, n) for one in running),  # type: ignore[misc]
            "the new partition is read",
            SOON_S,
        )
