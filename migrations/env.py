"""What alembic runs for every command: one connection, one advisory lock, one transaction for all steps."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, make_url, pool, text

UPGRADE_LOCK = 0x6865_6164
"""Number of the advisory lock with which processes that upgrade at once take turns."""


def run() -> None:
    url = make_url(context.config.attributes["database_url"])
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    # nothing prepared: a pooler may stand between, and give its session to others afterwards
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"prepare_threshold": None})
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
        context.configure(connection=connection, version_table="headrace_revision")
        context.run_migrations()


run()
