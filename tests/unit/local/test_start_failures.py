"""Why a stack did not start is told in the three parts of every failure, for servers of the user's own too."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from local.errors import CannotStart
from local.status import StartFailure
from local.supervisor import failure_of
from runtime.object_store import StoreAway

LOG = Path("/data/logs/supervisor.log")
REFUSED = psycopg.OperationalError("connection failed: connection to server at 127.0.0.1, port 1 failed")


@pytest.mark.parametrize(
    ("error", "expected", "found", "todo"),
    [
        (CannotStart("a port", "none", "Stop it"), "a port", "none", "Stop it"),
        (OperationalError("SELECT hidden", {}, REFUSED), "Postgres to do its work", "no answer", "See"),
        (
            StoreAway("the object store does not answer"),
            "the object store to do its work",
            "the object",
            "Correct HEAD",
        ),
        (KeyError("x"), "the stack to start", "KeyError: 'x'", f"Look at {LOG}"),
    ],
)
def test_a_failure_says_what_was_expected_found_and_is_to_be_done(
    error: Exception, expected: str, found: str, todo: str
) -> None:
    said = failure_of(error, LOG)
    assert isinstance(said, StartFailure)
    assert said.expected == expected
    assert said.found.startswith(found)
    assert said.todo.startswith(todo)
    assert "hidden" not in str(said)
