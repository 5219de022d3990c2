"""What stops the embedded stack from starting, said so that the reader can mend it."""

from __future__ import annotations


class CannotStart(Exception):
    """The embedded stack, or a part of it, cannot run here. The message says expected, found, and what to do."""

    def __init__(self, expected: str, found: str, todo: str) -> None:
        super().__init__(f"expected {expected}, found {found}. {todo}")
        self.expected = expected
        self.found = found
        self.todo = todo
