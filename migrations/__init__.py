"""The database's schema, step by step: alembic revisions, run by `upgrade` at install and by `headrace up`.

Here live only revisions (one file each in versions/) and the little that runs them. A revision that was released is
never edited: a change is a new revision. Nothing here is imported by the packages that use the tables.
"""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config

_one_at_a_time = threading.Lock()
"""alembic keeps its context in module globals."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the database at this URL to `revision`; nothing happens when it is there already.

    Safe from several threads and processes at once: they take turns. Raises SQLAlchemy's errors when the
    database can't be reached or lacks a privilege."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database_url"] = database_url
    with _one_at_a_time:
        command.upgrade(config, revision)
