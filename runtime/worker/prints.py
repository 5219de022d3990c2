"""The last of what a model printed during one attempt. Kept in memory, because the model could turn a file into a trap;
never in the agent's log, because prints may quote the user."""

from __future__ import annotations

KEPT_BYTES = 16 * 1024
"""How much goes into error.txt when a child dies without reporting a failure."""


class Prints:
    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data[-KEPT_BYTES:]
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def tail(self) -> str:
        """The last KEPT_BYTES as text; bytes that are not UTF-8 are replaced."""
        return self._kept[-KEPT_BYTES:].decode("utf-8", "replace")
