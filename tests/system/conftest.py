"""One stack for the tests that do not break it; those that do start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.installation import Installation, installation


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack with the noop model published."""
    with installation(tmp_path_factory.mktemp("stack")) as started:
        started.publish_noop()
        yield started
