"""runtime.postgres against a real server."""

from __future__ import annotations

import sqlalchemy

from local.services import Services
from runtime import postgres


def test_the_engine_reaches_the_server(services: Services) -> None:
    engine = postgres.engine(services.settings)
    with engine.connect() as connection:
        version = connection.execute(sqlalchemy.text("SHOW server_version_num")).scalar_one()
    engine.dispose()
    assert int(version) >= 180000
