"""An API whose records schedulers set aside says so: it would acknowledge jobs that nobody accepts."""

from __future__ import annotations

from typing import Any

import pytest

from api.heard import Heard, WrittenJob
from api.readiness import KnownPools, PartWatch, Readiness
from views import queries


class Views:
    """What the views say of jobs, and how far they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: dict[str, str | None] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(queries, "state_once_read", self._state)

    def _state(self, connection: object, pool: str, job: str, offset: int) -> str | None:
        self.asked.append(job)
        return self.states.get(job)


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> Views:
    return Views(monkeypatch)


NOBODY: Any = None


def test_a_job_that_was_read_and_is_none_is_told_until_another_is_taken(views: Views) -> None:
    heard = Heard()
    for number in range(3):
        heard.note("main", WrittenJob(f"j{number}", number))
    heard.look(NOBODY)
    assert (heard.unheard, views.asked) == ({}, ["j0"]), "nobody has read it yet, and later ones wait for no place"
    views.states["j0"] = "submitted"
    heard.look(NOBODY)
    assert heard.unheard == {"main": "j0"}
    heard.look(NOBODY)
    assert views.asked == ["j0", "j0"], "nothing is asked until there is another"
    heard.note("main", WrittenJob("j9", 9))
    views.states["j9"] = "queued"
    heard.look(NOBODY)
    assert heard.unheard == {}


def test_readiness_says_so_and_the_process_stays_in_service(views: Views) -> None:
    heard, never = Heard(), PartWatch[Any](lambda: NOBODY, 1.0)
    pools: PartWatch[KnownPools] = PartWatch(lambda: NOBODY, 1.0)
    pools.found = KnownPools([], frozenset({"main"}), [])
    readiness = Readiness(never, pools, never, signs=True, heard=heard)
    assert readiness.health().parts["signing"] == "ok"
    heard.note("main", WrittenJob("j1", 1))
    views.states["j1"] = "submitted"
    heard.look(NOBODY)
    said = readiness.health().parts["signing"]
    assert said.startswith(
        "expected schedulers to take what this API writes, found that they set aside j1 of pool main"
    )
