"""`headrace models publish` says when no scheduler has opened the pool of the model yet."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from cli import models
from cli.main import run
from registry import publishing
from views import queries


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """The pools whose policies the views know. The published model belongs to the pool `other`."""
    found: dict[str, bool] = {}
    version = SimpleNamespace(model="film", digest="sha256:" + "1" * 64, pool="other")
    done = SimpleNamespace(version=version, is_new=True, move=None, bytes_uploaded=0, wheels_vendored=0, ignored=())
    monkeypatch.setattr(models, "settings", lambda data: None)
    monkeypatch.setattr(models, "connect", lambda settings: SimpleNamespace(connect=nullcontext))
    monkeypatch.setattr(models, "ObjectStore", lambda settings: None)
    monkeypatch.setattr(models, "await_relay", lambda database, reference: None)
    monkeypatch.setattr(publishing, "publish", lambda directory, **options: done)
    monkeypatch.setattr(queries, "publishing_rules", lambda connection: found)
    return found


def test_a_pool_without_a_scheduler_is_said_and_the_model_is_published(
    in_force: dict[str, bool], capsys: pytest.CaptureFixture[str]
) -> None:
    for known in ({}, {"main": False}):
        in_force |= known
        assert run(["models", "publish", "film"]) == 0
        shown = capsys.readouterr()
        assert "pool other: no scheduler has opened it yet; what is submitted there waits until one does" in shown.err
        assert "published" in shown.out


def test_a_pool_that_is_served_needs_no_word(in_force: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    in_force |= {"main": False, "other": False}
    assert run(["models", "publish", "film"]) == 0
    assert "no scheduler" not in capsys.readouterr().err
