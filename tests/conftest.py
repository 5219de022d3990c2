"""Fixtures that several tiers share. Unit, property and simulation tests must not ask for `services`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.groups import GroupScheduling, place_of

if TYPE_CHECKING:
    from local.services import Services

providers._get_local_constants = Constants
"""Hypothesis must not draw examples from the constants of loaded modules: which modules are loaded depends on the tests
that ran before in the same process, and how many examples a door takes is part of what a property claims."""

settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")
"""No property is held against the clock: on a busy machine an example may take long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.nodeid))


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """`--dist loadscope`: by group. (`--dist loadgroup` of pytest-xdist 3.8 does nothing under pytest 9.2.)"""
    return GroupScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


WORDS_KEPT_MS = 10_000
"""Short, so that the broker's cleaning is fast enough for a test of erasure."""


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Real Kafka, Postgres and S3, shared by the session: use topic, table and key names of your own.

    Topics are not created (`runtime.kafka.ensure_topics`). A test that kills one of the servers starts it again,
    or starts servers of its own (`local.services.running`)."""
    from local.services import running  # here, because tests without servers need not wait for this import

    data: Path = tmp_path_factory.mktemp("services")
    with running(data, words_kept_ms=WORDS_KEPT_MS, durable=False) as started:
        yield started
