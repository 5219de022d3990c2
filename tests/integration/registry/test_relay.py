from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from contract.codec import decode_wire
from contract.inputs import AliasMoved, VersionPublished
from contract.names import actor_name
from contract.signing import RecordSigner
from contract.topics import Topic
from local.services import Services
from registry import aliases, models, publishing, relay
from registry.outbox import CHANNEL
from registry.relay import Relay
from runtime import jobs_writer
from runtime.kafka import Delivery, DeliveryUnclear, Producer, Record, ensure_topics, offsets, read_range
from runtime.kafka_credentials import Brokers
from runtime.kafka_topics import TopicMismatch
from runtime.object_store import ObjectStore
from runtime.roles import Role
from runtime.settings import Settings
from tests.integration.databases import logged_in
from tests.unit.registry.samples import MODEL_PY, MODEL_YAML, write_model
from tests.waiting import until

PARTITIONS = 2


@pytest.fixture
def jobs(settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A topic of this test's own in the place of `jobs`."""
    name = "jobs-" + settings.s3_bucket
    ensure_topics(settings.brokers, [Topic(name, PARTITIONS, {})])
    monkeypatch.setattr(jobs_writer, "JOBS", name)
    return name


@contextmanager
def relaying(engine: Engine, settings: Settings, producer: Producer | None = None) -> Iterator[Relay]:
    own = producer or Producer(settings.brokers, "test-relay")
    stop = threading.Event()
    working = Relay(engine, own, RecordSigner(None))
    thread = threading.Thread(target=working.run, args=(stop,))
    thread.start()
    try:
        yield working
    finally:
        stop.set()
        with engine.begin() as connection:
            connection.execute(text(f"NOTIFY {CHANNEL}"))  # it need not wait for its next look
        thread.join(20)
        own.close()
        assert not thread.is_alive()


@contextmanager
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environment = logged_in(settings, Role.RELAY).environment() | {"PATH": "/usr/bin:/bin"}
    started = subprocess.Popen([sys.executable, "-m", "registry.relay"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait(10)


def publish(engine: Engine, store: ObjectStore, path: Path, number: int, name: str = "echo", pool: str = "main") -> str:
    directory = write_model(
        path / f"{name}{number}",
        yaml=MODEL_YAML.replace("name: echo", f"name: {name}"),
        code=MODEL_PY + f"# {number}\n",
    )
    return publishing.publish(directory, engine=engine, store=store, who="ann", pool=pool, alias="live").version.digest


def records(settings: Settings, topic: str, partition: int) -> list[Record]:
    start, end = offsets(settings.brokers, topic, partition)
    return list(read_range(settings.brokers, topic, partition, start, end))


def told(record: Record) -> VersionPublished | AliasMoved:
    body = decode_wire(record.value)
    assert isinstance(body, VersionPublished | AliasMoved)
    return body


def is_drained(engine: Engine) -> bool:
    with engine.connect() as connection:
        waiting: int = connection.execute(
            text("SELECT count(*) FROM registry.outbox WHERE published_at IS NULL")
        ).scalar_one()
        return waiting == 0


def moves(found: list[Record]) -> list[tuple[int, str]]:
    bodies = [decode_wire(record.value) for record in found]
    return [(body.move, body.version) for body in bodies if isinstance(body, AliasMoved)]


def test_the_scheduler_is_told_of_a_version_and_then_of_its_alias_at_once(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "POLL_S", 60.0)  # it is a notification that wakes it
    with relaying(engine, settings):
        until(lambda: listening(engine))
        digest = publish(engine, store, tmp_path, 1)
        until(lambda: models.resolve(engine, "echo").relayed)
        other = publish(engine, store, tmp_path, 1, name="twin", pool="other")
        until(lambda: is_drained(engine))
    first, second = records(settings, jobs, 0)
    version, move = decode_wire(first.value), decode_wire(second.value)
    assert isinstance(version, VersionPublished)
    assert (version.model, version.version, version.timeout_ms) == ("echo", digest, 30_000)
    assert version.requirements.memory_mib == 64
    assert isinstance(move, AliasMoved)
    assert (move.model, move.alias, move.version, move.move) == ("echo", "live", digest, 1)
    assert move.by == actor_name(aliases.history(engine, "echo", "live")[0].who) != "", (
        "the actor is whom the registry knows"
    )
    assert dict(first.headers)["ce_type"] == b"headrace.VersionPublished.v1"
    assert len({first.key, second.key}) == 2
    assert [told(record).version for record in records(settings, jobs, 1)] == [other, other]


def listening(engine: Engine) -> list[int]:
    """The sessions of relays."""
    with engine.connect() as connection:
        found = text("SELECT pid FROM pg_stat_activity WHERE query = :listen AND datname = current_database()")
        return list(connection.execute(found, {"listen": f"LISTEN {CHANNEL}"}).scalars())


class DiesAfterTheAck(Producer):
    """The broker has the record, and the relay does not mark its row, as if the relay were killed in between."""

    deaths = 3

    def send_and_wait(self, *args: Any, **kwargs: Any) -> Delivery:
        delivery = super().send_and_wait(*args, **kwargs)
        if self.deaths:
            self.deaths -= 1
            raise DeliveryUnclear("killed before it could mark")
        return delivery


def test_moves_arrive_in_order_also_when_killed_between_ack_and_mark(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [publish(engine, store, tmp_path, number) for number in range(3)]
    aliases.rollback(engine, "echo", "live", "ann", "")
    with relaying(engine, settings, DiesAfterTheAck(settings.brokers, "test-relay")):
        until(lambda: is_drained(engine))
    found = records(settings, jobs, 0)
    expected = [(1, digests[0]), (2, digests[1]), (3, digests[2]), (4, digests[1])]
    assert list(dict.fromkeys(moves(found))) == expected
    assert len(found) == 7 + DiesAfterTheAck.deaths
    known: set[str] = set()
    for body in map(told, found):
        if isinstance(body, VersionPublished):
            known.add(body.version)
        else:
            assert body.version in known


def test_two_relays_at_once_tell_everything_once_and_in_order(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path
) -> None:
    digests = [publish(engine, store, tmp_path, number) for number in range(2)]
    with relaying(engine, settings), relaying(engine, settings):
        for turn in range(20):
            aliases.promote(engine, "echo", "live", digests[turn % 2], "ann", "")
        until(lambda: is_drained(engine))
    found = moves(records(settings, jobs, 0))
    assert [move for move, _ in found] == list(range(1, len(found) + 1))
    assert len(found) == len(aliases.history(engine, "echo", "live"))


class Gate(Producer):
    """Lets no record through until the gate is opened, and says when a second relay sends."""

    def __init__(self, brokers: Brokers, entered: list[int], second: threading.Event, opened: threading.Event) -> None:
        super().__init__(brokers, "test-relay")
        self._entered, self._second, self._opened = entered, second, opened

    def send_and_wait(self, *args: Any, **kwargs: Any) -> Delivery:
        self._entered.append(id(self))
        if len(set(self._entered)) > 1:
            self._second.set()
        assert self._opened.wait(20)
        return super().send_and_wait(*args, **kwargs)


def test_a_relay_keeps_out_while_another_one_waits_for_its_ack(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path
) -> None:
    entered: list[int] = []
    second, opened = threading.Event(), threading.Event()
    gates = [Gate(settings.brokers, entered, second, opened) for _ in range(2)]
    with relaying(engine, settings, gates[0]), relaying(engine, settings, gates[1]):
        publish(engine, store, tmp_path, 1)
        until(lambda: len(entered) == 1)
        assert not second.wait(1.5 * relay.POLL_S)
        opened.set()
        until(lambda: is_drained(engine))
    assert len(records(settings, jobs, 0)) == 2


def test_relays_that_lose_their_database_sessions_make_new_ones(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path
) -> None:
    with relaying(engine, settings), relaying(engine, settings):
        until(lambda: len(listening(engine)) == 2)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_terminate_backend(unnest(:pids))"), {"pids": listening(engine)})
        publish(engine, store, tmp_path, 1)
        until(lambda: is_drained(engine))
    assert len(records(settings, jobs, 0)) == 2


def test_a_database_that_takes_no_writes_is_noticed_before_anything_is_written_to_the_broker(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path
) -> None:
    """Case C22. A record for each try would fill `jobs` with copies."""
    publish(engine, store, tmp_path, 1)
    name = engine.url.database
    failed = relay.failures.labels("postgres")
    before = failed._value.get()
    try:
        by_hand(engine, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        engine.dispose()
        with structlog.testing.capture_logs() as logged, relaying(engine, settings):
            until(lambda: failed._value.get() > before + 3, "it tries again and again")
            assert records(settings, jobs, 0) == []
            by_hand(engine, f"ALTER DATABASE {name} RESET default_transaction_read_only")
            until(lambda: is_drained(engine), "it goes on by itself", 10)
    finally:
        by_hand(engine, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert len(records(settings, jobs, 0)) == 2
    said = [entry for entry in logged if "database" in entry["event"]]
    assert [entry["event"] for entry in said] == [
        "the relay waits for the database",
        "the relay reaches the database again",
    ]
    assert "read-only" in said[0]["found"]


def by_hand(engine: Engine, statement: str) -> None:
    """As an operator, whom no default stops."""
    operator = create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with operator.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(statement))


def test_restarts_of_the_broker_and_of_postgres_lose_and_reorder_nothing(
    engine: Engine, store: ObjectStore, settings: Settings, services: Services, jobs: str, tmp_path: Path
) -> None:
    digests = [publish(engine, store, tmp_path, number) for number in range(2)]
    with relaying(engine, settings, Producer(settings.brokers, "test-relay", delivery_timeout_ms=2_000)):
        until(lambda: is_drained(engine))
        services.kafka.kill()
        try:
            for turn in range(4):
                aliases.promote(engine, "echo", "live", digests[turn % 2], "ann", "the broker is down")
        finally:
            services.kafka.start()
            services.kafka.await_ready()
        until(lambda: is_drained(engine))
        services.postgres.kill()
        services.postgres.start()
        services.postgres.await_ready()
        aliases.rollback(engine, "echo", "live", "ann", "after the database came back")
        until(lambda: is_drained(engine))
    expected = [(move.move, move.version) for move in aliases.history(engine, "echo", "live")]
    assert len(expected) == 7
    assert list(dict.fromkeys(moves(records(settings, jobs, 0)))) == expected


def test_the_process_is_killed_and_started_again_and_ends_cleanly_on_sigterm(
    engine: Engine, store: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    with suppress(TopicMismatch):  # another test of the session made it larger
        ensure_topics(settings.brokers, [Topic("jobs", PARTITIONS, {})])
    start = offsets(settings.brokers, "jobs", 0)[1]
    publish(engine, store, tmp_path, 1)
    with process(settings) as first:
        until(lambda: is_drained(engine))
        first.kill()
        assert first.wait(10) == -signal.SIGKILL
    digest = publish(engine, store, tmp_path, 2)
    with process(settings) as second:
        until(lambda: is_drained(engine))
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    end = offsets(settings.brokers, "jobs", 0)[1]
    found = list(read_range(settings.brokers, "jobs", 0, start, end))
    assert [move for move, _ in moves(found)] == [1, 2]
    assert moves(found)[-1] == (2, digest)


def test_a_manifest_that_is_none_or_anothers_is_told_to_nobody_and_holds_up_nothing(
    engine: Engine, store: ObjectStore, settings: Settings, jobs: str, tmp_path: Path
) -> None:
    good = publish(engine, store, tmp_path, 1)
    theirs = publish(engine, store, tmp_path, 1, name="theirs", pool="other")
    stored = text(
        "INSERT INTO registry.versions (digest, model, manifest, published_by)"
        " SELECT 'sha256:' || encode(sha256(convert_to(:manifest, 'UTF8')), 'hex'), 'echo', :manifest, 'mallory'"
    )
    with engine.connect() as connection:
        manifest = connection.execute(
            text("SELECT manifest FROM registry.versions WHERE digest = :theirs"), {"theirs": theirs}
        ).scalar_one()
    with engine.begin() as connection:
        for bad in ("{}", manifest + " "):
            connection.execute(stored, {"manifest": bad})
    last = publish(engine, store, tmp_path, 2)
    with structlog.testing.capture_logs() as logs, relaying(engine, settings):
        until(lambda: is_drained(engine))
    found = [told(record) for record in records(settings, jobs, 0)]
    assert [(type(body).__name__, body.model, body.version) for body in found] == [
        (kind, "echo", version) for version in (good, last) for kind in ("VersionPublished", "AliasMoved")
    ]
    assert [entry["event"] for entry in logs].count("a version cannot run, and no scheduler is told of it") == 2
