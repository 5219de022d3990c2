"""The ledger, folded into the views, wherever Faust's offsets are and whatever became of the database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from contract.events import JobAccepted
from contract.topics import LEDGER
from runtime import postgres
from runtime.kafka import offsets
from runtime.settings import Settings
from tests.integration.databases import own_database
from tests.integration.streams.pool import Pool, commit
from tests.integration.streams.processes import Processes
from tests.waiting import until
from views import projection


@pytest.fixture
def database(pool: Pool) -> Iterator[str]:
    """A database of this test's own, so that the views are empty."""
    with own_database(pool.settings, "projector") as own:
        yield own.database_url


def jobs_shown(settings: Settings, pool: Pool) -> int:
    engine = postgres.engine(settings)
    with engine.connect() as connection:
        shown = connection.execute(text("SELECT count(*) FROM views.jobs WHERE pool = :pool"), {"pool": pool.name})
        number = int(shown.scalar_one())
    engine.dispose()
    return number


def at_the_end(settings: Settings, pool: Pool) -> bool:
    engine = postgres.engine(settings)
    with engine.connect() as connection:
        at = projection.position(connection, pool.name)
    engine.dispose()
    head = pool.state()
    return at is not None and (at.offset, at.hash) == (head.head_offset, head.head_hash)


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_views_follow_the_ledger_from_their_own_position(
    pool: Pool, processes: Processes, database: str, where: str
) -> None:
    settings = pool.settings.model_copy(update={"database_url": database})
    group = f"projector-{uuid.uuid4().hex[:6]}"
    scheduler = processes.start("scheduler", f"scheduler-{uuid.uuid4().hex[:6]}")
    projector = processes.start("projector", group, database_url=database)
    pool.setup()
    pool.submit(5)
    until(lambda: jobs_shown(settings, pool) == 5, "five jobs are shown")
    projector.kill()
    pool.submit(5)
    until(lambda: len(pool.count(JobAccepted)) == 10, "ten are accepted")
    scheduler.terminate()
    low, high = offsets(settings.brokers, LEDGER, pool.partition)

    def moved() -> bool:
        try:
            commit(settings, group, LEDGER, pool.partition, high if where == "end" else low)
        except Exception:
            return False
        return True

    until(moved, "the offset is set")
    second = processes.start("projector", group, database_url=database)
    until(lambda: at_the_end(settings, pool), "the views are at the ledger's end")
    assert jobs_shown(settings, pool) == 10
    assert second.terminate() == 0


def test_a_fresh_database_is_built_from_the_ledgers_beginning(pool: Pool, processes: Processes, database: str) -> None:
    settings = pool.settings.model_copy(update={"database_url": database})
    scheduler = processes.start("scheduler", f"scheduler-{uuid.uuid4().hex[:6]}")
    pool.setup()
    pool.submit(5)
    until(lambda: len(pool.count(JobAccepted)) == 5, "five are accepted")
    scheduler.terminate()
    processes.start("projector", f"projector-{uuid.uuid4().hex[:6]}", database_url=database)
    until(lambda: at_the_end(settings, pool), "the views are at the ledger's end")
    assert jobs_shown(settings, pool) == 5
