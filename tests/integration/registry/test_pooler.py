"""Case C16: a transaction pooler before Postgres. All works by transactions alone, and nothing is said in vain."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, make_url, text

from api import feed as feeding
from api.feed import Feed
from api.hub import Hub
from contract.names import job_id_of_key
from contract.signing import RecordSigner
from contract.topics import Topic
from local.ports import HOST, free_port
from local.processes import Process
from local.services import Services
from registry import aliases, publishing, relay
from registry.relay import Relay
from runtime import jobs_writer, postgres
from runtime.kafka import Producer, ensure_topics, offsets
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from tests.unit.registry.samples import write_model
from tests.unit.views.ledger import Ledger
from tests.waiting import until, until_async, within
from views import projection, receipts

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="expected pgbouncer, found none: `apt-get install pgbouncer` brings it, as .ci/run does"
)

SESSIONS = 5
"""Of the server, for all clients."""


@pytest.fixture
def pooled(settings: Settings, services: Services, tmp_path: Path) -> Iterator[Settings]:
    """The same database through a pooler, which gives each transaction any of SESSIONS sessions."""
    database, port = make_url(settings.database_url).database, free_port()
    folder, password = services.postgres.socket_dir, services.postgres.passwords.of("postgres")
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database} = host={folder} dbname={database} user=postgres password={password}\n"
        f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 200\n"
    )
    process = Process(
        "pgbouncer", [str(PROGRAM), str(config)], tmp_path / "pgbouncer.log", privileges=_as_owner_of(folder)
    )
    url = f"postgresql+psycopg://postgres@{HOST}:{port}/{database}"
    process.start()
    try:
        process.await_ready(lambda: _answers(f"postgresql://postgres@{HOST}:{port}/{database}"), 15)
        yield settings.model_copy(update={"database_url": url})
    finally:
        process.kill()


def _as_owner_of(folder: Path) -> list[str]:
    """The pooler refuses to run as root. It must pass through directories that its user may not read."""
    if os.geteuid() != 0:
        return []
    passing = "-all,+dac_read_search"
    return [
        f"--reuid={folder.stat().st_uid}",
        f"--regid={folder.stat().st_gid}",
        "--clear-groups",
        f"--inh-caps={passing}",
        f"--ambient-caps={passing}",
    ]


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def through(pooled: Settings, engine: Engine) -> Iterator[Engine]:
    """An engine like the API's, through the pooler."""
    through = postgres.engine(pooled, statement_timeout_ms=4_321, pool_size=16)
    yield through
    through.dispose()


def test_a_pooler_is_noticed_and_its_absence_too(through: Engine, engine: Engine) -> None:
    for one, expected in ((through, True), (engine, False)):
        with one.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert postgres.is_pooled(driver) is expected
            assert (driver.prepare_threshold is None) is expected


def test_a_time_limit_holds_in_each_transaction_and_for_nobody_else(through: Engine, pooled: Settings) -> None:
    other = postgres.engine(pooled)
    shown = text("SHOW statement_timeout")
    for _ in range(3 * SESSIONS):
        with through.begin() as connection:  # what is rolled back leaves no setting of a session either
            assert connection.execute(shown).scalar_one() == "4321ms"
        with other.connect() as connection:
            assert connection.execute(shown).scalar_one() == "0"
    other.dispose()


def test_statements_of_many_threads_do_not_meet_in_one_session(through: Engine) -> None:
    """Prepared statements would: "prepared statement already exists", or worse, another one of that name."""

    def submit(number: int) -> None:
        for turn in range(10):
            job = job_id_of_key("main", "acme", f"{number}.{turn}")
            with through.begin() as connection:
                assert receipts.reserve(connection, job, "acme", b"{}") is receipts.ReceiptState.NEW
            with through.begin() as connection:
                receipts.acknowledge(connection, job, "acme", "free", "echo", 1, 0, b"{}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(submit, range(16)))


def test_the_views_are_folded_through_it(through: Engine) -> None:
    ledger = Ledger("main")
    ledger.open()
    ledger.adopt()
    ledger.register()
    for number in range(20):
        ledger.admit(f"n-{number}")
        with through.begin() as connection:
            projection.apply_all(connection, "main", ledger.records)
    with through.connect() as connection:
        at = projection.position(connection, "main")
    assert at is not None
    assert at.offset == ledger.records[-1].offset


def test_two_relays_carry_everything_once_and_one_that_goes_leaves_no_lock_behind(
    through: Engine, store: ObjectStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "jobs-" + settings.s3_bucket
    ensure_topics(settings.brokers, [Topic(name, 2, {})])
    monkeypatch.setattr(jobs_writer, "JOBS", name)
    monkeypatch.setattr(relay, "POLL_S", 0.05)
    model = write_model(tmp_path / "echo")
    digest = publishing.publish(model, engine=through, store=store, who="ann", pool="main", alias="live").version.digest
    for turn in range(4):
        stop = threading.Event()
        producers = [Producer(settings.brokers, "test-relay") for _ in range(2)]
        threads = [
            threading.Thread(target=Relay(through, one, RecordSigner(None)).run, args=(stop,)) for one in producers
        ]
        for thread in threads:
            thread.start()
        aliases.promote(through, "echo", f"alias{turn}", digest, "ann", "")
        until(lambda: _waiting(through) == 0, "the outbox is empty", 20)
        stop.set()
        for thread, producer in zip(threads, producers, strict=True):
            thread.join(20)
            producer.close()
    assert offsets(settings.brokers, name, 0)[1] == 2 + 4
    with ExitStack() as all_sessions:  # a session that listens would listen for whoever has it next
        for _ in range(SESSIONS):
            connection = all_sessions.enter_context(through.begin())
            assert connection.execute(text("SELECT pg_listening_channels()")).all() == []


def _waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        waiting = text("SELECT count(*) FROM registry.outbox WHERE published_at IS NULL")
        return int(connection.execute(waiting).scalar_one())


def test_event_streams_ask_where_they_cannot_listen(
    pooled: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "POLL_S", 60.0)
    monkeypatch.setattr(feeding, "POLL_POOLED_S", 0.01)

    async def live() -> None:
        asked: list[Any] = []

        async def read(_query: Any, watched: Any) -> list[Any]:
            asked.append(watched)
            return []

        hub = Hub()
        feed = Feed(pooled.database_url, hub, read)
        feed.start()
        hub.subscribe("acme", "main-1", (-1, -1))
        await until_async(lambda: len(asked) > 5, "it asks again and again")
        await feed.close()

    asyncio.run(within(60, live()))
    with engine.connect() as connection:
        listens = text(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
        assert connection.execute(listens).scalar_one() == 0
