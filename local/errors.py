"""Errors that stop the embedded stack from starting. Each says how to mend what is wrong."""

from __future__ import annotations


class CannotStart(Exception):
    """The embedded stack, or a part of it, cannot run here. The message says expected, found, and what to do."""

    def __init__(self, expected: str, found: str, todo: str) -> None:
        super().__init__(f"expected {expected}, found {found}. {todo}")
        self.expected = expected
        self.found = found
        self.todo = todo


class AlreadyRunning(CannotStart):
    """A stack runs on this data already. That stack was left alone."""

    def __init__(self, data: str, pid: int, api_url: str) -> None:
        super().__init__(
            f"no stack to run on {data}",
            f"one that runs already (process {pid}, API at {api_url or 'a port not yet known'})",
            "Use it as it is, or stop it with `headrace down` first",
        )
        self.pid = pid
        self.api_url = api_url
