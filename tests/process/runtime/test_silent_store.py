"""An object store that takes what it is sent and says nothing."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from runtime.object_store import PART_BYTES, ObjectStore, StoreAway
from runtime.settings import Settings

BYTES_MAX = 2**26
"""More than any object here has."""

SHORT_S, LONG_S = 0.1, 1.0


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """At a port where connections wait to be accepted for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings(
            s3_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", s3_access_key="k", s3_secret_key="s"
        )
        yield ObjectStore(settings, read_timeout_s=SHORT_S, part_timeout_s=LONG_S, tries=1)


def failed_after_s(ask: Callable[[], object]) -> float:
    begun_s = time.monotonic()
    with pytest.raises(StoreAway):
        ask()
    return time.monotonic() - begun_s


def test_only_a_part_of_a_large_object_may_take_longer(store: ObjectStore) -> None:
    large = io.BytesIO(b"x" * (PART_BYTES + 1))
    assert SHORT_S <= failed_after_s(lambda: store.get("k", BYTES_MAX)) < LONG_S
    assert failed_after_s(lambda: store.put_stream("k", large)) >= LONG_S
