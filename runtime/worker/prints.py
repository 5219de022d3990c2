"""The last of what a model printed during one attempt: kept in memory, because a file could be made a trap by the model
whose words it holds. Never in the agent's log: it may quote the user."""

from __future__ import annotations

KEPT_BYTES = 16 * 1024
"""How much goes into error.txt when a child dies without a word."""


class Prints:
    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data[-KEPT_BYTES:]
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def tail(self) -> str:
        """The last KEPT_BYTES as text; what is no UTF-8 in it is replaced."""
        return self._kept[-KEPT_BYTES:].decode("utf-8", "replace")
