"""Postgres engines for SQLAlchemy, by psycopg."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runtime.settings import Settings

CONNECT_TIMEOUT_S = 5

_OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,  # a restarted server costs one reconnect, not one error for each pooled connection
    "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S},
}


def engine(settings: Settings, **options: Any) -> Engine:
    """A pool of connections to the database; it connects when first used."""
    return create_engine(settings.database_url, **{**_OPTIONS, **options})


def async_engine(settings: Settings, **options: Any) -> AsyncEngine:
    """The same for coroutines."""
    return create_async_engine(settings.database_url, **{**_OPTIONS, **options})
