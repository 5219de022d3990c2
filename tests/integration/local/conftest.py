"""Servers that the tests of this folder may kill and fill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.services import Services, running


@pytest.fixture(scope="package")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """In a directory whose name each server would misread, if it were told the name as it is."""
    folder = tmp_path_factory.mktemp("own") / 'ein Pfad, 100% mit ümläut & "+#?;=:\\x 日本'
    with running(folder, words_kept_ms=2_000) as services:
        yield services
