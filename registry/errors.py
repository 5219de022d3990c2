"""The one exception of the registry: what was expected, what was found, what to do."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "invalid",
    "not_found",
    "unknown_model",
    "unknown_alias",
    "unknown_version",
    "unknown_pool",
    "conflict",
    "forbidden",
    "withdrawn",
    "corrupt",
    "environment",
    "unavailable",
]
"""invalid: what was given is malformed. unknown_*: nothing has this name. conflict: the name is bound to something else
for ever. forbidden: it is another's. withdrawn: the version must not run any more. corrupt: bytes are not what their
digest says. environment: a Python environment could not be built. unavailable: something is missing here now (space on
disk, uv, wheels, a lock)."""


class RegistryError(Exception):
    """The registry refuses something, or cannot do it. The message is for people, `code` is for programs."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
