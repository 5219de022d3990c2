"""What a door says to the log is no part of its answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(processors=[drop])
    yield
    structlog.configure(**before)


def drop(*_: object) -> str:
    raise structlog.DropEvent
