"""Servers that the tests of this folder may kill and fill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.services import Services, running


@pytest.fixture(scope="package")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("own"), words_kept_ms=2_000) as services:
        yield services
