"""The database's schema, step by step: alembic revisions, run by `upgrade` at install and by `headrace up`.

Here live only revisions (each a file in versions/) and the code that runs them. A released revision is never edited: a
change is a new revision. The packages that use the tables import nothing from here.
"""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config

_one_at_a_time = threading.Lock()
"""alembic keeps its context in globals of its modules, so two threads must not upgrade at once."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the database at this URL to `revision`. Changes nothing when the database has that revision.

    Several threads and processes may call this at once: they take turns. Raises the errors of SQLAlchemy when the
    database does not answer or lacks a privilege."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database_url"] = database_url
    with _one_at_a_time:
        command.upgrade(config, revision)
