"""What the API says of inputs: decoded and checked as at every door, large ones away from the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Engine

import api.catalog
from api.catalog import HERE_BYTES_MAX, Catalog
from api.problems import Problem, body_of
from registry import audiences, models
from registry.audiences import Viewer
from tests.unit.api.versions import version

SECRET = "a heron at dawn"


class Threads:
    """Runs in a thread what the catalog hands over, and counts."""

    def __init__(self) -> None:
        self.used = 0

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        self.used += 1
        return await asyncio.to_thread(function, *args)


def checked(schema: dict[str, Any], raw: bytes) -> Any:
    catalog = Catalog(cast("Engine", None), Threads())
    return asyncio.run(catalog.checked_inputs(version(schema), raw))


def problem(schema: dict[str, Any], raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        checked(schema, raw)
    json.dumps(body_of(caught.value, "r1"))
    return caught.value


def test_inputs_that_fit_are_given_decoded() -> None:
    assert checked({"type": "object"}, b'{"a": [1, 2.5]}') == {"a": [1, 2.5]}


def test_the_first_fault_is_said_with_its_path() -> None:
    found = problem({"properties": {"frames": {"items": {"type": "string"}}}}, b'{"frames": ["a", 7]}')
    assert (found.status, found.code) == (422, "inputs-invalid")
    assert found.detail.startswith(
        "inputs.frames[1]: expected string, found integer; see the schema at /v1/models/echo"
    )
    assert found.more == {"path": "inputs.frames[1]", "expected": "string", "found": "integer"}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"p": "\\ud83d"}', "half a surrogate pair"),
        (b'{"p": "\\u0000"}', "without the character NUL"),
        (b'{"n": 1e999}', "no number type holds"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "no number type holds"),
        (b'{"n": 18446744073709551616}', "from -9223372036854775808"),
        (b'{"n": ' + b"[" * 250 + b"]" * 250 + b"}", "at most 64 deep"),
        (b'{"n": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "at most 64 deep"),
        (b'{"p": "\xff"}', "in UTF-8"),
        (b'{"steps": 24.0}', "inputs.steps: expected an integer, written without a fraction or exponent; found 24.0"),
    ],
)
def test_what_no_door_takes_is_a_sentence(raw: bytes, says: str) -> None:
    found = problem({"properties": {"steps": {"type": "integer"}}}, raw)
    assert (found.status, found.code) == (422, "inputs-invalid")
    assert says in found.detail


def test_a_version_of_an_older_release_that_nobody_can_check_is_told_not_raised() -> None:
    found = problem({"properties": {"x": {"$ref": "#Nowhere"}}}, b"{}")
    assert (found.status, found.code) == (409, "model-schema-refused")
    assert "'#Nowhere'" in found.detail
    assert "publish it again" in found.detail


def test_large_inputs_and_new_versions_are_checked_away_from_the_loop() -> None:
    threads = Threads()
    catalog = Catalog(cast("Engine", None), threads)
    where: list[str] = []

    class Watched(dict[str, Any]):
        """A schema that says which thread reads it."""

        def items(self) -> Any:
            where.append(threading.current_thread().name)
            return super().items()

    async def ask() -> None:
        asked = version(Watched(type="object"))
        await catalog.checked_inputs(asked, b"{}")
        assert threads.used == 1
        await catalog.checked_inputs(asked, b"{}")
        assert threads.used == 1
        await catalog.checked_inputs(asked, b'{"p": "' + b"x" * HERE_BYTES_MAX + b'"}')
        assert threads.used == 2

    asyncio.run(ask())
    assert where
    assert threading.main_thread().name not in where


def test_versions_are_kept_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand versions with large schemas would fill the memory."""
    monkeypatch.setattr(api.catalog, "KEPT_BYTES_MAX", 2_000_000)
    monkeypatch.setattr(api.catalog, "TTL_S", 3_600.0)
    monkeypatch.setattr(models, "resolve", lambda engine, reference: version({"description": "x" * 100_000}))
    monkeypatch.setattr(audiences, "of", lambda engine, model: audiences.EVERYBODY)

    async def now(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    async def live() -> int:
        catalog = Catalog(cast("Engine", None), now)
        for number in range(50):
            await catalog.resolve(f"echo@alias{number}", Viewer("acme", ("free",)))
        return sum(catalog._versions.kept(f"echo@alias{number}") is not None for number in range(50))

    assert 1 <= asyncio.run(live()) < 6
