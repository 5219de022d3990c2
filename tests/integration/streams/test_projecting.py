"""The projector against a Postgres that is read-only, restarts, or refuses; and while its partitions are taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from contract import inputs
from contract.names import payload_digest
from local.services import Services
from runtime import postgres
from runtime.kafka import Record
from runtime.settings import Settings
from streams import projector as projecting
from streams.hosting import follower
from streams.hosting.flow import FlowControl
from streams.projector import Projector
from tests.integration.databases import own_database
from tests.unit.audit.ledger import POOL, SALT, Ledger, job_of
from tests.waiting import until_async, within
from views import projection, queries

PARTITION = 3
WITHIN_S = 30.0


@pytest.fixture
def settings(services: Services) -> Iterator[Settings]:
    with own_database(services.settings, "projecting") as own:
        yield own


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = postgres.engine(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process would have ended."""
    reasons: list[str] = []

    def die(reason: str, **facts: Any) -> None:
        reasons.append(reason)
        raise SystemExit(reason)

    monkeypatch.setattr(projecting, "die", die)
    return reasons


@pytest.fixture
def ledger() -> Ledger:
    """Records that a real scheduler wrote: a job that was accepted and dispatched, and one that succeeded."""
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.submit(2)
    ledger.decide()
    ledger.succeed(1)
    return ledger


def records_of(ledger: Ledger) -> list[Record]:
    return [Record("ledger", PARTITION, r.offset, r.at_ms, None, r.value, []) for r in ledger.records]


Logged = list[MutableMapping[str, Any]]


def run(settings: Settings, work: Callable[[Projector, Logged], Coroutine[Any, Any, None]]) -> Logged:
    """Runs `work` with a projector that has the partition, and with what it logs; the same at the end."""

    async def seek(*_: Any) -> None: ...

    async def main(logged: Logged) -> None:
        app = SimpleNamespace(consumer=SimpleNamespace(seek=seek), flow=FlowControl())
        projector = Projector(settings, app)
        projector._ours = {PARTITION}  # what Faust assigns, without asking a broker whose ledger lies there
        try:
            await within(WITHIN_S, work(projector, logged))
        finally:
            await projector.stop()

    with structlog.testing.capture_logs() as logged:
        asyncio.run(main(logged))
    return logged


def said(logged: Logged, event: str) -> Logged:
    return [entry for entry in logged if entry["event"].startswith(event)]


def position(engine: Engine) -> int:
    with engine.connect() as connection:
        at = projection.position(connection, POOL)
    return -1 if at is None else at.offset


def states(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = [queries.any_job(connection, job_of(number)) for number in (1, 2)]
    return [row.state for row in rows if row is not None]


def by_hand(settings: Settings, *statements: str) -> None:
    """As an operator, each by itself."""
    engine = create_engine(settings.database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        for statement in statements:
            connection.execute(text(statement))


def is_blocked(engine: Engine) -> bool:
    """Some session of the database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return bool(connection.execute(text(waiting)).scalar_one() > 0)


CUT_THE_BLOCKED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def test_a_read_only_database_is_waited_for(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    """Case C22: the views are current again without a restart."""
    name = make_url(settings.database_url).database
    by_hand(settings, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    async def work(projector: Projector, logged: Logged) -> None:
        taking = asyncio.create_task(projector.take(records_of(ledger)))
        await until_async(lambda: said(logged, "waiting for the database"))
        assert not taking.done()
        by_hand(settings, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await taking

    (waiting,) = said(run(settings, work), "waiting for the database")
    assert (waiting["found"], waiting["pool"]) == ("ReadOnlySqlTransaction 25006", POOL)
    assert (waiting["topic"], waiting["partition"], waiting["offset"]) == ("ledger", PARTITION, 0)
    assert position(engine) == len(ledger.records) - 1
    assert ended == []


def test_what_waits_for_the_database_is_not_delivered_once_more(
    settings: Settings, engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stall would have all that came since sought back, and memory filled with copies."""
    monkeypatch.setattr(follower, "STALL_S", 0.005)
    seeks: list[int] = []

    async def seek(_topic: Any, offset: int) -> None:
        seeks.append(offset)

    async def work(projector: Projector, logged: Logged) -> None:
        projector._app.consumer.seek = seek
        monkeypatch.setattr(projector._watermarks, "of", lambda *_: (0, 1_000))
        await projector.take(records_of(ledger)[:1])
        await until_async(lambda: len(seeks) > 3, "records that do not come are sought")
        projector._flow.is_behind = lambda: True
        await asyncio.sleep(0)
        before = len(seeks)
        with engine.connect() as holder:
            holder.execute(text("LOCK TABLE views.ledger_positions"))
            taking = asyncio.create_task(projector.take(records_of(ledger)[1:]))
            await until_async(lambda: is_blocked(engine))
        await taking
        assert len(seeks) <= before + 1

    run(settings, work)


def test_a_connection_that_is_cut_in_a_statement_is_made_again(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    """As a server does that is restarted: the driver's own error, out of a cursor (review 5.17)."""

    async def work(projector: Projector, logged: Logged) -> None:
        with engine.connect() as holder:
            holder.execute(text("LOCK TABLE views.job_events"))
            taking = asyncio.create_task(projector.take(records_of(ledger)))
            await until_async(lambda: is_blocked(engine))
            by_hand(settings, CUT_THE_BLOCKED)
            await until_async(lambda: said(logged, "waiting for the database"))
        await taking

    logged = run(settings, work)
    assert len(said(logged, "waiting for the database")) == 1
    assert position(engine) == len(ledger.records) - 1
    assert states(engine) == ["succeeded", "dispatched"]
    assert ended == []


def test_a_deadline_of_2_to_the_63_sets_that_job_aside_and_is_named(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    """Case X-expires, as a scheduler of an older release accepted it."""
    body = inputs.Submission(job_of(3), "acme", "free", "film", payload_digest(SALT, b"{}"), "api", expires_ms=2**63)
    ledger.say(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT))
    ledger.decide()
    poisoned = len(ledger.records) - 1
    ledger.submit(4)
    ledger.decide()

    async def work(projector: Projector, logged: Logged) -> None:
        for record in records_of(ledger):
            await projector.take([record])

    (aside,) = said(run(settings, work), "a job cannot be shown")
    assert (aside["log_level"], aside["pool"], aside["job"]) == ("error", POOL, job_of(3))
    assert (aside["topic"], aside["partition"], aside["offset"]) == ("ledger", PARTITION, poisoned)
    assert aside["found"] == "expires_ms is a number of more than 64 bits"
    with engine.connect() as connection:
        shown = [queries.any_job(connection, job_of(number)) for number in (3, 4)]
    assert [row.state for row in shown if row] == ["unreadable", "dispatched"]
    assert position(engine) == len(ledger.records) - 1
    assert ended == []


def test_what_the_database_refuses_is_left_out_and_the_rest_goes_on(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    by_hand(settings, f"ALTER TABLE views.jobs ADD CHECK (job <> '{job_of(1)}' OR state = 'unreadable')")

    async def work(projector: Projector, logged: Logged) -> None:
        await projector.take(records_of(ledger))

    logged = run(settings, work)
    (refused,) = said(logged, "the database refused rows of the views")
    assert (refused["topic"], refused["partition"], refused["offset"]) == ("ledger", PARTITION, 0)
    assert [entry["job"] for entry in said(logged, "a job cannot be shown")] == [job_of(1)]
    assert states(engine) == ["unreadable", "dispatched"]
    assert position(engine) == len(ledger.records) - 1
    assert ended == []


def test_a_partition_that_is_taken_away_in_the_middle_is_let_go(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    """Review 5.24: and when it comes back, it is read from where the views are."""
    head, tail = records_of(ledger)[:3], records_of(ledger)[3:]

    async def work(projector: Projector, logged: Logged) -> None:
        await projector.take(head)
        with engine.connect() as holder:
            holder.execute(text("LOCK TABLE views.ledger_positions"))
            taking = asyncio.create_task(projector.take(tail))
            await until_async(lambda: is_blocked(engine))
            await projector.assigned(set())
            by_hand(settings, CUT_THE_BLOCKED)
            await taking
        assert position(engine) == head[-1].offset
        projector._ours = {PARTITION}
        await projector.take(tail[:0])
        await projector.take(tail)  # the first that comes says whose ledger it is

    run(settings, work)
    assert position(engine) == len(ledger.records) - 1
    assert ended == []


def test_a_damaged_ledger_ends_the_process_and_says_where(
    settings: Settings, engine: Engine, ledger: Ledger, ended: list[str]
) -> None:
    ledger.edit(3, ledger.records[3].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))

    async def work(projector: Projector, logged: Logged) -> None:
        with pytest.raises(SystemExit):
            await projector.take(records_of(ledger))

    run(settings, work)
    assert ended == ["the ledger is damaged; run `headrace audit verify`"]
