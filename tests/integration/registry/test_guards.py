"""The database itself refuses what must never happen, whoever asks."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

import migrations
from local.services import Services
from registry import keys, publishing
from runtime.object_store import ObjectStore

INSUFFICIENT_PRIVILEGE = "42501"


@pytest.fixture
def published(engine: Engine, store: ObjectStore, directory: Path) -> str:
    keys.create(engine, "acme", ["free"])
    return publishing.publish(
        directory, engine=engine, store=store, who="ann", pool="main", alias="live"
    ).version.digest


REFUSED = [
    "UPDATE registry.versions SET published_by = 'mallory'",
    "UPDATE registry.versions SET manifest = '{}'",
    "DELETE FROM registry.versions",
    "TRUNCATE registry.versions CASCADE",
    "UPDATE registry.models SET pool = 'other'",
    "DELETE FROM registry.models",
    "UPDATE registry.pools SET partition = 9",
    "DELETE FROM registry.pools",
    "UPDATE registry.alias_moves SET why = 'another reason'",
    "DELETE FROM registry.alias_moves",
    "TRUNCATE registry.alias_moves",
    "UPDATE registry.aliases SET move = 2",
    "UPDATE registry.aliases SET alias = 'beta'",
    "DELETE FROM registry.aliases",
    "UPDATE registry.outbox SET event_id = 'another'",
    "DELETE FROM registry.outbox",
    "UPDATE registry.keys SET tenant = 'other'",
    "UPDATE registry.keys SET scope = 'operator'",
    "DELETE FROM registry.keys",
    "INSERT INTO registry.aliases (model, alias, version, move) SELECT model, 'beta', digest, 1 FROM registry.versions",
    "INSERT INTO registry.versions (digest, model, manifest, published_by)"
    " VALUES ('sha256:' || repeat('a', 64), 'echo', '{}', 'mallory')",
]


def test_history_is_not_rewritten(engine: Engine, published: str) -> None:
    for statement in REFUSED:
        with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
            connection.execute(text(statement))
        assert sqlstate_of(caught.value) in ("23001", "23514"), statement


def test_the_writer_role_may_add_and_not_change(engine: Engine, published: str) -> None:
    for statement, allowed in (
        ("SELECT * FROM registry.versions", True),
        ("UPDATE registry.outbox SET published_at = now()", True),
        ("UPDATE registry.versions SET published_by = 'mallory'", False),
        ("DELETE FROM registry.keys", False),
    ):
        assert is_allowed(engine, "registry_writer", statement) == allowed
    assert is_allowed(engine, "registry_reader", "SELECT * FROM registry.versions")
    assert not is_allowed(engine, "registry_reader", "INSERT INTO registry.pools VALUES ('third', 3)")


def sqlstate_of(error: DBAPIError) -> str | None:
    assert isinstance(error.orig, psycopg.Error)
    return error.orig.sqlstate


@pytest.mark.parametrize("role", ["registry_reader", "registry_writer"])
def test_a_role_that_reads_versions_sees_which_are_withdrawn_and_no_job(engine: Engine, role: str) -> None:
    assert is_allowed(engine, role, "SELECT version, kill FROM views.withdrawals")
    assert not is_allowed(engine, role, "DELETE FROM views.withdrawals")
    assert not is_allowed(engine, role, "SELECT job FROM views.jobs")


def is_allowed(engine: Engine, role: str, statement: str) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            connection.execute(text(statement))
    except ProgrammingError as error:
        if sqlstate_of(error) != INSUFFICIENT_PRIVILEGE:
            raise
        return False
    return True


def test_upgrades_at_once_take_turns(services: Services) -> None:
    url = make_url(services.settings.database_url)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE registry_upgrades"))
    own = url.set(database="registry_upgrades").render_as_string(hide_password=False)
    code = "import sys, migrations; migrations.upgrade(sys.argv[1])"
    racing = [subprocess.Popen([sys.executable, "-c", code, own]) for _ in range(3)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(migrations.upgrade, [own] * 2))
    assert [process.wait(30) for process in racing] == [0, 0, 0]
    engine = create_engine(own)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace_revision")).scalar_one() == 1
    engine.dispose()
    admin.dispose()
