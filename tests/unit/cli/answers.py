"""An API whose answers a test gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class Answers:
    """Stands for `cli.connection.api`: `get(path)` says what is found there."""

    def __init__(self, get: Callable[[str], Any]) -> None:
        self.get = get

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass
