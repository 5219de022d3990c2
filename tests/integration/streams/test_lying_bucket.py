"""Whoever writes into the bucket steers nobody: on the real store."""

from __future__ import annotations

import pytest

from local.services import Services
from runtime.object_store import ObjectStore
from tests.twin.lying_bucket import LyingBucket


class TestStore(LyingBucket):
    @pytest.fixture
    def store(self, servers: Services) -> ObjectStore:
        return ObjectStore(servers.settings)
