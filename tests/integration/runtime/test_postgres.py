"""runtime.postgres against a real server."""

from __future__ import annotations

import asyncio

import sqlalchemy

from local.services import Services
from runtime import postgres


def test_both_engines_reach_the_server(services: Services) -> None:
    engine = postgres.engine(services.settings)
    with engine.connect() as connection:
        version = connection.execute(sqlalchemy.text("SHOW server_version_num")).scalar_one()
    engine.dispose()
    assert int(version) >= 180000

    async def ask() -> int:
        engine = postgres.async_engine(services.settings)
        async with engine.connect() as connection:
            answer = (await connection.execute(sqlalchemy.text("SELECT 1"))).scalar_one()
        await engine.dispose()
        return int(answer)

    assert asyncio.run(ask()) == 1
